"""Files of a simulation in Crypto Lake's layout: their schemas, their writer, and how all are put in place together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from order_book_platform.errors import SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.sources.lake_source import BOOK_COLUMNS, DELTA_COLUMNS, TRADE_COLUMNS
from order_book_platform.storage import ParquetSink
from order_book_platform.storage.disk import locked_folder, translate_write_errors

FILE_NAME = "1.snappy.parquet"
RECORD = "truth/faults"
RECORD_NAME = "faults.json"


def _truth_schema(names: str) -> pa.Schema:
    """Make a schema of columns in file order: prices and sizes as float64, the side as bool, all others as int64."""
    kinds = {"side_is_bid": pa.bool_()}
    kinds |= {name: pa.float64() for name in names.split() if name.endswith(("price", "size"))}
    return pa.schema([(name, kinds.get(name, pa.int64())) for name in names.split()])


_TRADE_ORDER = ("side", "amount", "price", "id", "timestamp", "receipt_timestamp")

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

LAKE_TABLES = ("book_delta_v2", "book", "trades")
_GROUP_ROWS = {"book": 32_768}
_DEFAULT_GROUP_ROWS = 1_048_576
_OPTIONS = {"compression": "snappy"}


class LakeWriter:
    """Streams the tables of one symbol and day into a folder, in Crypto Lake's layout.

    Args:
        root: the folder that will hold `book_delta_v2/`, `book/`, ….
        key: symbol and day.
        tables: which of `SCHEMAS` are written.
    """

    def __init__(self, root: Path, key: PartitionKey, tables: tuple[str, ...] = tuple(SCHEMAS)) -> None:
        self._sinks: dict[str, ParquetSink] = {}
        for table in tables:
            path = table_file(root, table, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = _GROUP_ROWS.get(table, _DEFAULT_GROUP_ROWS)
            self._sinks[table] = ParquetSink(path, SCHEMAS[table], rows, options=_OPTIONS)

    def write(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table."""
        self._sinks[table].write(rows)

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows written so far, by table."""
        return {table: sink.rows for table, sink in self._sinks.items()}

    def __enter__(self) -> LakeWriter:
        """Write within a `with` block, which finishes the files, or closes them unfinished after an error."""
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                for sink in self._sinks.values():
                    sink.close()
                return
        except BaseException:
            self._abandon()
            raise
        self._abandon()

    def _abandon(self) -> None:
        for sink in self._sinks.values():
            sink.abandon()


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

    Args:
        root: where the files go, each replacing its namesake.
        key: symbol and day.

    Raises:
        SettingsError: `root` holds files of that symbol and day which no simulation wrote.
        PartitionBusyError: another process is simulating the same symbol and day there.
        DiskFullError: there is no room.
    """
    refuse_real_data(root, key)
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


def refuse_real_data(root: Path, key: PartitionKey) -> None:
    """Refuse to write over, or beside, files that no simulation made.

    Raises:
        SettingsError: `root` holds files of this symbol and day, and no record of a simulation.
    """
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
