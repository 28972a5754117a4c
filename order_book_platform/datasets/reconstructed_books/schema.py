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
        *required(pa.int64(), "sequence_number", "origin_time"),
        *required(pa.string(), "use"),
        *required(pa.int64(), "levels_compared", "levels_wrong", "levels_added"),
    ]
)

CLOSING_STATE_SCHEMA = pa.schema(
    [
        *required(pa.bool_(), "is_bid"),
        *required(pa.int64(), "price_pips", "size_pips"),
        *required(pa.bool_(), "known"),
    ]
)


@cache
def books_schema(depth: int = DEPTH) -> pa.Schema:
    """Return the schema of the books: level 0 is best, missing levels are null."""
    head = [
        *required(pa.int64(), "origin_time", "received_time", "sequence_number"),
        *required(pa.uint8(), "flags", "known_bid_levels", "known_ask_levels"),
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
