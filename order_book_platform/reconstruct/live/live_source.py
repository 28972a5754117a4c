"""Reads the two logs of a live capture as one stream, in an order that is a function of the data alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.errors import LogSchemaError, PrecisionError
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.model.pip_encoding import in_precision
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.storage import LogReader
from order_book_platform.storage.log.segments import LogBatch
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform.streaming import Waiting

DELTAS, SNAPSHOTS_LOG = "raw_deltas", "snapshots"
"""Folders of the two logs."""
SYMBOL = b"symbol"
"""Key of the instrument in the schema's metadata."""
QUIET_NS = NS_PER_SECOND
"""After so long without a delta `Quiet` is given, and again after as long, ns."""
READ_ROWS = 65_536
"""Deltas that are read at once where so many are there; deltas that come one by one are not waited for."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Says that all appended rows have been read: the last message is complete, since each is appended as a whole."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Says that no delta comes at the moment, or none any more, so that work that was put off can be done."""


class LiveSource:
    """Reads both logs of a live capture as one stream.

    Args:
        folder: Folder of both logs.
        deltas_row: Row of `raw_deltas` to go on at.
        inbox: State of the snapshots there.
        wait: Called when nothing new is there; see `LogReader.follow`.
        stopped: Returns whether to end behind the rows that have been read, although there are more; asked once for
            every `READ_ROWS` deltas.
        clock: Tells when it is quiet.
        keys: Master keys of encrypted logs.
    """

    def __init__(
        self,
        folder: Path,
        deltas_row: int,
        inbox: InboxState,
        wait: Callable[[], bool],
        stopped: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
        keys: MasterKeys | None = None,
    ) -> None:
        self._deltas_log = LogReader(folder / DELTAS, keys)
        self._deltas = self._deltas_log.tail(deltas_row)
        self._snapshots = LogReader(folder / SNAPSHOTS_LOG, keys).tail(inbox.row)
        self._folder = folder
        self._row = deltas_row
        self._end: int | None = None
        self._clock_ns = inbox.deltas_clock_ns
        self._snapshots_clock_ns = inbox.clock_ns
        self._ahead: tuple[pa.RecordBatch, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None
        self._wait, self._stopped = wait, stopped
        self._going_on = True
        self._clock = clock or Clock()

    def read(self) -> Iterator[pa.Table | CaughtUp | Quiet | Waiting]:
        """Return rows of both logs; snapshots come before the first deltas that did not arrive before them."""
        with closing(self._deltas), closing(self._snapshots):
            caught_up = (
                True  # False from the first rows that were read until it has been said that these are all
            )
            last_delta_ns = self._clock.monotonic_ns()
            while not self._stopped():
                batches, is_all = self._next_deltas()
                if batches:
                    table = pa.Table.from_batches(batches)
                    self._clock_ns = max(
                        self._clock_ns, int(np.max(table.column("received_time").to_numpy()))
                    )
                    yield from self._arrived()
                    caught_up = False
                    yield table
                if is_all and not caught_up:
                    caught_up, last_delta_ns = True, self._clock.monotonic_ns()
                    yield CaughtUp()
                elif is_all and self._end is not None:
                    break
                elif is_all:
                    if self._clock.monotonic_ns() - last_delta_ns >= QUIET_NS:
                        last_delta_ns = self._clock.monotonic_ns()
                        if self._ahead is None:
                            self._look_ahead()  # a read brings `synced` up to date
                        yield Quiet()
                    yield Waiting(self._ask)
                    if not self._going_on:
                        # Rows appended before `wait` returned False are still read, and no others.
                        self._end = self._deltas_log.next_row()
            for log in (self._deltas, self._snapshots):
                next(log)  # a read brings `synced` up to date; its rows come too late

    def decode(
        self, item: pa.Table | CaughtUp | Quiet, rows: int
    ) -> Iterator[DeltaBatch | SnapshotBatch | CaughtUp | Quiet]:
        """Decode rows to batches of at most so many deltas; other items are handed on."""
        if not isinstance(item, pa.Table):
            yield item
        elif "bid_price_pips" in item.schema.names:
            yield SnapshotBatch.from_arrow(item)
        else:
            for start in range(0, item.num_rows, rows):
                yield DeltaBatch.from_arrow(item.slice(start, rows))

    @property
    def synced(self) -> tuple[int, int]:
        """Numbers of rows of `raw_deltas` and of `snapshots` known to be on the device; readable from any thread."""
        return self._deltas.synced_row, self._snapshots.synced_row

    def _ask(self) -> None:
        self._going_on = self._wait()

    def _next_deltas(self) -> tuple[list[pa.RecordBatch], bool]:
        """Return the deltas that are there, about `READ_ROWS` at most, and whether these are all."""
        found: list[pa.RecordBatch] = []
        enough = self._row + READ_ROWS
        while self._row < enough:
            if self._row == self._end or (rows := next(self._deltas)) is None:
                return found, True
            batch = self._checked(rows, DELTAS, RAW_DELTAS_SCHEMA)
            if self._end is not None:
                # A sealed segment is read in other batches than were appended, so one may go beyond the end.
                batch = batch.slice(0, self._end - self._row)
            found.append(batch)
            self._row += batch.num_rows
        return found, False

    def _arrived(self) -> Iterator[pa.Table]:
        """Return the snapshots that arrived no later than the deltas read so far, as one table."""
        found: list[pa.RecordBatch] = []
        while self._ahead is not None or self._look_ahead():
            assert self._ahead is not None
            batch, times = self._ahead
            count = int(np.searchsorted(times, self._clock_ns, "right"))
            if count:
                found.append(batch.slice(0, count))
            if count < batch.num_rows:
                self._ahead = batch.slice(count), times[count:]
                break
            self._ahead = None
        if found:
            yield pa.Table.from_batches(found)

    def _look_ahead(self) -> bool:
        """Read the next snapshots of the log and return whether there are any by now."""
        rows = next(self._snapshots)
        if rows is None:
            return False
        batch = self._checked(rows, SNAPSHOTS_LOG, SNAPSHOTS_SCHEMA)
        received = batch.column("received_time").to_numpy()
        times = np.maximum.accumulate(np.maximum(received, self._snapshots_clock_ns))
        self._snapshots_clock_ns = int(times[-1])
        self._ahead = batch, times
        return True

    def _checked(self, rows: LogBatch, log: str, wanted: pa.Schema) -> pa.RecordBatch:
        if rows.batch.schema != wanted:
            raise _wrong(rows.batch.schema, wanted, self._folder / log)
        return rows.batch


def capture_point(folder: Path, instrument: Instrument, keys: MasterKeys | None = None) -> FixedPoint | None:
    """Return the decimals, tick and lot of a live capture after a check of both logs; None before its first delta.

    Raises:
        LogMissingError: One of the logs is not there.
        LogSchemaError: A log has other columns, belongs to another instrument, or does not name its decimals.
        PrecisionError: A log holds decimals.
    """
    points: list[FixedPoint | None] = []
    for name, wanted in ((DELTAS, RAW_DELTAS_SCHEMA), (SNAPSHOTS_LOG, SNAPSHOTS_SCHEMA)):
        schema = LogReader(folder / name, keys).schema()
        if schema is not None and not schema.equals(wanted):
            raise _wrong(schema, wanted, folder / name)
        points.append(None if schema is None else _point(schema, folder / name, instrument))
    deltas, snapshots = points
    if None not in points and deltas != snapshots:
        raise LogSchemaError(
            expected=f"snapshots with the fixed point of the deltas: {deltas}",
            found=f"{snapshots}",
            where=str(folder / SNAPSHOTS_LOG),
            remedy="Begin both logs anew with the same decimals, tick and lot.",
        )
    return deltas


def _point(schema: pa.Schema, where: Path, instrument: Instrument) -> FixedPoint:
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    if metadata.get(SYMBOL.decode()) != instrument.key:
        raise LogSchemaError(
            expected=f"a log of {instrument.key}",
            found=f"one of {metadata.get(SYMBOL.decode(), 'no symbol')}",
            where=str(where),
            remedy="Correct the folder or the symbol; the schema's metadata name it.",
        )
    try:
        return FixedPoint.from_metadata(metadata)
    except (KeyError, ValueError) as error:
        raise LogSchemaError(
            expected="price_decimals, size_decimals, tick_pips and lot_pips in the schema's metadata",
            found=f"{metadata}",
            where=str(where),
            remedy="Begin the log anew with FixedPoint.to_metadata() in its schema.",
        ) from error


def _wrong(found: pa.Schema, wanted: pa.Schema, where: Path) -> LogSchemaError | PrecisionError:
    if found.equals(in_precision(wanted, "decimal128")):
        return PrecisionError(
            expected="a log of int64 pips",
            found="one of decimals",
            where=str(where),
            remedy="Follow a capture in pips; days of decimals are rebuilt from published partitions.",
        )
    return LogSchemaError(
        expected=f"rows of the columns {', '.join(wanted.names)}",
        found=", ".join(found.names),
        where=str(where),
        remedy="Correct the folder; docs/formats/live.md says what the logs of a capture hold.",
    )
