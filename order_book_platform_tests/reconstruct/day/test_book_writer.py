"""Rows in the parts of a partition: cut where parts end, counted and hashed, also those of an earlier run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.encoding import VERBATIM
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.storage import DataStore, PartitionWriter

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def rows(start: int, count: int) -> np.ndarray:
    """Rows of one level a side; every second one is crossed."""
    number = np.arange(start, start + count)
    flags = np.where(number % 2, int(BookFlag.CROSSED), 0)
    head = np.stack([number, number + 1, number, flags, np.ones(count), np.ones(count)], 1)
    return np.hstack([head, np.tile([100, 1, 99, 2], (count, 1))]).astype(np.int64)


def write(writer: PartitionWriter, parts: list[int], wanted: list[int]) -> BookWriter:
    """Write parts of so many rows, those of `parts` before, as an earlier run would have left them."""
    book = BookWriter(writer, 1, VERBATIM)
    for number, count in enumerate(parts):
        book.write(book.table(rows(100 * number, count)))
        book.end_part()
    if wanted:
        other = BookWriter(writer, 1, VERBATIM)
        other.adopt(book.finished)
        book = other
        for number, count in enumerate(wanted, len(parts)):
            book.write(book.table(rows(100 * number, count)))
            book.end_part()
    book.close()
    return book


def test_parts_that_are_adopted_count_as_written(tmp_path: Path) -> None:
    """The hash, the counts and the files are those of a run that wrote them all."""
    store = DataStore(tmp_path)
    found = []
    for parts, wanted in (([3, 4, 2], []), ([3, 4], [2])):
        with store.write("reconstructed_books", KEY) as writer:
            book = write(writer, parts, wanted)
        files = sorted(path.name for path in store.folder("reconstructed_books", KEY).glob("*.parquet"))
        found.append((book.tables.digest.hexdigest(), book.tables.counts, book.rows, book.table_rows, files))
    assert found[0] == found[1]
    assert found[0][1]["crossed_rows"] == 4
    assert found[0][2:] == (9, 9, ["books-00000.parquet", "books-00001.parquet", "books-00002.parquet"])


def test_a_partition_without_rows_has_one_empty_part(tmp_path: Path) -> None:
    """So that readers find its schema."""
    store = DataStore(tmp_path)
    with store.write("reconstructed_books", KEY) as writer:
        write(writer, [], [])
    (path,) = store.folder("reconstructed_books", KEY).glob("*.parquet")
    table: pa.Table = pq.read_table(path)
    assert (path.name, table.num_rows) == ("books-00000.parquet", 0)
    assert "bid_0_price_pips" in table.schema.names


def test_a_part_without_rows_is_none(tmp_path: Path) -> None:
    """Two ends in a row make one part."""
    with DataStore(tmp_path).write("reconstructed_books", KEY) as writer:
        book = BookWriter(writer, 1, VERBATIM)
        book.end_part()
        book.write(book.table(rows(0, 2)))
        book.end_part()
        book.end_part()
        assert [part.name for part in book.finished] == ["books-00000.parquet"]
