"""Latency: how late messages arrived, and how the recorder's clock goes beside the exchange's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.plots.axes import Panel, Scale, number, time_label, time_scale, time_ticks
from order_book_platform.plots.svg import WIDTH_PX, Svg, broken_line

GATE_MS = 50.0
"""The bar for the median, drawn as a line where it is in reach."""
_HEIGHT = 170


def latency_chart(clocks: Mapping[str, Any]) -> Svg:
    """Quantiles of arrival − origin time, and beside them the fastest messages of each window over the day.

    Args:
        clocks: of the gap report's report.json: latency_ms (quantile to ms), envelope (pairs of ns and ms),
            envelope_window_s, skew_ms, drift_ppm; any of them may be missing or null.
    """
    svg = Svg(_HEIGHT + 84, "Latency and clocks")
    quantiles = {name: value for name, value in (clocks.get("latency_ms") or {}).items() if value is not None}
    _draw_quantiles(Panel(svg, 44, 34, 330, _HEIGHT, *_quantile_scales(quantiles)), quantiles)
    _draw_envelope(svg, clocks)
    return svg


def _quantile_scales(quantiles: Mapping[str, float]) -> tuple[Scale, Scale]:
    values = [0.0, *quantiles.values()]
    low, high = min(values), max(values)
    return Scale(low, high + (high - low or 1.0) * 0.3), Scale(len(quantiles) or 1, 0.0)


def _draw_quantiles(panel: Panel, quantiles: Mapping[str, float]) -> None:
    """A bar for each quantile with its value at the end."""
    panel.frame(
        title="Latency, arrival − origin time",
        x_label="ms",
        x_ticks=panel.x.ticks(5),
        y_ticks=[(at + 0.5, name) for at, name in enumerate(quantiles)],
        grid_y=False,
    )
    if not quantiles:
        panel.say("Nothing to show: no message has both times.")
        return
    zero = float(panel.across(0.0))
    for at, value in enumerate(quantiles.values()):
        y, end = float(panel.up(at + 0.5)), float(panel.across(value))
        panel.svg.path(f"M{zero:.1f} {y:.1f}H{end:.1f}", "bid", width=12)
        panel.svg.text(max(zero, end) + 5, y + 4, f"{value:,.2f}", kind="k")
    if max(quantiles.values()) > 0 and panel.x.high > GATE_MS:  # beside negative latencies it says nothing
        gate = float(panel.across(GATE_MS))
        panel.svg.path(f"M{gate:.1f} {panel.top}V{panel.bottom}", "muted", width=1, dashed=True)
        panel.svg.text(gate, panel.top - 2, "p50's gate", anchor="middle")


def _draw_envelope(svg: Svg, clocks: Mapping[str, Any]) -> None:
    """The smallest latency of each window, with skew and drift as a line."""
    points = np.array(clocks.get("envelope") or [], dtype=np.float64).reshape(-1, 2)
    left, width = 470, WIDTH_PX - 470 - 20
    if len(points) < 2:
        panel = Panel(svg, left, 34, width, _HEIGHT, Scale(0, 1), Scale(0, 1))
        panel.frame(title="Clocks: the fastest messages")
        panel.say("Nothing to show: fewer than two windows have messages enough.")
        return
    window_ns = float(clocks.get("envelope_window_s") or 0) * NS_PER_SECOND
    at, least = points[:, 0] + window_ns / 2, points[:, 1]
    first, last = int(points[0, 0]), int(points[-1, 0] + window_ns)
    low, high = float(least.min()), float(least.max())
    room = max((high - low) * 0.15, 0.05)
    y = Scale(low - room, high + room)
    panel = Panel(svg, left, 34, width, _HEIGHT, time_scale(first, last), y)
    skew, drift = clocks.get("skew_ms"), clocks.get("drift_ppm")
    panel.frame(
        title="Clocks: the fastest messages",
        x_label=f"{time_label(first, last)}, windows of {window_ns / NS_PER_SECOND:g} s",
        y_label="smallest latency, ms",
        x_ticks=time_ticks(first, last, 6),
        y_ticks=y.ticks(5),
    )
    if skew is not None and drift is not None:
        middle = float(np.median(at))
        ends = np.array([first, last], dtype=np.float64)
        slope = skew + (ends - middle) * drift / 1e12  # ns by parts per million, in ms
        svg.path(broken_line(panel.across(ends), panel.up(slope)), "doubt", width=2, dashed=True)
    svg.path(broken_line(panel.across(at), panel.up(least)), "muted", width=0.8)
    svg.dots(panel.across(at), panel.up(least), "bid", width=3.4, title=f"{number(low)} to {number(high)} ms")
    svg.text(panel.right, 24, _told(skew, drift), kind="k", anchor="end")


def _told(skew_ms: float | None, drift_ppm: float | None) -> str:
    """Skew and drift in words."""
    skew = "skew: too few windows" if skew_ms is None else f"skew {skew_ms:,.3f} ms"
    drift = "drift: too few windows" if drift_ppm is None else f"drift {drift_ppm:,.4f} ppm"
    return f"{skew}, {drift}"
