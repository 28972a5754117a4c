"""Crypto Lake files and the truth beside them: schemas as recorded, built aside and put in place together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from order_book_platform.errors import SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.model.levels import DEPTH
from order_book_platform.storage import ParquetSink
from order_book_platform.storage.atomic import locked_folder, translate_write_errors

FILE_NAME = "1.snappy.parquet"
RECORD = "truth/faults"
RECORD_NAME = "faults.json"


def _columns(names: str, **kinds: pa.DataType) -> pa.Schema:
    """Columns in file order, int64 where nothing else is said."""
    return pa.schema([pa.field(name, kinds.get(name, pa.int64())) for name in names.split()])


_F64 = pa.float64()
_LEVELS = [
    f"{side}_{n}_{what}" for side in ("bid", "ask") for n in range(DEPTH) for what in ("price", "size")
]

SCHEMAS: dict[str, pa.Schema] = {
    "book_delta_v2": _columns(
        "timestamp receipt_timestamp sequence_number side_is_bid price size",
        side_is_bid=pa.bool_(),
        price=_F64,
        size=_F64,
    ),
    "book": _columns(
        " ".join(["timestamp receipt_timestamp sequence_number", *_LEVELS]), **dict.fromkeys(_LEVELS, _F64)
    ),
    "trades": _columns(
        "side amount price id timestamp receipt_timestamp", side=pa.string(), amount=_F64, price=_F64
    ),
    "truth/book_ticker": _columns(
        "timestamp receipt_timestamp update_id bid_price bid_size ask_price ask_size",
        **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), _F64),
    ),
    "truth/update_chain": _columns(
        "timestamp transaction_timestamp receipt_timestamp first_update_id final_update_id prev_final_update_id"
    ),
    "truth/full_book": _columns(
        "sequence_number side_is_bid price size", side_is_bid=pa.bool_(), price=_F64, size=_F64
    ),
}
"""Table, relative to the root, to its columns; the first three as Crypto Lake ships them."""

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
        self.root = root
        self.key = key
        self._sinks: dict[str, ParquetSink] = {}
        for table in tables:
            path = table_file(root, table, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = _GROUP_ROWS.get(table, _DEFAULT_GROUP_ROWS)
            self._sinks[table] = ParquetSink(path, SCHEMAS[table], rows, options=_OPTIONS)

    def write(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table."""
        self._sinks[table].write(rows)

    def record(self, content: dict[str, Any]) -> None:
        """Write the record of what was injected."""
        path = record_file(self.root, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    def close(self) -> dict[str, int]:
        """Finish the files; returns rows by table."""
        for sink in self._sinks.values():
            sink.close()
        return {table: sink.rows for table, sink in self._sinks.items()}

    def abandon(self) -> None:
        """Let go of the files without finishing them."""
        for sink in self._sinks.values():
            sink.abandon()


def table_file(root: Path, table: str, key: PartitionKey) -> Path:
    """The one file that a simulation writes for a table."""
    return root / table / key.path / FILE_NAME


def record_file(root: Path, key: PartitionKey) -> Path:
    """Where the record of injected faults is."""
    return root / RECORD / key.path / RECORD_NAME


def read_record(root: Path, key: PartitionKey) -> dict[str, Any]:
    """The record of injected faults of one symbol and day."""
    content: dict[str, Any] = json.loads(record_file(root, key).read_text(encoding="utf-8"))
    return content


@contextmanager
def built_aside(root: Path, key: PartitionKey) -> Iterator[Path]:
    """A folder to build one symbol-day in; its files are moved into `root` when the block ends without an error.

    Args:
        root: where they go, each replacing its namesake.
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
    """Never write over, or beside, files that no simulation made.

    Raises:
        SettingsError: there are some.
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
