"""Crypto Lake files: finds, opens, checks and orders them, decodes them batch by batch, and checks their rows.

The layout is `<root>/<table>/exchange=E/symbol=S/dt=D/` with any number of Parquet files of any name. Layout and
columns are those of `lakeapi` 0.22.3 and of the vendor's data page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.errors import (
    OffGridError,
    SourceAccessError,
    SourceCorruptError,
    SourceEmptyError,
    SourceMissingError,
    SourceSchemaError,
    SourceValueError,
)
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.model.arrays import DEPTH, BoolArray, Float64Array
from order_book_platform.storage.parquet_rows import decode_row_groups
from order_book_platform.storage.partition_writer import file_sha256

DELTA_COLUMNS: dict[str, pa.DataType] = {
    "timestamp": pa.int64(),
    "receipt_timestamp": pa.int64(),
    "sequence_number": pa.int64(),
    "side_is_bid": pa.bool_(),
    "price": pa.float64(),
    "size": pa.float64(),
}
TRADE_COLUMNS: dict[str, pa.DataType] = {
    "timestamp": pa.int64(),
    "receipt_timestamp": pa.int64(),
    "id": pa.int64(),
    "side": pa.string(),
    "price": pa.float64(),
    "amount": pa.float64(),
}
BOOK_COLUMNS: dict[str, pa.DataType] = {
    "timestamp": pa.int64(),
    "receipt_timestamp": pa.int64(),
    "sequence_number": pa.int64(),
    **{
        f"{side}_{level}_{field}": pa.float64()
        for side in ("bid", "ask")
        for level in range(DEPTH)
        for field in ("price", "size")
    },
}
TABLES = {"book_delta_v2": DELTA_COLUMNS, "book": BOOK_COLUMNS, "trades": TRADE_COLUMNS}
"""Tables of the lake, with the columns and dtypes that are read."""
DATASET_OF_TABLE = {"book_delta_v2": "raw_deltas", "book": "snapshots", "trades": "trades"}
"""Dataset that each table is published as."""
_DAY_FOLDER = re.compile(r"dt=(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One opened and checked Parquet file of a table of Crypto Lake, or a stretch of its rows.

    Rows are read from `first_row` on, and no more than `most_rows` unless that is None.
    """

    path: Path
    table: str
    parquet: pq.ParquetFile
    first_row: int = 0
    most_rows: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows that are read, by the footer."""
        rest = int(self.parquet.metadata.num_rows) - self.first_row
        return rest if self.most_rows is None else min(rest, self.most_rows)

    def batches(self, columns: list[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Decode some columns row group by row group; yields the row of the file that a batch begins with, and it.

        A page that cannot be decoded, and rows that are missing, are a `SourceCorruptError`.
        """
        row, end = self.first_row, self.first_row + self.rows
        try:
            for batch in decode_row_groups(self.parquet, min(batch_rows, self.rows), columns, row):
                yield row, batch.slice(0, end - row)
                row += batch.num_rows
                if row >= end:
                    return
        except (OSError, pa.ArrowException) as error:
            raise corrupt_error(self.path, f"{error} after row {row}") from error
        raise corrupt_error(self.path, f"{row} rows where the footer says {end}")

    def leaf(self, column: str) -> int:
        """Return the place of a flat column among the leaves, by which statistics are found.

        It may differ from the column's place in the schema, because a struct before it has several leaves.
        """
        schema = self.parquet.metadata.schema
        return next(i for i in range(len(schema)) if schema.column(i).path == column)

    def extreme(self, column: str, batch_rows: int) -> tuple[float, float]:
        """Return the smallest and largest value of a column, from the statistics where every row group has them."""
        index = self.leaf(column)
        groups = [
            self.parquet.metadata.row_group(g).column(index).statistics
            for g in range(self.parquet.num_row_groups)
        ]
        if groups and all(stats is not None and stats.has_min_max for stats in groups):
            return min(stats.min for stats in groups), max(stats.max for stats in groups)
        low, high = np.inf, -np.inf
        for _, batch in self.batches([column], batch_rows):
            limits = pc.min_max(batch.column(0)).as_py()
            if limits["min"] is not None:
                low, high = min(low, limits["min"]), max(high, limits["max"])
        return low, high

    def value_error(self, column: str, row: int, found: str, expected: str) -> SourceValueError:
        """Return the error for one bad value, for the caller to raise."""
        return SourceValueError(
            expected=expected,
            found=found,
            where=f"{self.path}: column {column}, row {row}",
            remedy="Download the file again or remove it; nothing was published from it.",
        )


