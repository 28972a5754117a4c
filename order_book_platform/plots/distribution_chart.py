"""Distributions of a book's states beside those of its reference: shares of time, and quantiles over quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from order_book_platform.plots.axes import (
    Panel,
    Scale,
    Spacing,
    draw_empty_panel,
    number_label,
    percent_label,
)
from order_book_platform.plots.svg import WIDTH_PX, Svg, step_path

_TOP, _LOWER_TOP, _HEIGHT = 52, 278, 150
_LEFT, _RIGHT, _BETWEEN_PX = 66, 16, 48
_LINEAR = 64.0
"""Values up to here are on the linear part of a symlog axis."""


def distribution_chart(curves: Sequence[Mapping[str, Any]]) -> Svg:
    """Draw a column for each state: shares of time above, the book's quantiles over the reference's below.

    Args:
        curves: `states` of the fidelity report's report.json, each with words, unit, scale (`linear`, `log`,
            `symlog`), edges (float[m + 1]), reference, book and placebo (float[m], shares of time), probabilities,
            reference_quantiles, book_quantiles and placebo_quantiles (float[q]); the lists are empty where nothing
            was compared.
    """
    svg = Svg(_LOWER_TOP + _HEIGHT + 42, "Distributions of book and reference")
    count = max(len(curves), 1)
    width = (WIDTH_PX - _LEFT - _RIGHT - _BETWEEN_PX * (count - 1)) / count
    for index, curve in enumerate(curves):
        left = _LEFT + index * (width + _BETWEEN_PX)
        if len(curve["edges"]):
            _draw_state(svg, curve, left, width, is_first=index == 0)
        else:
            for top, title in ((_TOP, str(curve["words"])), (_LOWER_TOP, "")):
                message = "Nothing to show:\nno row was compared\nthat knows these levels."
                draw_empty_panel(svg, left, top, width, _HEIGHT, title=title, message=message)
    placebo = "placebo: the reference without its best level"
    svg.legend(WIDTH_PX - _RIGHT, 16, (("reference", "bid"), ("book", "ask"), (placebo, "placebo")))
    return svg


def _draw_state(svg: Svg, curve: Mapping[str, Any], left: float, width: float, *, is_first: bool) -> None:
    """Draw both panels of a state; only the first column names its vertical axes."""
    edges = np.array(curve["edges"], dtype=np.float64)
    spacing: Spacing = curve["scale"]
    values = Scale(float(edges[0]), float(edges[-1]), spacing, _LINEAR)
    shares = {name: np.array(curve[name], dtype=np.float64) for name in ("placebo", "reference", "book")}
    highest = max(float(share.max(initial=0.0)) for share in shares.values())
    upper = Panel(svg, left, _TOP, width, _HEIGHT, values, Scale(0.0, highest * 1.06 or 1.0))
    upper.draw_axes(
        title=str(curve["words"]),
        x_label=str(curve["unit"]),
        y_label="share of time" if is_first else "",
        x_ticks=values.ticks(4),
        y_ticks=[(share, percent_label(share)) for share, _ in upper.y_scale.ticks(4)],
    )
    # The reference is thick and lies below the book's thin line, so that both are seen where they agree.
    for name, colour, thickness in (
        ("placebo", "placebo", 1.2),
        ("reference", "bid", 3.6),
        ("book", "ask", 1.4),
    ):
        data = step_path(upper.x_px(edges), upper.y_px(shares[name]))
        svg.path(data, colour, width=thickness, title=name)
    lower = Panel(svg, left, _LOWER_TOP, width, _HEIGHT, values, values)
    lower.draw_axes(
        x_label="reference, quantiles",
        y_label="book, quantiles" if is_first else "",
        x_ticks=values.ticks(4),
        y_ticks=values.ticks(4),
    )
    svg.line(lower.left, lower.bottom, lower.right, lower.top, "muted")
    for name, colour, thickness in (("placebo", "placebo", 4.0), ("book", "ask", 5.0)):
        quantiles = curve[f"{name}_quantiles"]
        if len(quantiles):
            x, y = lower.x_px(curve["reference_quantiles"]), lower.y_px(quantiles)
            svg.dots(x, y, colour, width=thickness, title=_farthest_quantile(curve, name))


def _farthest_quantile(curve: Mapping[str, Any], name: str) -> str:
    """Tell which quantile of the book or placebo is farthest from the reference's."""
    ours, reference = np.array(curve[f"{name}_quantiles"]), np.array(curve["reference_quantiles"])
    index = int(np.abs(ours - reference).argmax())
    values = f"{number_label(float(ours[index]))}, reference {number_label(float(reference[index]))}"
    return f"{name}: farthest at {percent_label(curve['probabilities'][index])}: {values}"
