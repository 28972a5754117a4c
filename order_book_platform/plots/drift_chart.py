"""How wrong a book is by its age: the time, and the messages, since a snapshot last shaped it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.plots.axes import Panel, Scale, percent
from order_book_platform.plots.svg import WIDTH_PX, Svg, broken_line

_TOP, _HEIGHT, _LEFT, _GAP = 36, 170, 70, 56
_LINEAR = 0.001
"""Shares up to here are on a linear axis, those beyond on a logarithmic one."""
_LINES = (("best_exact_share", "best bid and ask", "bid"), ("exact_share", "all claimed levels", "ask"))


def drift_chart(drift: pl.DataFrame) -> Svg:
    """The share of wrong rows by age: a panel for time, one for messages.

    Args:
        drift: columns age (`time` or `messages`), from (ns or messages), n, best_exact_share and exact_share; null
            where nothing was compared.
    """
    svg = Svg(_TOP + _HEIGHT + 48, "Errors by age of the book")
    width = (WIDTH_PX - _LEFT - 20 - _GAP) / 2
    for index, (age, label) in enumerate((("time", "time since"), ("messages", "messages since"))):
        rows = drift.filter(pl.col("age") == age)
        x = Scale(-0.5, max(len(rows), 1) - 0.5)
        panel = Panel(
            *(svg, _LEFT + index * (width + _GAP), _TOP, width, _HEIGHT),
            *(x, Scale(-_LINEAR / 4, 1.0, "symlog", _LINEAR)),
        )
        panel.frame(
            title="Wrong rows by age" if index == 0 else "",
            x_label=f"{label} a snapshot shaped the book, from",
            y_label="share of wrong rows" if index == 0 else "",
            x_ticks=[(at, _start(age, value)) for at, value in enumerate(rows["from"].to_list())],
            y_ticks=[(share, percent(share)) for share in (0.0, 0.001, 0.01, 0.1, 1.0)],
            grid_x=False,
        )
        if rows.is_empty():
            panel.say("Nothing to show: no held-out snapshot follows a used one.")
        for column, words, colour in _LINES:
            _draw(panel, rows, column, words, colour)
    svg.legend(WIDTH_PX - 20, 20, [(words, colour) for _, words, colour in _LINES])
    return svg


def _draw(panel: Panel, rows: pl.DataFrame, column: str, words: str, colour: str) -> None:
    wrong = 1.0 - rows[column].fill_null(np.nan).to_numpy()
    x, y = panel.across(np.arange(len(rows))), panel.up(wrong)
    panel.svg.path(broken_line(x, y), colour, width=1.4)
    panel.svg.dots(x, y, colour, width=6.0, title=f"{words}: {_worst(wrong, rows['n'].to_list())}")


def _worst(wrong: np.ndarray, counts: Sequence[int]) -> str:
    """The highest share and of how many rows, in words."""
    if not len(wrong) or np.isnan(wrong).all():
        return "not measured"
    at = int(np.nanargmax(wrong))
    return f"at most {percent(float(wrong[at]))} wrong, of {counts[at]:,} rows"


def _start(age: str, value: int) -> str:
    """Where a bucket begins, in words."""
    if age == "messages":
        return f"{value:,}"
    seconds = value / NS_PER_SECOND
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
