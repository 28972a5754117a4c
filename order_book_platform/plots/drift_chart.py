"""How wrong a book is by its age: the time, and the number of messages, since a snapshot last shaped it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.axes import Panel, Scale, percent_label
from order_book_platform.plots.svg import WIDTH_PX, Svg, line_path

_TOP, _HEIGHT, _LEFT, _RIGHT, _BETWEEN_PX = 36, 170, 70, 20, 56
_LINEAR = 0.001
"""Shares up to here are on the linear part of the axis, larger ones on the logarithmic part."""
_SHARES = (("best_exact_share", "best bid and ask", "bid"), ("exact_share", "all claimed levels", "ask"))


def drift_chart(drift: pl.DataFrame) -> Svg:
    """Draw the share of wrong rows by age: one panel for time, one for messages.

    Args:
        drift: Columns age (`time` or `messages`), from (start of a bucket, ns or messages), n (rows compared),
            best_exact_share and exact_share; null where nothing was compared.
    """
    svg = Svg(_TOP + _HEIGHT + 48, "Errors by age of the book")
    width = (WIDTH_PX - _LEFT - _RIGHT - _BETWEEN_PX) / 2
    wrong_shares = Scale(-_LINEAR / 4, 1.0, "symlog", _LINEAR)
    for index, (age, label) in enumerate((("time", "time since"), ("messages", "messages since"))):
        rows = drift.filter(pl.col("age") == age)
        left = _LEFT + index * (width + _BETWEEN_PX)
        buckets = Scale(-0.5, max(len(rows), 1) - 0.5)
        panel = Panel(svg, left, _TOP, width, _HEIGHT, buckets, wrong_shares)
        panel.draw_axes(
            title="Wrong rows by age" if index == 0 else "",
            x_label=f"{label} a snapshot shaped the book, from",
            y_label="share of wrong rows" if index == 0 else "",
            x_ticks=[
                (bucket, _bucket_label(age, start)) for bucket, start in enumerate(rows["from"].to_list())
            ],
            y_ticks=[(share, percent_label(share)) for share in (0.0, 0.001, 0.01, 0.1, 1.0)],
            grid_x=False,
        )
        if rows.is_empty():
            panel.write_message("Nothing to show: no held-out snapshot follows a used one.")
        for column, words, colour in _SHARES:
            _draw_wrong_share(panel, rows, column, words, colour)
    svg.legend(WIDTH_PX - _RIGHT, 20, [(words, colour) for _, words, colour in _SHARES])
    return svg


def _draw_wrong_share(panel: Panel, rows: pl.DataFrame, column: str, words: str, colour: str) -> None:
    """Draw a dot for each bucket and a line through them."""
    wrong = 1.0 - rows[column].fill_null(np.nan).to_numpy()
    x, y = panel.x_px(np.arange(len(rows))), panel.y_px(wrong)
    panel.svg.path(line_path(x, y), colour, width=1.4)
    panel.svg.dots(x, y, colour, width=6.0, title=f"{words}: {_highest_share(wrong, rows['n'].to_list())}")


def _highest_share(wrong: Float64Array, counts: Sequence[int]) -> str:
    """Tell the highest share, and of how many rows it is."""
    if not len(wrong) or np.isnan(wrong).all():
        return "not measured"
    index = int(np.nanargmax(wrong))
    return f"at most {percent_label(float(wrong[index]))} wrong, of {counts[index]:,} rows"


def _bucket_label(age: str, start: int) -> str:
    """Write the start of a bucket, ns or messages."""
    if age == "messages":
        return f"{start:,}"
    seconds = start / NS_PER_SECOND
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