class LakeSource:
    """Crypto Lake files below one root; every method raises `SourceAccessError` for what may not be read.

    `batch_rows` are decoded at a time where a file has no statistics to be ordered by.
    """

    def __init__(self, root: Path, batch_rows: int = 1_000_000) -> None:
        self.root = Path(root)
        self.batch_rows = batch_rows

    def days(self, table: str, instrument: Instrument) -> list[str]:
        """Return the UTC days `YYYY-MM-DD` for which the table has files; folders of other names do not count."""
        folder = self.root / table / f"exchange={instrument.exchange}" / f"symbol={instrument.symbol}"
        days = ((path, _DAY_FOLDER.fullmatch(path.name)) for path in _entries(folder))
        return [day[1] for path, day in days if day and _parquet_files(path)]

    def has(self, table: str, key: PartitionKey) -> bool:
        """Return whether the table has any file of this symbol and day."""
        return bool(_parquet_files(self.root / table / key.path))

    def require(self, table: str, key: PartitionKey) -> None:
        """Refuse with `SourceMissingError` a symbol and day without files of a table; the files are not opened."""
        if not self.has(table, key):
            raise self._missing(table, key, self.root / table / key.path)

    def files(self, table: str, key: PartitionKey) -> list[LakeFile]:
        """Open and check all files of one symbol and day, by their first sequence number or time, then by name.

        Raises:
            SourceMissingError: The root, the table, the symbol or the day is not there.
            SourceCorruptError: A file is truncated or damaged.
            SourceSchemaError: A column is missing or has another dtype.
            SourceEmptyError: A file has no rows.
        """
        self.require(table, key)
        files = [self._open(path, table) for path in _parquet_files(self.root / table / key.path)]
        order = "sequence_number" if "sequence_number" in TABLES[table] else "timestamp"
        return sorted(files, key=lambda file: (file.extreme(order, self.batch_rows)[0], file.path.name))

    def files_by_table(self, key: PartitionKey) -> dict[str, list[LakeFile]]:
        """Open and check the files of all tables of one symbol and day; `book` and `trades` may have none."""
        files = {"book_delta_v2": self.files("book_delta_v2", key)}
        for table in ("book", "trades"):
            files[table] = self.files(table, key) if self.has(table, key) else []
        return files

    def fingerprints(self, table: str, key: PartitionKey) -> dict[str, str]:
        """Return the SHA-256 of each file of one symbol and day, by name."""
        found = {}
        for path in _parquet_files(self.root / table / key.path):
            try:
                found[path.name] = file_sha256(path)
            except PermissionError as error:
                raise _inaccessible(path, "file", error) from error
        return found

    def _open(self, path: Path, table: str) -> LakeFile:
        try:
            parquet = pq.ParquetFile(path)
        except PermissionError as error:
            raise _inaccessible(path, "file", error) from error
        except (OSError, pa.ArrowException) as error:
            raise corrupt_error(path, str(error)) from error
        schema = parquet.schema_arrow
        names = set(schema.names)
        for column, kind in TABLES[table].items():
            if column not in names:
                raise SourceSchemaError(
                    expected=f"column {column} ({kind})",
                    found="columns " + ", ".join(schema.names[:8]) + ("…" if len(schema.names) > 8 else ""),
                    where=str(path),
                    remedy=f"Check that this is a file of Crypto Lake's table {table}, with its raw column names.",
                )
            found = schema.field(column).type
            if found != kind and not (kind == pa.string() and pa.types.is_large_string(found)):
                raise SourceSchemaError(
                    expected=f"{kind}",
                    found=f"{found}",
                    where=f"{path}: column {column}",
                    remedy="Keep the dtypes Crypto Lake ships: int64 times, float64 prices and sizes, bool side.",
                )
        if parquet.metadata.num_rows == 0:
            raise SourceEmptyError(
                expected="at least one row",
                found="none",
                where=str(path),
                remedy="Download the file again, or remove it if the day has others.",
            )
        return LakeFile(path, table, parquet)

    def _missing(self, table: str, key: PartitionKey, folder: Path) -> SourceMissingError:
        if not self.root.is_dir():
            found, remedy = "no such folder", "Set lake_root to the folder that holds book_delta_v2/."
        elif not (self.root / table).is_dir():
            tables = [path.name for path in _entries(self.root) if path.is_dir()]
            found, remedy = f"tables {', '.join(tables) or '(none)'}", f"Download the table {table}."
        else:
            days = self.days(table, key.instrument)
            if len(days) == 1:
                found, remedy = f"the day {days[0]} alone", "Choose that day, or fetch this one's files."
            elif days:
                found = f"{len(days)} days from {days[0]} to {days[-1]}"
                remedy = "Choose one of these days, or fetch this one's files."
            elif folder.parent.is_dir():
                names = [path.name for path in _entries(folder.parent)]
                found = f"no day with *.parquet files; in {folder.parent.name}: {', '.join(names[:5]) or 'nothing'}"
                found += ", …" if len(names) > 5 else ""
                remedy = "Put the files into dt=YYYY-MM-DD, or fetch them."
            else:
                symbols = [
                    f"{exchange.name.removeprefix('exchange=')}:{symbol.name.removeprefix('symbol=')}"
                    for exchange in _entries(self.root / table)
                    for symbol in _entries(exchange)
                    if exchange.name.startswith("exchange=") and symbol.name.startswith("symbol=")
                ]
                found = "symbols " + (", ".join(symbols) or "(none)")
                remedy = "Check the symbol's spelling."
        return SourceMissingError(
            expected=f"Parquet files of {table} for {key}", found=found, where=str(folder), remedy=remedy
        )


