"""The stages of a live capture: deltas and snapshots of its logs in, rows of books and findings at once out.

Snapshots come with the deltas, everything that was read is whole messages, flags come with the steps, and no history is
kept. Rows are appended to a log of books as soon as they are made, and checkpoints are taken beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.datasets.frame_schemas import FINDINGS_SCHEMA
from order_book_platform.datasets.reconstructed_books.writer import BookTables
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.book.replay_arrays import OUTCOME_USE
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform.reconstruct.book_stages import BookStream, configured_book
from order_book_platform.reconstruct.live.live_source import CaughtUp, LiveSource, Quiet
from order_book_platform.reconstruct.replay_checkpoints import (
    LiveCheckpoint,
    LiveCheckpoints,
    SavedReplay,
)
from order_book_platform.replay.book import SNAPSHOT_USES
from order_book_platform.replay.replay_steps import LiveState, LiveSteps, ReplayStep
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform.streaming import MemoryGuard

QUEUE_ITEMS = 2
"""Items of a queue. Items in a queue have been cut already: the fewer wait, the more is read at once when a stage is
behind."""
SYNC_ROWS, SYNC_NS = 65_536, NS_PER_SECOND
"""The log is synced after so many rows, or with the first row after so long; and whenever no delta comes."""


class LiveReplay:
    """Drives the book of one live capture from its beginning, or from a saved state.

    Attributes:
        begin: Position at which this run begins.
        counts: Snapshots by what became of them, and gap candidates by cause, since the beginning of the log.
    """

    def __init__(
        self,
        settings: Settings,
        tick: int,
        saved: SavedReplay | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.book = configured_book(settings, tick)
        self.begin = saved.position if saved else ReplayPosition()
        self.counts = Counter(counts or {})
        self._strategy = FullEventReplay(settings.reconstruct.extend_every)
        if saved:
            self.book.resume(saved.book)

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Apply a step, return its rows, each piece valid until the next, and count what was found in it."""
        assert step.live is not None
        yield from self._strategy.apply(self.book, step)
        uses = self.book.take_outcomes()[:, OUTCOME_USE]
        found = {name: int((uses == use).sum()) for use, name in SNAPSHOT_USES.items()}
        found |= {"rejected": len(step.due.rejected), "late_snapshot": len(step.live.late_snapshots)}
        brought = step.due.merged.sequence_number > step.due.used.sequence_number
        found["brought_up_to_date"] = int(brought.sum())
        self.counts.update({name: count for name, count in found.items() if count})
        self.counts.update(gap.cause for gap in step.live.gaps)

    def saved(self, step: ReplayStep) -> SavedReplay:
        """Return the state of the replay after a step."""
        no_sizes, no_shown_sizes = np.empty((0, 2), np.uint64), np.zeros(1, np.bool_)
        return SavedReplay(step.position, self.book.saved(), {}, no_sizes, no_shown_sizes)


class LiveStream(BookStream):
    """Takes the book of a live capture along its logs, and puts rows and findings into theirs.

    The source knows how much of its input is on the device. `tables` makes tables of rows, hashes and counts them.
    """

    def __init__(
        self,
        source: LiveSource,
        steps: LiveSteps,
        replay: LiveReplay,
        books: IdempotentLog,
        findings: IdempotentLog,
        checkpoints: LiveCheckpoints,
        settings: Settings,
        memory: MemoryGuard,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(steps, settings, memory, QUEUE_ITEMS)
        self.tables = BookTables(settings.reconstruct.depth, VERBATIM)
        self._source, self._inbox, self._replay = source, steps.inbox, replay
        self._books, self._findings, self._checkpoints = books, findings, checkpoints
        self._clock = clock or Clock()
        checkpoints.last_events = replay.begin.events
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

    def _read(self) -> Iterator[Any]:
        return self._source.read()

    def _decode(self, item: Any) -> Iterator[Any]:
        yield from self._source.decode(item, self._batch_rows)

    def _sequence(self, batch: Any) -> Iterator[Any]:
        match batch:
            case Quiet():
                yield batch
            case CaughtUp():
                yield from self._complete_message()
            case SnapshotBatch():
                self._inbox.receive(batch)
            case _:
                yield from super()._sequence(batch)

    def _sequence_rest(self) -> Iterator[ReplayStep]:
        # A message that is held back here may lack rows: its end is `CaughtUp`, which never came.
        yield from self._steps.finish()

    def _apply(self, step: ReplayStep | Quiet) -> Iterator[pa.Table | LiveCheckpoint | Quiet]:
        if isinstance(step, Quiet):
            yield step
            return
        for rows in self._replay.apply(step):
            self._rows_made += len(rows)
            yield self.tables.table(rows)
        assert step.live is not None
        self._step = step
        if step.live.gaps or len(step.live.late_snapshots):
            found = findings_table(step.live)
            self._findings_made += found.num_rows
            yield found
        if self._checkpoints.due(step.position.events):
            yield self._checkpoint(step)

    def _apply_rest(self) -> Iterator[LiveCheckpoint | Quiet]:
        """Return a last checkpoint, so that a run after an orderly end has nothing to do again.

        No row is due at the end of the book: a capture that is not read any more has not ended.
        """
        if self._step is not None and self._step is not self._checkpoint_step and self._takes_checkpoints:
            yield self._checkpoint(self._step)
        yield Quiet()  # its input may have been synced since the last row, and a sync that hangs here is found

    def _write(self, item: pa.Table | LiveCheckpoint | Quiet) -> Iterator[None]:
        """Append rows or findings, sync while it is quiet, and save a checkpoint once its input is on the device."""
        if isinstance(item, LiveCheckpoint):
            self._unsaved = item
        elif isinstance(item, Quiet):
            self._sync()
        elif item.schema.names == FINDINGS_SCHEMA.names:
            self._findings.write(item)
        else:
            self._books.write(item)
            rows, waited_ns = (
                self._books.next_row - self._synced_rows,
                self._clock.monotonic_ns() - self._synced_ns,
            )
            if rows >= SYNC_ROWS or waited_ns >= SYNC_NS:
                self._sync()
        self._save_if_safe()
        yield None

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
    late, (before, before_ns) = state.late_snapshots, state.message_before
    rows: list[tuple[Any, ...]] = [
        ("late_snapshot", number, before, time_ns, before_ns, None, False, detail)
        for number, time_ns, detail in zip(
            late.sequence_number.tolist(), late.origin_time.tolist(), state.late_reasons, strict=True
        )
    ]
    rows += [
        (
            gap.cause,
            gap.before,
            gap.after,
            gap.before_ns,
            gap.after_ns,
            gap.missing_ids,
            gap.proven,
            gap.detail,
        )
        for gap in state.gaps
    ]
    named = [dict(zip(FINDINGS_SCHEMA.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=FINDINGS_SCHEMA)
