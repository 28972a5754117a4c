"""Schemas: names, units and nullability that files are promised to have."""

from __future__ import annotations

import pyarrow as pa
import pytest

from order_book_platform.datasets.reconstructed_books.schema import books_schema, level_columns
from order_book_platform_tests.all_schemas import ALL_SCHEMAS


@pytest.mark.parametrize("name", sorted(ALL_SCHEMAS))
def test_units_have_their_types(name: str) -> None:
    """Pips, times and ids are int64 wherever they stand; lists hold pips that are never null."""
    for field in ALL_SCHEMAS[name]:
        kind = field.type
        if pa.types.is_list(kind):
            assert field.name.endswith("_pips")
            assert not kind.value_field.nullable
            kind = kind.value_type
        if field.name.endswith(("_pips", "_time", "_id", "_number")):
            assert kind == pa.int64(), field.name


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
