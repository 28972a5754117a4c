"""Gaps over the day: when, how long, of what kind and class."""

from __future__ import annotations

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, iso_from_ns
from order_book_platform.plots.figure import (
    LIGHT,
    Theme,
    add_legend,
    dress,
    new_figure,
    png_bytes,
    say_nothing_to_show,
    set_time_axis,
)

_MIN_WIDTH = 0.003
"""A gap is drawn at least this share of the time axis wide, else most would be thinner than a pixel."""


def gap_timeline(
    gaps: pl.DataFrame, first_ns: int, last_ns: int, *, theme: Theme = LIGHT, title: str = "Gaps over time"
) -> bytes:
    """Draw one lane per kind and cause of gap, one bar per gap, coloured by class.

    Args:
        gaps: columns of `sequence_gap_report`.
        first_ns: start of the data, ns.
        last_ns: end of the data, ns.
        theme: light or dark.
        title: above the figure.

    Returns:
        PNG bytes.
    """
    lanes = gaps.group_by("kind", "cause").agg(pl.len()).sort("kind", "cause").rows()
    figure = new_figure(theme, height_px=150 + 55 * max(1, len(lanes)), left_px=140, right_px=110)
    axes = figure.add_subplot()
    dress(axes, theme, title=title)
    set_time_axis(axes, first_ns, last_ns)
    axes.set_ylim(-0.6, max(1, len(lanes)) - 0.4)
    axes.invert_yaxis()
    axes.set_yticks(range(len(lanes)), [f"{cause}\n{kind}, {count:,}" for kind, cause, count in lanes])
    axes.grid(False, axis="y")
    if not lanes:
        first, last = (iso_from_ns(ns)[:19].replace("T", " ") for ns in (first_ns, last_ns))
        axes.grid(False)
        say_nothing_to_show(axes, theme, f"No gaps from {first} to {last} UTC")
        return png_bytes(figure)
    colours = _class_colours(gaps, theme)
    for lane, (kind, cause, _) in enumerate(lanes):
        here = gaps.filter((pl.col("kind") == kind) & (pl.col("cause") == cause))
        for name, colour in colours.items():
            bars = _bars(here.filter(pl.col("gap_class") == name), last_ns - first_ns)
            axes.broken_barh(bars, (lane - 0.32, 0.64), color=colour, linewidth=0)
        total_s = int((here["to_origin_time"] - here["from_origin_time"]).sum()) / NS_PER_SECOND
        axes.annotate(
            f"{total_s:,.1f} s in all",
            (1.0, lane),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=theme.muted,
        )
    add_legend(axes, theme, areas=colours)
    return png_bytes(figure)


def _bars(gaps: pl.DataFrame, span_ns: int) -> list[tuple[float, float]]:
    """Start and width in days of the gaps, each at least `_MIN_WIDTH` of the span; what overlaps is one bar."""
    starts, ends = gaps["from_origin_time"].to_numpy(), gaps["to_origin_time"].to_numpy()
    if not len(starts):
        return []
    lacking = np.maximum(0, int(span_ns * _MIN_WIDTH) - (ends - starts)) // 2
    order = np.argsort(starts - lacking, kind="stable")
    starts, ends = (starts - lacking)[order], np.maximum.accumulate((ends + lacking)[order])
    first = np.flatnonzero(np.concatenate([[True], starts[1:] > ends[:-1]]))
    last = np.append(first[1:], len(starts)) - 1
    return [
        (start / NS_PER_DAY, (end - start) / NS_PER_DAY)
        for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True)
    ]


def _class_colours(gaps: pl.DataFrame, theme: Theme) -> dict[str, str]:
    """Class to colour: a small gap is doubt, everything else stands out."""
    classes = sorted(gaps["gap_class"].unique().to_list(), key=lambda name: (name != "small", name))
    palette = [theme.doubt, theme.bad, theme.ask, theme.bid, theme.placebo]
    if classes and classes[0] != "small":
        palette = palette[1:]
    return {name: palette[min(index, len(palette) - 1)] for index, name in enumerate(classes)}
