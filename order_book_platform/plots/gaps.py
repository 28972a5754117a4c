"""Gaps over the day: when, how long, of what kind and class."""

from __future__ import annotations

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
_MAX_BARS = 2_000
"""Bars drawn in a lane; of more gaps than that the longest are drawn, and the title of the lane says so."""


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
    least = max(1.0, (last_ns - first_ns) * _MIN_WIDTH)
    for lane, (kind, cause, _) in enumerate(lanes):
        here = gaps.filter((pl.col("kind") == kind) & (pl.col("cause") == cause))
        longest = here.with_columns(length=pl.col("to_origin_time") - pl.col("from_origin_time"))
        for row in longest.top_k(_MAX_BARS, by="length").sort("from_origin_time").iter_rows(named=True):
            width = max(float(row["length"]), least)
            start = row["from_origin_time"] - (width - row["length"]) / 2
            axes.broken_barh(
                [(start / NS_PER_DAY, width / NS_PER_DAY)],
                (lane - 0.32, 0.64),
                color=colours[row["gap_class"]],
            )
        total = longest["length"].sum() / NS_PER_SECOND
        axes.annotate(
            f"{total:,.1f} s in all",
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


def _class_colours(gaps: pl.DataFrame, theme: Theme) -> dict[str, str]:
    """Class to colour: a small gap is doubt, everything else stands out."""
    classes = sorted(gaps["gap_class"].unique().to_list(), key=lambda name: (name != "small", name))
    palette = [theme.doubt, theme.bad, theme.ask, theme.bid, theme.placebo]
    if classes and classes[0] != "small":
        palette = palette[1:]
    return {name: palette[min(index, len(palette) - 1)] for index, name in enumerate(classes)}
