"""Schema of the books: names, order and nullability of their columns."""

from __future__ import annotations

import pytest

from order_book_platform.datasets.reconstructed_books.schema import (
    books_packing,
    books_schema,
    level_columns,
)


def test_level_columns() -> None:
    """Bids from the best down, then asks from the best up, price before size."""
    assert level_columns(2) == (
        "bid_0_price_pips",
        "bid_0_size_pips",
        "bid_1_price_pips",
        "bid_1_size_pips",
        "ask_0_price_pips",
        "ask_0_size_pips",
        "ask_1_price_pips",
        "ask_1_size_pips",
    )
    assert len(level_columns()) == 80


@pytest.mark.parametrize("depth", [1, 20])
def test_books(depth: int) -> None:
    """Six columns that are always there, then the levels, null where there is none."""
    schema = books_schema(depth)
    assert schema.names[:6] == [
        "origin_time",
        "received_time",
        "sequence_number",
        "flags",
        "known_bid_levels",
        "known_ask_levels",
    ]
    assert tuple(schema.names[6:]) == level_columns(depth)
    assert [field.nullable for field in schema] == [False] * 6 + [True] * (4 * depth)


def test_only_levels_are_packed_in_dictionaries() -> None:
    """Prices and sizes recur from row to row; times and numbers do not."""
    schema = books_schema(2)
    assert set(books_packing(schema)) == set(level_columns(2))
    assert set(books_packing(schema).values()) == {"dictionary"}
