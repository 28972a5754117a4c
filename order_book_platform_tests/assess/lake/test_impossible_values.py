"""Impossible values in footers: named as the ingest would refuse them, and counted for their rule."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from order_book_platform.assess.lake.impossible_values import (
    impossible_figure,
    impossible_note,
    impossible_values,
)
from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.sources.parquet_statistics import ParquetStatistics

DAY = date(2024, 1, 2)
START = day_start_ns(DAY)
FIRST, LAST = "2024-01-02T00:00:00.000000000Z", "2024-01-04T00:00:00.000000000Z"


def footers(
    table: str = "book_delta_v2", nulls: dict[str, int] | None = None, **limits: list[float]
) -> dict[str, ParquetStatistics]:
    """Statistics of one row group with these limits."""
    arrays = {name: np.array([pair]) for name, pair in limits.items()}
    return {table: ParquetStatistics(table, 1, 100, np.array([10]), arrays, nulls or {})}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (footers(price=[1.0, 2.0], size=[0.0, 5.0], timestamp=[START, START + 1]), []),
        (footers(timestamp=[0, START]), []),
        (footers(nulls={"price": 2, "size": 0}), ["nulls in price (2)"]),
        (footers(price=[0.0, 2.0]), ["prices down to 0"]),
        (footers(size=[-0.5, 2.0]), ["sizes down to -0.5"]),
        (footers(price=[1.0, np.inf]), ["prices up to inf"]),
        (footers("trades", amount=[-0.0, 2.0]), ["trades: amounts down to 0"]),
        (
            footers("book", receipt_timestamp=[START, START + 2 * NS_PER_DAY]),
            [f"book: times of another day in receipt_timestamp: {FIRST} to {LAST}"],
        ),
    ],
)
def test_what_is_impossible_is_named(found: dict[str, ParquetStatistics], wanted: list[str]) -> None:
    """One phrase each; a size of 0 removes a level, an origin time of 0 is unknown, and both are possible."""
    assert impossible_values(DAY, found) == wanted


def test_the_figure_counts_kinds_and_stands_on_row_groups() -> None:
    """Without any statistics there is no figure; without a find there is no note."""
    found = footers(price=[1.0, 2.0])
    assert impossible_figure(["a", "b"], found)["impossible"][:2] == (2, 1)
    assert impossible_figure([], footers()) == {}
    assert (impossible_note([]), impossible_note(["a", "b"])) == ({}, {"impossible": ": a; b"})
