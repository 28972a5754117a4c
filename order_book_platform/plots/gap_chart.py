"""Figures of `sequence_gap_report`: gaps over the day, how late messages arrived, and the clocks beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.axes import Panel, Scale, number_label, time_axis
from order_book_platform.plots.svg import WIDTH_PX, Svg, box_path, line_path

_MIN_WIDTH_PX = 3.0
"""Narrower bars are widened to this, since most gaps would be thinner than a pixel."""
_LEFT, _RIGHT = 150, 110
_LANE_PX, _BAR_PX = 40, 22


def gap_chart(gaps: pl.DataFrame, first_ns: int, last_ns: int) -> Svg:
    """Draw a lane for each kind and cause of gaps with a bar for each gap, coloured by class.

    The gaps are rows of `sequence_gap_report`, of data from `first_ns` to `last_ns`, ns UTC.
    """
    lanes = gaps.group_by("kind", "cause").agg(pl.len()).sort("kind", "cause").rows()
    count = max(1, len(lanes))
    svg = Svg(_LANE_PX * count + 84, "Gaps over time")
    time, ticks, label = time_axis(first_ns, last_ns)
    panel = Panel(svg, _LEFT, 34, WIDTH_PX - _LEFT - _RIGHT, _LANE_PX * count, time, Scale(count, 0.0))
    first, last = (iso_from_ns(ns)[:19].replace("T", " ") for ns in (first_ns, last_ns))
    message = "" if lanes else f"No gaps from {first} to {last} UTC"
    panel.draw_axes(title=f"Gaps over time, {len(gaps):,}", x_label=label, x_ticks=ticks, message=message)
    if not lanes:
        return svg
    colours = _class_colours(gaps)
    for lane, (kind, cause, gap_count) in enumerate(lanes):
        in_lane = gaps.filter((pl.col("kind") == kind) & (pl.col("cause") == cause))
        middle = float(panel.y_px(lane + 0.5))
        svg.text(_LEFT - 8, middle - 3, cause, kind="k", anchor="end")
        svg.text(_LEFT - 8, middle + 11, f"{kind}, {gap_count:,}", anchor="end")
        for name, colour in colours.items():
            starts, widths = _bars(panel, in_lane.filter(pl.col("gap_class") == name))
            bars = box_path(starts, middle - _BAR_PX / 2, widths, _BAR_PX)
            svg.area(bars, colour, title=f"{cause}, {name}")
        total_s = int((in_lane["to_origin_time"] - in_lane["from_origin_time"]).sum()) / NS_PER_SECOND
        svg.text(panel.right + 6, middle + 4, f"{total_s:,.1f} s in all")
    svg.legend(panel.right, 24, list(colours.items()))
    return svg


def _bars(panel: Panel, gaps: pl.DataFrame) -> tuple[Float64Array, Float64Array]:
    """Return left edges and widths of bars, float64[m] px, at least `_MIN_WIDTH_PX` wide; overlapping bars merge."""
    starts, ends = (panel.x_px(gaps[name].to_numpy()) for name in ("from_origin_time", "to_origin_time"))
    if not len(starts):
        return starts, ends
    widening = np.maximum(0.0, _MIN_WIDTH_PX - (ends - starts)) / 2
    order = np.argsort(starts - widening, kind="stable")
    starts, ends = (starts - widening)[order], np.maximum.accumulate((ends + widening)[order])
    first = np.flatnonzero(np.concatenate([[True], starts[1:] > ends[:-1]]))
    last = np.append(first[1:], len(starts)) - 1
    return starts[first], ends[last] - starts[first]


def _class_colours(gaps: pl.DataFrame) -> dict[str, str]:
    """Colour of each class of gaps; small gaps have the colour of doubt, the others stand out."""
    classes = sorted(gaps["gap_class"].unique().to_list(), key=lambda name: (name != "small", name))
    palette = ["doubt"] * ("small" in classes) + ["bad", "ask", "bid", *["placebo"] * len(classes)]
    return dict(zip(classes, palette, strict=False))


GATE_MS = 50.0
"""The gate of the median latency, drawn as a line where the axis reaches it."""
_CLOCKS_TOP, _CLOCKS_HEIGHT = 34, 170
_BARS_LEFT, _BARS_WIDTH = 44, 330
_CLOCKS_LEFT, _CLOCKS_RIGHT = 470, 20


def latency_chart(clocks: Mapping[str, Any]) -> Svg:
    """Draw quantiles of arrival − origin time, and beside them the fastest messages of each window over the day.

    Args:
        clocks: `clocks` of the gap report's report.json: latency_ms (name of a quantile to ms), envelope (pairs of
            a window's start in ns and its smallest latency in ms), envelope_window_s, skew_ms and drift_ppm; each
            may be missing or null.
    """
    svg = Svg(_CLOCKS_HEIGHT + 84, "Latency and clocks")
    _draw_quantiles(svg, clocks)
    _draw_envelope(svg, clocks)
    return svg


def _draw_quantiles(svg: Svg, clocks: Mapping[str, Any]) -> None:
    """Draw a bar for each quantile, ms, with its value at the end."""
    quantiles = {name: value for name, value in (clocks.get("latency_ms") or {}).items() if value is not None}
    values = [0.0, *quantiles.values()]
    low, high = min(values), max(values)
    latencies = Scale(low, high + (high - low or 1.0) * 0.3)
    bars = Scale(len(quantiles) or 1, 0.0)
    panel = Panel(svg, _BARS_LEFT, _CLOCKS_TOP, _BARS_WIDTH, _CLOCKS_HEIGHT, latencies, bars)
    panel.draw_axes(
        title="Latency, arrival − origin time",
        x_label="ms",
        x_ticks=latencies.ticks(5),
        y_ticks=[(bar + 0.5, name) for bar, name in enumerate(quantiles)],
        grid="x",
        message="" if quantiles else "Nothing to show: no message has both times.",
    )
    zero = float(panel.x_px(0.0))
    for bar, value in enumerate(quantiles.values()):
        y, end = float(panel.y_px(bar + 0.5)), float(panel.x_px(value))
        svg.path(f"M{zero:.1f} {y:.1f}H{end:.1f}", "bid", width=12)
        svg.text(max(zero, end) + 5, y + 4, f"{value:,.2f}", kind="k")
    # Where all latencies are negative, clocks differ: the gate says nothing.
    if quantiles and high > 0 and latencies.high > GATE_MS:
        gate = float(panel.x_px(GATE_MS))
        svg.path(f"M{gate:.1f} {panel.top}V{panel.bottom}", "muted", width=1, dashed=True)
        svg.text(gate, panel.top - 2, "p50's gate", anchor="middle")


def _draw_envelope(svg: Svg, clocks: Mapping[str, Any]) -> None:
    """Draw the smallest latency of each window, and skew and drift of the clocks as a line."""
    points = np.array(clocks.get("envelope") or [], dtype=np.float64).reshape(-1, 2)
    width, title = WIDTH_PX - _CLOCKS_LEFT - _CLOCKS_RIGHT, "Clocks: the fastest messages"
    if len(points) < 2:
        message = "Nothing to show: fewer than two windows have messages enough."
        Panel(svg, _CLOCKS_LEFT, _CLOCKS_TOP, width, _CLOCKS_HEIGHT).draw_axes(title=title, message=message)
        return
    window_ns = float(clocks.get("envelope_window_s") or 0) * NS_PER_SECOND
    middles_ns, smallest_ms = points[:, 0] + window_ns / 2, points[:, 1]
    first, last = int(points[0, 0]), int(points[-1, 0] + window_ns)
    low, high = float(smallest_ms.min()), float(smallest_ms.max())
    margin = max((high - low) * 0.15, 0.05)
    latencies = Scale(low - margin, high + margin)
    time, ticks, label = time_axis(first, last, window_ns, most=6)
    panel = Panel(svg, _CLOCKS_LEFT, _CLOCKS_TOP, width, _CLOCKS_HEIGHT, time, latencies)
    skew, drift = clocks.get("skew_ms"), clocks.get("drift_ppm")
    panel.draw_axes(
        title=title,
        x_label=label,
        y_label="smallest latency, ms",
        x_ticks=ticks,
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
    skew_text = "skew: too few windows" if skew is None else f"skew {skew:,.3f} ms"
    drift_text = "drift: too few windows" if drift is None else f"drift {drift:,.4f} ppm"
    svg.text(panel.right, 24, f"{skew_text}, {drift_text}", kind="k", anchor="end")
