"""Distributions of a book's states beside those of its references: shares of time, and quantiles against quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from order_book_platform.plots.axes import Kind, Panel, Scale, number, percent
from order_book_platform.plots.svg import WIDTH_PX, Svg, stairs

_TOP, _ROW_PX, _LEFT, _GAP = 52, 150, 66, 48


def states_chart(curves: Sequence[Mapping[str, Any]]) -> Svg:
    """A column for each state: above, the shares of time; below, the book's quantiles over the reference's.

    Args:
        curves: `states` of report.json: words, unit, scale (`linear`, `log`, `symlog`), spoiled, edges
            (float[m + 1]), reference, book, placebo (float[m], shares of time), and reference_quantiles,
            book_quantiles, placebo_quantiles (float[q]); lists are empty where nothing was compared.
    """
    svg = Svg(2 * _ROW_PX + 170, "Distributions of book and reference")
    count = max(len(curves), 1)
    width = (WIDTH_PX - _LEFT - 16 - _GAP * (count - 1)) / count
    for index, curve in enumerate(curves):
        _draw_state(svg, curve, _LEFT + index * (width + _GAP), width, labelled=index == 0)
    svg.legend(
        WIDTH_PX - 16,
        16,
        (("reference", "bid"), ("book", "ask"), ("placebo: the reference without its best level", "placebo")),
    )
    return svg


def _draw_state(svg: Svg, curve: Mapping[str, Any], left: float, width: float, *, labelled: bool) -> None:
    edges = np.array(curve["edges"], dtype=np.float64)
    lower_top = _TOP + _ROW_PX + 76
    if not len(edges):
        for top in (_TOP, lower_top):
            panel = Panel(svg, left, top, width, _ROW_PX, Scale(0, 1), Scale(0, 1))
            panel.frame(title=str(curve["words"]) if top == _TOP else "")
            panel.say("Nothing to show:\nno row was compared\nthat knows these levels.")
        return
    kind: Kind = curve["scale"]
    x = Scale(float(edges[0]), float(edges[-1]), kind, 64.0)
    shares = {name: np.array(curve[name], dtype=np.float64) for name in ("placebo", "reference", "book")}
    highest = max(float(values.max(initial=0.0)) for values in shares.values())
    y = Scale(0.0, highest * 1.06 or 1.0)
    upper = Panel(svg, left, _TOP, width, _ROW_PX, x, y)
    upper.frame(
        title=str(curve["words"]),
        x_label=str(curve["unit"]),
        y_label="share of time" if labelled else "",
        x_ticks=x.ticks(4),
        y_ticks=[(at, percent(at)) for at, _ in y.ticks(4)],
    )
    places = upper.across(edges)
    for name, colour, thick in (("placebo", "placebo", 1.2), ("reference", "bid", 3.6), ("book", "ask", 1.4)):
        svg.path(stairs(places, upper.up(shares[name])), colour, width=thick, title=name)
    lower = Panel(svg, left, lower_top, width, _ROW_PX, x, x)
    lower.frame(
        x_label="reference, quantiles",
        y_label="book, quantiles" if labelled else "",
        x_ticks=x.ticks(4),
        y_ticks=x.ticks(4),
    )
    svg.line(lower.left, lower.bottom, lower.right, lower.top, "muted")
    theirs = lower.across(curve["reference_quantiles"])
    for name, colour, thick in (("placebo", "placebo", 4.0), ("book", "ask", 5.0)):
        values = curve[f"{name}_quantiles"]
        if len(values):
            svg.dots(theirs, lower.up(values), colour, width=thick, title=_farthest(curve, name))


def _farthest(curve: Mapping[str, Any], name: str) -> str:
    """The quantile that is farthest from the reference's, in words."""
    ours, theirs = np.array(curve[f"{name}_quantiles"]), np.array(curve["reference_quantiles"])
    at = int(np.abs(ours - theirs).argmax())
    found = f"{number(float(ours[at]))}, reference {number(float(theirs[at]))}"
    return f"{name}: farthest at {percent(curve['probabilities'][at])}: {found}"
