"""Crypto Lake files: finding, ordering, opening and checking them, batch by batch.

Layout and columns: facts of `lakeapi` 0.22.3 and the vendor's data page; `<root>/<table>/exchange=E/symbol=S/dt=D/`
with any number of files of any name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from order_book_platform.errors import (
    SourceAccessError,
    SourceCorruptError,
    SourceEmptyError,
    SourceMissingError,
    SourceSchemaError,
    SourceValueError,
)
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.levels import DEPTH
from order_book_platform.storage.manifest import file_sha256
from order_book_platform.storage.parquet_rows import decode_row_groups

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
_DAY_FOLDER = re.compile(r"dt=(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One opened and checked Parquet file.

    Attributes:
        path: where it is.
        table: its Crypto Lake table.
        parquet: the open file.
    """

    path: Path
    table: str
    parquet: pq.ParquetFile

    @property
    def rows(self) -> int:
        """Row count of the footer."""
        return int(self.parquet.metadata.num_rows)

    def batches(self, columns: list[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Decode row group by row group.

        Yields:
            Index of the batch's first row in the file, and the batch.

        Raises:
            SourceCorruptError: a page cannot be decoded, or rows are missing.
        """
        row = 0
        try:
            for batch in decode_row_groups(self.parquet, batch_rows, columns):
                yield row, batch
                row += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise self.corrupt(f"{error} after row {row}") from error
        if row != self.rows:
            raise self.corrupt(f"{row} rows where the footer says {self.rows}")

    def leaf(self, column: str) -> int:
        """The place of a flat column among the leaves, which statistics go by: a struct before it has several."""
        schema = self.parquet.metadata.schema
        return next(i for i in range(len(schema)) if schema.column(i).path == column)

    def extreme(self, column: str, batch_rows: int) -> tuple[float, float]:
        """Smallest and largest value of a column, from the statistics where there are any."""
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
        """The error for one bad value."""
        return SourceValueError(
            expected=expected,
            found=found,
            where=f"{self.path}: column {column}, row {row}",
            remedy="Download the file again or remove it; nothing was published from it.",
        )

    def corrupt(self, found: str) -> SourceCorruptError:
        """The error for a file that cannot be decoded."""
        return SourceCorruptError(
            expected="a complete Parquet file",
            found=found,
            where=str(self.path),
            remedy="Download the file again; a damaged file is never read as an empty day.",
        )


class LakeSource:
    """Crypto Lake files below one root.

    Args:
        root: the folder that holds `book_delta_v2/`, `book/`, `trades/`.
        batch_rows: rows decoded at a time.
    """

    def __init__(self, root: Path, batch_rows: int = 1_000_000) -> None:
        self.root = Path(root)
        self.batch_rows = batch_rows

    def days(self, table: str, instrument: Instrument) -> list[str]:
        """UTC days `YYYY-MM-DD` for which the table has files; folders of other names are none.

        Raises:
            SourceAccessError: a folder may not be read.
        """
        folder = self.root / table / f"exchange={instrument.exchange}" / f"symbol={instrument.symbol}"
        days = ((path, _DAY_FOLDER.fullmatch(path.name)) for path in _entries(folder))
        return [day[1] for path, day in days if day and _parquet_files(path)]

    def has(self, table: str, key: PartitionKey) -> bool:
        """Whether the table has any file of this symbol and day.

        Raises:
            SourceAccessError: a folder may not be read.
        """
        return bool(_parquet_files(self.root / table / key.path))

    def require(self, table: str, key: PartitionKey) -> None:
        """Look whether there are files of one symbol and day; they are not opened.

        Raises:
            SourceMissingError: the root, the table, the symbol or the day is not there.
            SourceAccessError: a folder may not be read.
        """
        if not self.has(table, key):
            raise self._missing(table, key, self.root / table / key.path)

    def files(self, table: str, key: PartitionKey) -> list[LakeFile]:
        """All files of one symbol and day, checked, ordered by their first sequence number or time, then by name.

        Raises:
            SourceMissingError: the root, the table, the symbol or the day is not there.
            SourceAccessError: a folder or a file may not be read.
            SourceCorruptError: a file is truncated or damaged.
            SourceSchemaError: a column is missing or has another dtype.
            SourceEmptyError: a file has no rows.
        """
        self.require(table, key)
        files = [self._open(path, table) for path in _parquet_files(self.root / table / key.path)]
        order = "sequence_number" if "sequence_number" in TABLES[table] else "timestamp"
        return sorted(files, key=lambda file: (file.extreme(order, self.batch_rows)[0], file.path.name))

    def fingerprints(self, table: str, key: PartitionKey) -> dict[str, str]:
        """SHA-256 of each file of one symbol and day, by name.

        Raises:
            SourceAccessError: a folder or a file may not be read.
        """
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
            raise SourceCorruptError(
                expected="a complete Parquet file",
                found=str(error),
                where=str(path),
                remedy="Download the file again; a damaged file is never read as an empty day.",
            ) from error
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
    """What is in a folder, by name; nothing where there is none. `glob` gives nothing either where it may not read."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _inaccessible(folder, "folder", error) from error


def _parquet_files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.name.endswith(".parquet")]


def _inaccessible(path: Path, kind: str, error: OSError) -> SourceAccessError:
    return SourceAccessError(
        expected=f"a {kind} that can be read",
        found=os.strerror(error.errno) if error.errno else str(error),
        where=str(path),
        remedy="Give this user the right to read it and the folders above it.",
    )
