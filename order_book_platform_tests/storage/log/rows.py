"""Rows whose content follows from their number, so that a lost, repeated, moved or invented row is noticed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pyarrow as pa

from order_book_platform.storage.log import LogReader, LogWriter
from order_book_platform.storage.master_keys import MasterKeys

SCHEMA = pa.schema(
    [
        pa.field("place", pa.int64(), nullable=False),
        pa.field("levels", pa.list_(pa.field("item", pa.int64(), nullable=False))),
        pa.field("text", pa.string()),
    ],
    metadata={"symbol": "BINANCE:BTC-USDT"},
)


def batch(first_row: int, rows: int) -> pa.RecordBatch:
    """Make rows from a row number on."""
    places = range(first_row, first_row + rows)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(places, pa.int64()),
            pa.array([[place, -place][: place % 3] for place in places], SCHEMA.field("levels").type),
            pa.array([f"row {place * 7919}" if place % 5 else None for place in places], pa.string()),
        ],
        schema=SCHEMA,
    )


def append(writer: LogWriter, rows: int) -> None:
    """Append the rows whose numbers come next."""
    first_row = writer.next_row
    assert writer.append(batch(first_row, rows)) == first_row
    assert writer.next_row == first_row + rows


def checked_rows(folder: Path, from_row: int = 0, keys: MasterKeys | None = None) -> int:
    """Read a log, compare every row with its number, and return the number of rows."""
    place = from_row
    for rows in LogReader(folder, keys).read(from_row):
        assert rows.first_row == place
        assert rows.batch.schema.equals(SCHEMA, check_metadata=True)
        assert rows.batch.equals(batch(place, rows.batch.num_rows))
        assert rows.batch.num_rows > 0
        place = rows.next_row
    return place


def names(folder: Path) -> list[str]:
    """List the names in a folder, without the leading zeros of row numbers."""
    return sorted(re.sub(r"^0{1,19}(?=\d)", "", path.name) for path in folder.iterdir())


def sealed_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every sealed segment by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("[0-9]*.parquet")
    }
