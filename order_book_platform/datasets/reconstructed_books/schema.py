"""Schemas of the books, of the snapshots that were used, and of the closing state, with the names of their files."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from order_book_platform.datasets.columns import required
from order_book_platform.model.arrays import DEPTH
from order_book_platform.storage.parquet_sink import Packing

USED_SNAPSHOTS_FILE = "used_snapshots.parquet"
CLOSING_STATE_FILE = "closing_state.parquet"

USED_SNAPSHOTS_SCHEMA = pa.schema(
    [
        required("sequence_number", pa.int64()),
        required("origin_time", pa.int64()),
        required("use", pa.string()),
        required("levels_compared", pa.int64()),
        required("levels_wrong", pa.int64()),
        required("levels_added", pa.int64()),
    ]
)

CLOSING_STATE_SCHEMA = pa.schema(
    [
        required("is_bid", pa.bool_()),
        required("price_pips", pa.int64()),
        required("size_pips", pa.int64()),
        required("known", pa.bool_()),
    ]
)


@cache
def books_schema(depth: int = DEPTH) -> pa.Schema:
    """Return the schema of the books: level 0 is best, missing levels are null."""
    head = [
        required("origin_time", pa.int64()),
        required("received_time", pa.int64()),
        required("sequence_number", pa.int64()),
        required("flags", pa.uint8()),
        required("known_bid_levels", pa.uint8()),
        required("known_ask_levels", pa.uint8()),
    ]
    return pa.schema(head + [pa.field(name, pa.int64()) for name in level_columns(depth)])


@cache
def level_columns(depth: int = DEPTH) -> tuple[str, ...]:
    """Return `bid_0_price_pips, bid_0_size_pips, … ask_19_size_pips`: 4·depth names, in file order."""
    return tuple(
        f"{side}_{level}_{field}_pips"
        for side in ("bid", "ask")
        for level in range(depth)
        for field in ("price", "size")
    )


def books_packing(schema: pa.Schema) -> dict[str, Packing]:
    """Return how columns are encoded in files: prices and sizes of levels recur from row to row."""
    return {name: "dictionary" for name in schema.names if name.startswith(("bid_", "ask_"))}