def _entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in order of name, none if there is no such folder.

    `glob` is not used, because it gives nothing for a folder that may not be read, as if it were empty.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _inaccessible(folder, "folder", error) from error


def _parquet_files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.name.endswith(".parquet")]


def corrupt_error(path: Path, found: str) -> SourceCorruptError:
    """Return the error for a file that cannot be decoded, for the caller to raise."""
    return SourceCorruptError(
        expected="a complete Parquet file",
        found=found,
        where=str(path),
        remedy="Download the file again; a damaged file is never read as an empty day.",
    )


def _inaccessible(path: Path, kind: str, error: OSError) -> SourceAccessError:
    return SourceAccessError(
        expected=f"a {kind} that can be read",
        found=os.strerror(error.errno) if error.errno else str(error),
        where=str(path),
        remedy="Give this user the right to read it and the folders above it.",
    )


@dataclass(slots=True)
class ReadAudit:
    """Counts of the rows of one table; unsorted ones have a lower sequence number, or time, than the row before."""

    rows: int = 0
    files: int = 0
    unsorted_rows: int = 0


@dataclass(slots=True)
class GridAudit(ReadAudit):
    """Counts of a table whose prices and sizes have to lie on a grid of decimals.

    `first_off_grid` has file, column, row and value of the first float that is no decimal with that many places.
    """

    off_grid_prices: int = 0
    off_grid_sizes: int = 0
    first_off_grid: str = ""


def check_grid(audit: GridAudit, scale: FixedPoint, files: Sequence[LakeFile], accepted: int) -> None:
    """Refuse with `OffGridError`, which names the first, a table with more off-grid values than accepted."""
    off = audit.off_grid_prices + audit.off_grid_sizes
    if off > accepted:
        raise OffGridError(
            expected=f"at most {scale.price_decimals} decimals in prices, {scale.size_decimals} in sizes",
            found=f"{off} values off that grid, the first {audit.first_off_grid}",
            where=str(files[0].path.parent),
            remedy="Set price_decimals or size_decimals of the instrument, or accept them with "
            "sources.max_off_grid_rows; they are then counted and taken as the nearest pip.",
        )


def check_nulls(file: LakeFile, row: int, batch: pa.RecordBatch) -> None:
    """Refuse nulls in any column of a batch whose first row is number `row` of the file."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise file.value_error(name, row + at, "null", "a value")


def check_values(
    file: LakeFile, row: int, column: str, values: Float64Array, in_range: BoolArray, expected: str
) -> None:
    """Refuse the first of float64[n], from row `row` of a file on, that is not finite or not in range, bool[n]."""
    good = in_range & np.isfinite(values)
    if not good.all():
        at = int(np.argmin(good))
        raise file.value_error(column, row + at, repr(float(values[at])), expected)


def check_times(file: LakeFile, row: int, batch: pa.RecordBatch, day: date) -> None:
    """Refuse times more than a day away from the partition's UTC day: another day's file, or another unit than ns.

    Origin times of 0 or less pass: they stand for "unknown" and are counted by the assessment.
    """
    start = day_start_ns(day)
    for column in ("timestamp", "receipt_timestamp"):
        times = batch.column(column).to_numpy()
        good = (times >= start - NS_PER_DAY) & (times < start + 2 * NS_PER_DAY)
        if column == "timestamp":
            good |= times <= 0
        if not good.all():
            at = int(np.argmin(good))
            found = f"{times[at]} ({iso_from_ns(times[at])})"
            raise file.value_error(column, row + at, found, f"a time within one day of {day}, in ns")
