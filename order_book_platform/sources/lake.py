"""Crypto Lake files: finding, ordering, opening and checking them, batch by batch.

Layout and columns: facts of `lakeapi` 0.22.3 and the vendor's data page; `<root>/<table>/exchange=E/symbol=S/dt=D/`
with any number of files of any name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from order_book_platform.errors import (
    SourceCorruptError,
    SourceEmptyError,
    SourceMissingError,
    SourceSchemaError,
    SourceValueError,
)
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.schemas import DEPTH
from order_book_platform.sources.raw_deltas import record_batches
from order_book_platform.storage.manifest import file_sha256

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
DAY_FOLDERS = "dt=[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
TABLES = {"book_delta_v2": DELTA_COLUMNS, "book": BOOK_COLUMNS, "trades": TRADE_COLUMNS}


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
            for batch in record_batches(self.parquet, batch_rows, columns):
                yield row, batch
                row += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise self._corrupt(f"{error} after row {row}") from error
        if row != self.rows:
            raise self._corrupt(f"{row} rows where the footer says {self.rows}")

    def extreme(self, column: str, batch_rows: int) -> tuple[float, float]:
        """Smallest and largest value of a column, from the statistics where there are any."""
        index = self.parquet.schema_arrow.get_field_index(column)
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

    def _corrupt(self, found: str) -> SourceCorruptError:
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
        """UTC days `YYYY-MM-DD` for which the table has files; folders of other names are none."""
        folder = self.root / table / f"exchange={instrument.exchange}" / f"symbol={instrument.symbol}"
        return sorted(
            path.name.removeprefix("dt=") for path in folder.glob(DAY_FOLDERS) if any(path.glob("*.parquet"))
        )

    def has(self, table: str, key: PartitionKey) -> bool:
        """Whether the table has any file of this symbol and day."""
        return key.day.isoformat() in self.days(table, key.instrument)

    def files(self, table: str, key: PartitionKey) -> list[LakeFile]:
        """All files of one symbol and day, checked, ordered by their first sequence number or time, then by name.

        Raises:
            SourceMissingError: the root, the table, the symbol or the day is not there.
            SourceCorruptError: a file is truncated or damaged.
            SourceSchemaError: a column is missing or has another dtype.
            SourceEmptyError: a file has no rows.
        """
        folder = self.root / table / key.path
        paths = sorted(folder.glob("*.parquet"))
        if not paths:
            raise self._missing(table, key, folder)
        files = [self._open(path, table) for path in paths]
        order = "sequence_number" if "sequence_number" in TABLES[table] else "timestamp"
        return sorted(files, key=lambda file: (file.extreme(order, self.batch_rows)[0], file.path.name))

    def fingerprints(self, table: str, key: PartitionKey) -> dict[str, str]:
        """SHA-256 of each file of one symbol and day, by name."""
        return {
            path.name: file_sha256(path) for path in sorted((self.root / table / key.path).glob("*.parquet"))
        }

    def _open(self, path: Path, table: str) -> LakeFile:
        try:
            parquet = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise SourceCorruptError(
                expected="a complete Parquet file",
                found=str(error),
                where=str(path),
                remedy="Download the file again; a damaged file is never read as an empty day.",
            ) from error
        schema = parquet.schema_arrow
        for column, kind in TABLES[table].items():
            if column not in schema.names:
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
            tables = sorted(path.name for path in self.root.iterdir() if path.is_dir())
            found, remedy = f"tables {', '.join(tables) or '(none)'}", f"Download the table {table}."
        else:
            days = self.days(table, key.instrument)
            if len(days) == 1:
                found, remedy = f"the day {days[0]} alone", "Choose that day, or fetch this one's files."
            elif days:
                found = f"{len(days)} days from {days[0]} to {days[-1]}"
                remedy = "Choose one of these days, or fetch this one's files."
            elif folder.parent.is_dir():
                names = sorted(path.name for path in folder.parent.iterdir())
                found = f"no day with *.parquet files; in {folder.parent.name}: {', '.join(names[:5]) or 'nothing'}"
                found += ", …" if len(names) > 5 else ""
                remedy = "Put the files into dt=YYYY-MM-DD, or fetch them."
            else:
                symbols = sorted(
                    f"{path.parent.name.removeprefix('exchange=')}:{path.name.removeprefix('symbol=')}"
                    for path in (self.root / table).glob("exchange=*/symbol=*")
                )
                found = "symbols " + (", ".join(symbols) or "(none)")
                remedy = "Check the symbol's spelling."
        return SourceMissingError(
            expected=f"Parquet files of {table} for {key}", found=found, where=str(folder), remedy=remedy
        )
