"""Appends the rows of a live capture to a log of books as soon as they are made, and takes checkpoints beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, Clock, SystemClock
from order_book_platform.datasets.reconstructed_books.writer import BookTables
from order_book_platform.datasets.sequence_gap_report import FINDINGS_SCHEMA
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding import VERBATIM
from order_book_platform.reconstruct.checkpoint_format import CheckpointTimer
from order_book_platform.reconstruct.live.idempotent_log import IdempotentLog
from order_book_platform.reconstruct.live.live_checkpoints import LiveCheckpoint, LiveCheckpoints
from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.reconstruct.live.live_source import LiveSource, Quiet
from order_book_platform.replay.replay_steps import LiveState, ReplayStep
from order_book_platform.settings import Settings

SYNC_ROWS, SYNC_NS = 65_536, NS_PER_SECOND
"""The log is synced after so many rows, or with the first row after so long; and whenever no delta comes."""


class LiveRows:
    """Puts rows into the log of books, and findings into theirs.

    Args:
        books: Gets the rows.
        findings: Gets gap candidates and late snapshots.
        replay: Drives the book that gives the rows.
        source: Knows how much of the input is on the device.
        checkpoints: Takes checkpoints.
        settings: `reconstruct`.
        clock: Tells when to sync.

    Attributes:
        tables: Makes tables of rows, hashes and counts them.
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
        self.tables = BookTables(settings.reconstruct.depth, VERBATIM)
        self._books, self._findings = books, findings
        self._replay, self._source, self._checkpoints = replay, source, checkpoints
        self._clock = clock or SystemClock()
        self._timer = CheckpointTimer(settings, self._clock)
        self._timer.last_events = replay.begin.events
        self._takes_checkpoints = settings.reconstruct.checkpoint_events > 0
        self._step: ReplayStep | None = None
        self._checkpoint_step: ReplayStep | None = None
        self._rows_made = books.next_row
        self._findings_made = findings.next_row
        self._synced_ns, self._synced_rows = self._clock.monotonic_ns(), books.next_row
        self._unsaved: LiveCheckpoint | None = None

    @property
    def deltas(self) -> int:
        """Number of deltas applied since the beginning of the log."""
        return self._step.position.deltas if self._step else self._replay.begin.deltas

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows int64[n, 6 + 4·depth]."""
        self._rows_made += len(rows)
        return self.tables.table(rows)

    def after(self, step: ReplayStep) -> Iterator[pa.Table | LiveCheckpoint]:
        """Return the findings of a step, and a checkpoint if one is due."""
        assert step.live is not None
        self._step = step
        if step.live.gaps or len(step.live.late_snapshots):
            found = findings_table(step.live)
            self._findings_made += found.num_rows
            yield found
        if self._timer.due(step.position.events):
            yield self._checkpoint(step)

    def last(self) -> Iterator[LiveCheckpoint | Quiet]:
        """Return a last checkpoint, so that a run after an orderly end has nothing to do again."""
        if self._step is not None and self._step is not self._checkpoint_step and self._takes_checkpoints:
            yield self._checkpoint(self._step)
        yield Quiet()  # its input may have been synced since the last row, and a sync that hangs here is found

    def write(self, item: pa.Table | LiveCheckpoint | Quiet) -> None:
        """Append rows or findings, sync while it is quiet, and save a checkpoint once its input is on the device."""
        if isinstance(item, LiveCheckpoint):
            self._unsaved = item
        elif isinstance(item, Quiet):
            self._sync()
        elif item.schema.names == FINDINGS_SCHEMA.names:
            self._findings.write(item)
        else:
            self._books.write(item)
            self._sync_if_due()
        self._save_if_safe()

    def _sync_if_due(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._books.next_row - self._synced_rows >= SYNC_ROWS or now_ns - self._synced_ns >= SYNC_NS:
            self._sync()

    def _sync(self) -> None:
        self._findings.sync()
        self._books.sync()
        self._synced_ns, self._synced_rows = self._clock.monotonic_ns(), self._books.next_row

    def _checkpoint(self, step: ReplayStep) -> LiveCheckpoint:
        assert step.live is not None
        self._checkpoint_step = step
        saved, counts = self._replay.saved(step), dict(self._replay.counts)
        return LiveCheckpoint(saved, step.live, self._rows_made, self._findings_made, counts)

    def _save_if_safe(self) -> None:
        """Save the checkpoint that waits once its input is on the device: input that is not may be lost and differ."""
        waits = self._unsaved
        if waits is None:
            return
        needed = waits.saved.position.deltas, waits.state.inbox.row
        if all(synced >= row for synced, row in zip(self._source.synced, needed, strict=True)):
            self._sync()
            self._checkpoints.save(waits)
            self._unsaved = None


def findings_table(state: LiveState) -> pa.Table:
    """Return the findings of a step with schema `FINDINGS_SCHEMA`: late snapshots, then gap candidates."""
    late = state.late_snapshots
    rows: list[dict[str, Any]] = [
        {
            "cause": "late_snapshot",
            "from_sequence_number": number,
            "to_sequence_number": state.message_before[0],
            "from_origin_time": origin_time,
            "to_origin_time": state.message_before[1],
            "missing_ids": None,
            "proven": False,
            "detail": "arrived after a later message had been applied: it shapes nothing here",
        }
        for number, origin_time in zip(late.sequence_number.tolist(), late.origin_time.tolist(), strict=True)
    ]
    rows += [
        {
            "cause": gap.cause,
            "from_sequence_number": gap.before,
            "to_sequence_number": gap.after,
            "from_origin_time": gap.before_ns,
            "to_origin_time": gap.after_ns,
            "missing_ids": gap.missing_ids,
            "proven": gap.proven,
            "detail": gap.detail,
        }
        for gap in state.gaps
    ]
    return pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA)
