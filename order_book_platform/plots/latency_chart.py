"""How late messages arrived, and how the recorder's clock runs beside the exchange's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.plots.axes import (
    Panel,
    Scale,
    draw_empty_panel,
    number_label,
    time_label,
    time_scale,
    time_ticks,
)
from order_book_platform.plots.svg import WIDTH_PX, Svg, line_path

GATE_MS = 50.0
"""The gate of the median latency, drawn as a line where the axis reaches it."""
_TOP, _HEIGHT = 34, 170
_BARS_LEFT, _BARS_WIDTH = 44, 330
_CLOCKS_LEFT, _CLOCKS_RIGHT = 470, 20
_CLOCKS_TITLE = "Clocks: the fastest messages"


def latency_chart(clocks: Mapping[str, Any]) -> Svg:
    """Draw quantiles of arrival − origin time, and beside them the fastest messages of each window over the day.

    Args:
        clocks: `clocks` of the gap report's report.json: latency_ms (name of a quantile to ms), envelope (pairs of
            a window's start in ns and its smallest latency in ms), envelope_window_s, skew_ms and drift_ppm; each
            may be missing or null.
    """
    svg = Svg(_HEIGHT + 84, "Latency and clocks")
    quantiles = {name: value for name, value in (clocks.get("latency_ms") or {}).items() if value is not None}
    _draw_quantiles(svg, quantiles)
    _draw_envelope(svg, clocks)
    return svg


def _draw_quantiles(svg: Svg, quantiles: Mapping[str, float]) -> None:
    """Draw a bar for each quantile, ms, with its value at the end."""
    values = [0.0, *quantiles.values()]
    low, high = min(values), max(values)
    latencies = Scale(low, high + (high - low or 1.0) * 0.3)
    bars = Scale(len(quantiles) or 1, 0.0)
    panel = Panel(svg, _BARS_LEFT, _TOP, _BARS_WIDTH, _HEIGHT, latencies, bars)
    panel.draw_axes(
        title="Latency, arrival − origin time",
        x_label="ms",
        x_ticks=latencies.ticks(5),
        y_ticks=[(bar + 0.5, name) for bar, name in enumerate(quantiles)],
        grid_y=False,
    )
    if not quantiles:
        panel.write_message("Nothing to show: no message has both times.")
        return
    zero = float(panel.x_px(0.0))
    for bar, value in enumerate(quantiles.values()):
        y, end = float(panel.y_px(bar + 0.5)), float(panel.x_px(value))
        svg.path(f"M{zero:.1f} {y:.1f}H{end:.1f}", "bid", width=12)
        svg.text(max(zero, end) + 5, y + 4, f"{value:,.2f}", kind="k")
    if (
        high > 0 and latencies.high > GATE_MS
    ):  # where all latencies are negative, clocks differ: the gate says nothing
        gate = float(panel.x_px(GATE_MS))
        svg.path(f"M{gate:.1f} {panel.top}V{panel.bottom}", "muted", width=1, dashed=True)
        svg.text(gate, panel.top - 2, "p50's gate", anchor="middle")


def _draw_envelope(svg: Svg, clocks: Mapping[str, Any]) -> None:
    """Draw the smallest latency of each window, and skew and drift of the clocks as a line."""
    points = np.array(clocks.get("envelope") or [], dtype=np.float64).reshape(-1, 2)
    width = WIDTH_PX - _CLOCKS_LEFT - _CLOCKS_RIGHT
    if len(points) < 2:
        message = "Nothing to show: fewer than two windows have messages enough."
        draw_empty_panel(svg, _CLOCKS_LEFT, _TOP, width, _HEIGHT, title=_CLOCKS_TITLE, message=message)
        return
    window_ns = float(clocks.get("envelope_window_s") or 0) * NS_PER_SECOND
    middles_ns, smallest_ms = points[:, 0] + window_ns / 2, points[:, 1]
    first, last = int(points[0, 0]), int(points[-1, 0] + window_ns)
    low, high = float(smallest_ms.min()), float(smallest_ms.max())
    margin = max((high - low) * 0.15, 0.05)
    latencies = Scale(low - margin, high + margin)
    panel = Panel(svg, _CLOCKS_LEFT, _TOP, width, _HEIGHT, time_scale(first, last), latencies)
    skew, drift = clocks.get("skew_ms"), clocks.get("drift_ppm")
    panel.draw_axes(
        title=_CLOCKS_TITLE,
        x_label=time_label(first, last, window_ns),
        y_label="smallest latency, ms",
        x_ticks=time_ticks(first, last, 6),
        y_ticks=latencies.ticks(5),
    )
    if skew is not None and drift is not None:
        ends_ns = np.array([first, last], dtype=np.float64)
        # ns · ppm / 1e12 is ms; the skew is that of the middle of the day.
        line_ms = skew + (ends_ns - float(np.median(middles_ns))) * drift / 1e12
        svg.path(line_path(panel.x_px(ends_ns), panel.y_px(line_ms)), "doubt", width=2, dashed=True)
    x, y = panel.x_px(middles_ns), panel.y_px(smallest_ms)
    svg.path(line_path(x, y), "muted", width=0.8)
    svg.dots(x, y, "bid", width=3.4, title=f"{number_label(low)} to {number_label(high)} ms")
    svg.text(panel.right, 24, _clock_text(skew, drift), kind="k", anchor="end")


def _clock_text(skew_ms: float | None, drift_ppm: float | None) -> str:
    """Write skew and drift, or why they are not known."""
    skew = "skew: too few windows" if skew_ms is None else f"skew {skew_ms:,.3f} ms"
    drift = "drift: too few windows" if drift_ppm is None else f"drift {drift_ppm:,.4f} ppm"
    return f"{skew}, {drift}"
