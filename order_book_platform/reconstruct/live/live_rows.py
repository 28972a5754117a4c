"""Rows of a live tail into a log of books, as soon as they are made, with checkpoints beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND, Clock, SystemClock
from order_book_platform.datasets.reconstructed_books.writer import BookTables
from order_book_platform.datasets.sequence_gap_report import FINDINGS_SCHEMA
from order_book_platform.model.encoding import VERBATIM
from order_book_platform.reconstruct.day.resumption import CheckpointTimer
from order_book_platform.reconstruct.live.idempotent_log import IdempotentLog
from order_book_platform.reconstruct.live.live_checkpoints import LiveCheckpoint, LiveCheckpoints
from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.reconstruct.live.live_source import LiveSource, Quiet
from order_book_platform.replay.strategy import LiveState, ReplayStep
from order_book_platform.settings import Settings

SYNC_ROWS, SYNC_NS = 65_536, NS_PER_SECOND
"""The log is synced after so many rows, or with the first row after so long; and when it is quiet."""


class LiveRows(BookTables):
    """See `stream.RowPlace`.

    Args:
        books: gets the rows.
        findings: gets breaks and late snapshots.
        replay: whose rows they are.
        source: knows how far the input is on the device.
        checkpoints: are taken here.
        settings: `reconstruct`.
        clock: tells when to sync.
    """

    def __init__(
        self,
        books: IdempotentLog,
        findings: IdempotentLog,
        replay: LiveReplay,
        source: LiveSource,
        checkpoints: LiveCheckpoints,
        settings: Settings,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings.reconstruct.depth, VERBATIM)
        self._books, self._findings = books, findings
        self._replay, self._source, self._checkpoints = replay, source, checkpoints
        self._clock = clock or SystemClock()
        self._timer = CheckpointTimer(settings, self._clock)
        self._timer.last_events = replay.place.events
        self._takes_checkpoints = settings.reconstruct.checkpoint_events > 0
        self._step: ReplayStep | None = None
        self._marked: ReplayStep | None = None
        self._made = books.place
        self._found = findings.place
        self._synced_ns, self._synced_rows = self._clock.monotonic_ns(), books.place
        self._unsaved: LiveCheckpoint | None = None

    @property
    def deltas(self) -> int:
        """Applied since the beginning of the log."""
        return self._step.place.deltas if self._step else self._replay.place.deltas

    def table(self, rows: NDArray[np.int64]) -> pa.Table:
        """See `stream.RowPlace`."""
        self._made += len(rows)
        return super().table(rows)

    def after(self, step: ReplayStep) -> Iterator[pa.Table | LiveCheckpoint]:
        """See `stream.RowPlace`: what was found, and a checkpoint if one is due, wherever that is."""
        assert step.tail is not None
        self._step = step
        if step.tail.breaks or len(step.tail.late):
            found = findings_table(step.tail)
            self._found += found.num_rows
            yield found
        if self._timer.due(step.place.events):
            yield self._checkpoint(step)

    def last(self) -> Iterator[LiveCheckpoint | Quiet]:
        """See `stream.RowPlace`: who goes on from an end in peace has nothing to do again."""
        if self._step is not None and self._step is not self._marked and self._takes_checkpoints:
            yield self._checkpoint(self._step)
        yield Quiet()  # its input may have been synced since the last row, and a sync that hangs here is found

    def write(self, item: pa.Table | LiveCheckpoint | Quiet) -> None:
        """See `stream.RowPlace`."""
        if isinstance(item, LiveCheckpoint):
            self._unsaved = item
        elif isinstance(item, Quiet):
            self._sync()
        elif item.schema.names == FINDINGS_SCHEMA.names:
            self._findings.write(item)
        else:
            self._books.write(item)
            self._sync_at_times()
        self._save_if_safe()

    def _sync_at_times(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._books.place - self._synced_rows >= SYNC_ROWS or now_ns - self._synced_ns >= SYNC_NS:
            self._sync()

    def _sync(self) -> None:
        self._findings.sync()
        self._books.sync()
        self._synced_ns, self._synced_rows = self._clock.monotonic_ns(), self._books.place

    def _checkpoint(self, step: ReplayStep) -> LiveCheckpoint:
        assert step.tail is not None
        self._marked = step
        saved = self._replay.saved(step)
        return LiveCheckpoint(saved, step.tail, self._made, self._found, dict(self._replay.tally))

    def _save_if_safe(self) -> None:
        """Save what waits, once its input is on the device: other rows may take the place of what is not."""
        waits = self._unsaved
        if waits is None:
            return
        needed = waits.saved.place.deltas, waits.state.arrived.row
        if all(synced >= row for synced, row in zip(self._source.synced, needed, strict=True)):
            self._sync()
            self._checkpoints.save(waits)
            self._unsaved = None


def findings_table(state: LiveState) -> pa.Table:
    """What a step found, with schema `FINDINGS_SCHEMA`: snapshots that came too late, then breaks."""
    rows: list[dict[str, Any]] = [
        {
            "cause": "late_snapshot",
            "from_sequence_number": number,
            "to_sequence_number": state.before[0],
            "from_origin_time": origin_time,
            "to_origin_time": state.before[1],
            "missing_ids": None,
            "proven": False,
            "detail": "arrived after a later message had been applied: it shapes nothing here",
        }
        for number, origin_time in zip(
            state.late.sequence_number.tolist(), state.late.origin_time.tolist(), strict=True
        )
    ]
    rows += [
        {
            "cause": item.cause,
            "from_sequence_number": item.before,
            "to_sequence_number": item.after,
            "from_origin_time": item.before_ns,
            "to_origin_time": item.after_ns,
            "missing_ids": item.missing_ids,
            "proven": item.proven,
            "detail": item.detail,
        }
        for item in state.breaks
    ]
    return pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA)
