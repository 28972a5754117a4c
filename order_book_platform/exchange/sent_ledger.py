"""The list of everything that the exchange sent, withheld, answered and counted: the truth about a capture.

Rows are kept as Arrow batches, some 64 bytes each, or written to a file as they come.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LEDGER_SCHEMA = pa.schema(
    [
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("connection", pa.int64(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("stream", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("first_update_id", pa.int64()),
        pa.field("final_update_id", pa.int64()),
        pa.field("prev_final_update_id", pa.int64()),
        pa.field("fate", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("fault", pa.dictionary(pa.int8(), pa.string())),
        pa.field("status", pa.int64()),
        pa.field("weight", pa.int64()),
    ]
)
"""Columns of the ledger; `time_ns` is the exchange's wall clock, `status` that of a response or a close code, `weight`
what the minute's budget had been charged when the response was sent."""

ROWS_PER_BATCH = 4096
"""Rows put into columns at a time: some milliseconds, so that nothing that is due has to wait for longer."""
BATCHES_PER_WRITE = 16


class Fate(StrEnum):
    """Fate of a message: sent whole, or not."""

    SENT = "sent"
    DROPPED = "dropped"
    SILENT = "silent"
    DAMAGED = "damaged"


Row = tuple[int, int, str, str, int | None, int | None, int | None, str, str | None, int | None, int | None]


class SentLedger:
    """Rows in the order in which things happened.

    Args:
        file: where rows are written, `.parquet` or NDJSON for any other ending; None keeps them in memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._file = file
        self._writer: Any = None
        self._settled = 0
        self.most_weight: dict[str, int] = {}

    def message(
        self,
        now_ns: int,
        connection: int,
        stream: str,
        ids: tuple[int, int, int],
        fate: str = "sent",
        fault: str | None = None,
    ) -> None:
        """Add a data message of a stream: sent, or withheld by a fault."""
        first, final, previous = ids
        self._rows.append(
            (now_ns, connection, "message", stream, first, final, previous, fate, fault, None, None)
        )
        if len(self._rows) >= ROWS_PER_BATCH:
            self._settle()

    def note(
        self,
        now_ns: int,
        connection: int,
        kind: str,
        what: str,
        fault: str | None = None,
        status: int | None = None,
        weight: int | None = None,
        last_update_id: int | None = None,
    ) -> None:
        """Add anything else: `open`, `close`, `control`, `ping`, `rest`, `refused`, `event`.

        Args:
            now_ns: wall-clock time, ns since the epoch.
            connection: number of the connection; 0 for REST.
            kind: what happened.
            what: path of a request or connection, text of an answer, reason of a close.
            fault: the fault that made it happen.
            status: of a response; the code of a close.
            weight: charged to the minute so far.
            last_update_id: of a depth snapshot.
        """
        self._rows.append(
            (now_ns, connection, kind, what, None, last_update_id, None, "sent", fault, status, weight)
        )
        if len(self._rows) >= ROWS_PER_BATCH:
            self._settle()

    @property
    def rows(self) -> int:
        """Rows so far, in memory and in the file."""
        return self._settled + len(self._rows)

    def table(self) -> pa.Table:
        """Give all rows that are in memory; of a ledger with a file only those not yet written."""
        batches = [*self._batches, *([_batch(self._rows)] if self._rows else [])]
        return pa.Table.from_batches(batches, LEDGER_SCHEMA).unify_dictionaries()

    def close(self) -> None:
        """Write what is left, with the greatest weight of any minute for each budget (key `most_weight`)."""
        if self._file is None:
            return
        if self._rows:
            self._settle()
        self._write()
        if self._file.suffix == ".parquet":
            self._writer.add_key_value_metadata({"most_weight": json.dumps(self.most_weight)})
        else:
            self._writer.write(json.dumps({"kind": "summary", "most_weight": self.most_weight}) + "\n")
        self._writer.close()

    def _settle(self) -> None:
        batch = _batch(self._rows)
        self._rows = []
        self._settled += batch.num_rows
        self._batches.append(batch)
        if self._file is not None and len(self._batches) >= BATCHES_PER_WRITE:
            self._write()

    def _write(self) -> None:
        assert self._file is not None
        if self._writer is None:
            self._open()
        table, self._batches = pa.Table.from_batches(self._batches, LEDGER_SCHEMA), []
        if self._file.suffix == ".parquet":
            self._writer.write_table(table)
        else:
            self._writer.writelines(json.dumps(row) + "\n" for row in table.to_pylist())

    def _open(self) -> None:
        assert self._file is not None
        if self._file.suffix == ".parquet":
            self._writer = pq.ParquetWriter(self._file, LEDGER_SCHEMA, compression="zstd")
        else:
            self._writer = self._file.open("w", encoding="utf-8")


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = []
    for column, field in zip(columns, LEDGER_SCHEMA, strict=True):
        if pa.types.is_dictionary(field.type):
            arrays.append(pa.array(column, pa.string()).dictionary_encode().cast(field.type))
        else:
            arrays.append(pa.array(column, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=LEDGER_SCHEMA)
