"""Gaps over the day: when, how long, of what kind and class."""

from __future__ import annotations

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.axes import Panel, Scale, time_label, time_scale, time_ticks
from order_book_platform.plots.svg import WIDTH_PX, Svg, boxes

_MIN_WIDTH_PX = 3.0
"""A gap is drawn at least this wide, else most would be thinner than a pixel."""
_LEFT, _RIGHT = 150, 110
_LANE_PX = 40


def gap_chart(gaps: pl.DataFrame, first_ns: int, last_ns: int) -> Svg:
    """One lane per kind and cause of gap, one bar per gap, coloured by class.

    Args:
        gaps: columns of `sequence_gap_report`.
        first_ns: start of the data, ns.
        last_ns: end of the data, ns.
    """
    lanes = gaps.group_by("kind", "cause").agg(pl.len()).sort("kind", "cause").rows()
    height = _LANE_PX * max(1, len(lanes))
    svg = Svg(height + 84, "Gaps over time")
    scale = time_scale(first_ns, last_ns)
    panel = Panel(svg, _LEFT, 34, WIDTH_PX - _LEFT - _RIGHT, height, scale, Scale(max(1, len(lanes)), 0.0))
    panel.frame(
        title=f"Gaps over time, {len(gaps):,}",
        x_label=time_label(first_ns, last_ns),
        x_ticks=time_ticks(first_ns, last_ns),
    )
    if not lanes:
        first, last = (iso_from_ns(ns)[:19].replace("T", " ") for ns in (first_ns, last_ns))
        panel.say(f"No gaps from {first} to {last} UTC")
        return svg
    colours = _class_colours(gaps)
    for lane, (kind, cause, count) in enumerate(lanes):
        here = gaps.filter((pl.col("kind") == kind) & (pl.col("cause") == cause))
        middle = float(panel.up(lane + 0.5))
        svg.text(_LEFT - 8, middle - 3, cause, kind="k", anchor="end")
        svg.text(_LEFT - 8, middle + 11, f"{kind}, {count:,}", anchor="end")
        for name, colour in colours.items():
            starts, widths = _bars(panel, here.filter(pl.col("gap_class") == name))
            svg.area(boxes(starts, middle - 11, widths, 22), colour, title=f"{cause}, {name}")
        total_s = int((here["to_origin_time"] - here["from_origin_time"]).sum()) / NS_PER_SECOND
        svg.text(panel.right + 6, middle + 4, f"{total_s:,.1f} s in all")
    svg.legend(panel.right, 24, list(colours.items()))
    return svg


def _bars(panel: Panel, gaps: pl.DataFrame) -> tuple[Float64Array, Float64Array]:
    """Left edges and widths of the gaps, px, each at least `_MIN_WIDTH_PX`; what overlaps is one bar."""
    starts, ends = (panel.across(gaps[name].to_numpy()) for name in ("from_origin_time", "to_origin_time"))
    if not len(starts):
        return starts, ends
    lacking = np.maximum(0.0, _MIN_WIDTH_PX - (ends - starts)) / 2
    order = np.argsort(starts - lacking, kind="stable")
    starts, ends = (starts - lacking)[order], np.maximum.accumulate((ends + lacking)[order])
    first = np.flatnonzero(np.concatenate([[True], starts[1:] > ends[:-1]]))
    last = np.append(first[1:], len(starts)) - 1
    return starts[first], ends[last] - starts[first]


def _class_colours(gaps: pl.DataFrame) -> dict[str, str]:
    """Class to colour: a small gap is doubt, everything else stands out."""
    classes = sorted(gaps["gap_class"].unique().to_list(), key=lambda name: (name != "small", name))
    palette = ["doubt", "bad", "ask", "bid", "placebo"]
    if classes and classes[0] != "small":
        palette = palette[1:]
    return {name: palette[min(index, len(palette) - 1)] for index, name in enumerate(classes)}
