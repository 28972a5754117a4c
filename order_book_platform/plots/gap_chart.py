"""Gaps over the day: when they are, how long, and of which kind, cause and class."""

from __future__ import annotations

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.axes import Panel, Scale, time_label, time_scale, time_ticks
from order_book_platform.plots.svg import WIDTH_PX, Svg, box_path

_MIN_WIDTH_PX = 3.0
"""Narrower bars are widened to this, since most gaps would be thinner than a pixel."""
_LEFT, _RIGHT = 150, 110
_LANE_PX, _BAR_PX = 40, 22


def gap_chart(gaps: pl.DataFrame, first_ns: int, last_ns: int) -> Svg:
    """Draw a lane for each kind and cause of gaps with a bar for each gap, coloured by class.

    Args:
        gaps: Columns of `sequence_gap_report`.
        first_ns: Start of the data, ns UTC.
        last_ns: End of the data, ns UTC.
    """
    lanes = gaps.group_by("kind", "cause").agg(pl.len()).sort("kind", "cause").rows()
    count = max(1, len(lanes))
    svg = Svg(_LANE_PX * count + 84, "Gaps over time")
    time, lane_scale = time_scale(first_ns, last_ns), Scale(count, 0.0)
    panel = Panel(svg, _LEFT, 34, WIDTH_PX - _LEFT - _RIGHT, _LANE_PX * count, time, lane_scale)
    panel.draw_axes(
        title=f"Gaps over time, {len(gaps):,}",
        x_label=time_label(first_ns, last_ns),
        x_ticks=time_ticks(first_ns, last_ns),
    )
    if not lanes:
        first, last = (iso_from_ns(ns)[:19].replace("T", " ") for ns in (first_ns, last_ns))
        panel.write_message(f"No gaps from {first} to {last} UTC")
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
    """Left edges and widths of bars, float64[m] px, each at least `_MIN_WIDTH_PX` wide; overlapping ones are merged."""
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
    palette = ["doubt", "bad", "ask", "bid", "placebo"]
    if classes and classes[0] != "small":
        palette = palette[1:]
    return {name: palette[min(index, len(palette) - 1)] for index, name in enumerate(classes)}
