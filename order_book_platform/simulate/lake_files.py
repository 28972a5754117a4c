"""Files of a symbol and day in Crypto Lake's layout: written, put in place together, and read by position."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.errors import SettingsError, SourceValueError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import BOOK_COLUMNS, DELTA_COLUMNS, TRADE_COLUMNS, LakeFile
from order_book_platform.storage import ParquetSink
from order_book_platform.storage.disk import locked_folder, translate_write_errors

FILE_NAME = "1.snappy.parquet"
RECORD = "truth/faults"
RECORD_NAME = "faults.json"
_TRADE_ORDER = ("side", "amount", "price", "id", "timestamp", "receipt_timestamp")
LAKE_TABLES = ("book_delta_v2", "book", "trades")


def _truth_schema(names: str) -> pa.Schema:
    """Make a schema of columns in file order: prices and sizes as float64, the side as bool, all others as int64."""
    kinds = {"side_is_bid": pa.bool_()}
    kinds |= {name: pa.float64() for name in names.split() if name.endswith(("price", "size"))}
    return pa.schema([(name, kinds.get(name, pa.int64())) for name in names.split()])


SCHEMAS: dict[str, pa.Schema] = {
    "book_delta_v2": pa.schema(list(DELTA_COLUMNS.items())),
    "book": pa.schema(list(BOOK_COLUMNS.items())),
    "trades": pa.schema([(name, TRADE_COLUMNS[name]) for name in _TRADE_ORDER]),
    "truth/book_ticker": _truth_schema(
        "timestamp receipt_timestamp update_id bid_price bid_size ask_price ask_size"
    ),
    "truth/update_chain": _truth_schema(
        "timestamp transaction_timestamp receipt_timestamp first_update_id final_update_id prev_final_update_id"
    ),
    "truth/full_book": _truth_schema("sequence_number side_is_bid price size"),
}
"""Columns of each table by its folder below the root; the first three tables are as Crypto Lake ships them."""


@contextmanager
def lake_writer(
    root: Path, key: PartitionKey, tables: Iterable[str] = tuple(SCHEMAS)
) -> Iterator[dict[str, ParquetSink]]:
    """Give a sink for each table of one symbol and day, whose files are finished when the block ends.

    The files lie in `root` in Crypto Lake's layout; after an error they are closed unfinished.
    """
    sinks: dict[str, ParquetSink] = {}
    try:
        for table in tables:
            path = table_file(root, table, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = 32_768 if table == "book" else 1_048_576
            sinks[table] = ParquetSink(path, SCHEMAS[table], rows, options={"compression": "snappy"})
        yield sinks
        for sink in sinks.values():
            sink.close()
    except BaseException:
        for sink in sinks.values():
            sink.abandon()
        raise


def table_file(root: Path, table: str, key: PartitionKey) -> Path:
    """Give the path of the one file that a simulation writes for a table."""
    return root / table / key.path / FILE_NAME


def record_file(root: Path, key: PartitionKey) -> Path:
    """Give the path of the record of injected faults."""
    return root / RECORD / key.path / RECORD_NAME


def written_files(root: Path, key: PartitionKey, tables: Iterable[str]) -> dict[str, Path]:
    """Give the paths of the files of some tables and of the record, by table; `truth/faults` is the record."""
    return {table: table_file(root, table, key) for table in tables} | {RECORD: record_file(root, key)}


def write_record(root: Path, key: PartitionKey, **content: Any) -> None:
    """Write the record of injected faults of one symbol and day, which are added to its content."""
    path = record_file(root, key)
    content |= {"symbol": key.instrument.key, "day": key.day.isoformat()}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_record(root: Path, key: PartitionKey) -> dict[str, Any]:
    """Read the record of injected faults of one symbol and day."""
    content: dict[str, Any] = json.loads(record_file(root, key).read_text(encoding="utf-8"))
    return content


@contextmanager
def staging_folder(root: Path, key: PartitionKey) -> Iterator[Path]:
    """Give a folder to build the files of one symbol and day in, which are moved into `root` when the block ends.

    What stands in the folder's `done` is moved, unless the block ends with an error. The record goes first: if the
    process is killed between two files, the next simulation sees that it may replace what is there.

    Raises:
        SettingsError: `root` holds files of that symbol and day which no simulation wrote.
        PartitionBusyError: another process is simulating the same symbol and day there.
    """
    _refuse_real_data(root, key)
    name = f".simulating-{key.instrument.exchange}-{key.instrument.symbol}-{key.day}"
    with translate_write_errors(root / name), locked_folder(root / name) as folder:
        try:
            yield folder
            for built in sorted(
                (folder / "done").rglob("*.*"), key=lambda path: (path.suffix != ".json", path)
            ):
                if built.is_file():
                    target = root / built.relative_to(folder / "done")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    built.replace(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_real_data(root: Path, key: PartitionKey) -> None:
    """Refuse to write over, or beside, files of a symbol and day that no simulation made."""
    if record_file(root, key).exists():
        return
    for table in LAKE_TABLES:
        found = sorted((root / table / key.path).glob("*.parquet"))
        if found:
            raise SettingsError(
                expected="a folder without files of this symbol and day, or with files of an earlier simulation",
                found=found[0].name,
                where=str(found[0].parent),
                remedy="Choose another folder, symbol or day; simulated files never replace recorded ones.",
            )


@dataclass(slots=True)
class RowReader:
    """Reads rows of a table by their position in all of its files, which are given in order.

    The last row group that was read is kept, since faults are placed close to one another.
    """

    files: list[LakeFile]
    _group: tuple[int, int] = (-1, -1)
    _cached: pa.Table | None = None

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)

    def read(self, start: int, stop: int) -> pa.Table:
        """Read rows start … stop − 1; at least one."""
        parts, first = [], 0
        for f, file in enumerate(self.files):
            for g in range(file.parquet.num_row_groups):
                count = file.parquet.metadata.row_group(g).num_rows
                low, high = max(start, first), min(stop, first + count)
                if low < high:
                    if self._group != (f, g) or self._cached is None:
                        self._group, self._cached = (f, g), file.parquet.read_row_group(g)
                    parts.append(self._cached.slice(low - first, high - low))
                first += count
        return pa.concat_tables(parts)


@dataclass(frozen=True, slots=True)
class LakeIndex:
    """Index of one symbol and day with m messages and b rows of `book`; sequence numbers ascend.

    Message i has the rows first_row[i] … first_row[i + 1] − 1 of `deltas`, number `sequence`, int64[m], and exchange
    time `timestamp`, int64[m] ns. `book_row`, int64[b], has the positions of the rows of `books`.
    """

    deltas: RowReader
    sequence: Int64Array
    timestamp: Int64Array
    first_row: Int64Array
    books: RowReader
    book_row: Int64Array
    book_sequence: Int64Array

    @property
    def messages(self) -> int:
        """Number of messages of the day."""
        return len(self.sequence)

    def message_rows(self, start: int, stop: int) -> pa.Table:
        """Read the delta rows of messages start … stop − 1."""
        return self.deltas.read(int(self.first_row[start]), int(self.first_row[stop]))

    def books_between(self, start: int, stop: int) -> tuple[int, int]:
        """Give the range of book rows that show the book from just before message `start` to after message `stop` − 1.

        They are indices of `book_row`: the last row before message `start`, and the one behind the last. The range is
        empty where there is none before.
        """
        low = int(np.searchsorted(self.book_sequence, self.sequence[start], "left")) - 1
        high = int(np.searchsorted(self.book_sequence, self.sequence[stop - 1], "right"))
        return (low, high) if low >= 0 else (0, 0)


def read_index(source: LakeSource, key: PartitionKey) -> LakeIndex:
    """Index one symbol and day by times and sequence numbers; messages out of order are a `SourceValueError`."""
    deltas = RowReader(source.files("book_delta_v2", key))
    books = RowReader(source.files("book", key))
    first_row, timestamp, sequence = _first_rows(deltas, source.batch_rows)
    book_row, _, book_sequence = _first_rows(books, source.batch_rows)
    first_row = np.append(first_row, deltas.rows)
    return LakeIndex(deltas, sequence, timestamp, first_row, books, book_row, book_sequence)


def _first_rows(reader: RowReader, batch_rows: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Find where each run of one sequence number starts; gives first rows, their timestamps and the numbers."""
    parts: list[tuple[Int64Array, Int64Array, Int64Array]] = []
    last, offset = None, 0
    for file in reader.files:
        for row, batch in file.batches(["timestamp", "sequence_number"], batch_rows):
            numbers = batch.column("sequence_number").to_numpy(zero_copy_only=False)
            steps = np.diff(numbers, prepend=numbers[0] - 1 if last is None else last)
            if (steps < 0).any():
                raise SourceValueError(
                    expected="ascending sequence numbers",
                    found=str(numbers[np.argmax(steps < 0)]),
                    where=f"{file.path}: column sequence_number, row {row + int(np.argmax(steps < 0))}",
                    remedy="Sort the file first: faults are placed by message, and messages must be whole.",
                )
            starts = np.flatnonzero(steps)
            last = numbers[-1]
            times = batch.column("timestamp").to_numpy(zero_copy_only=False)
            parts.append((starts + offset, times[starts], numbers[starts]))
            offset += batch.num_rows
    first_rows, timestamps, sequence = (np.concatenate(each) for each in zip(*parts, strict=True))
    return first_rows, timestamps, sequence
