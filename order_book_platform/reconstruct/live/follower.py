"""Follows a live capture: its logs go through the stages of a reconstruction for as long as it is appended to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.datasets.frame_schemas import FINDINGS_SCHEMA
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.reconstructed_books.writer import ReplayHash, stored_rows
from order_book_platform.errors import LogMissingError, LogSchemaError, ReconstructionError
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.observability import StreamMetrics
from order_book_platform.reconstruct.live.live_source import SYMBOL, LiveSource, capture_point
from order_book_platform.reconstruct.live.live_stream import LiveReplay, LiveStream
from order_book_platform.reconstruct.replay_checkpoints import LiveCheckpoints, identity
from order_book_platform.replay.replay_steps import LiveSteps
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings
from order_book_platform.storage import LogReader
from order_book_platform.storage.checkpoints import Checkpoints
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys
from order_book_platform.streaming import MemoryGuard

BOOKS, FINDINGS_LOG, CHECKPOINTS = "books", "findings", "checkpoints"
"""Names in the output folder: two logs, and a folder of checkpoints."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The result of following a live capture; counts are those since the beginning of its logs.

    Attributes:
        rows: Rows in the log of books.
        rows_again: Rows among them that this run made again and found equal.
        messages: Messages applied.
        deltas: Deltas applied.
        resumed_from: Deltas that an earlier run had applied.
        counts: Snapshots that were `seeded`, `extended`, `repaired`, `rejected` or `late_snapshot`, those of the first
            three that were `brought_up_to_date` before, and gap candidates by cause.
        checkpoints_refused: Checkpoints of earlier runs that could not be used.
        checkpoints_written: Checkpoints saved by this run.
        replay_hash: Hash of all rows in the log of books if this run made them all; else None, see `replay_hash_of`.
        metrics: Metrics of the stages at their end; None where there was nothing to read.
    """

    rows: int
    rows_again: int
    messages: int
    deltas: int
    resumed_from: int
    counts: Mapping[str, int]
    checkpoints_refused: int
    checkpoints_written: int
    replay_hash: str | None
    metrics: StreamMetrics | None


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows one live capture into one output folder; see `Reconstructor.follow` for its arguments."""

    settings: Settings
    instrument: Instrument
    capture: Path
    output: Path
    wait: Callable[[], bool]
    observe: Callable[[StreamMetrics], None] | None = None
    stopped: Callable[[], bool] = lambda: False

    def run(self) -> Followed:
        """Follow until `wait` returns False or `stopped` returns True."""
        if self.settings.reconstruct.strategy == "snapshot":
            raise ReconstructionError(
                expected="strategy auto or full_event",
                found="snapshot",
                where="settings: reconstruct.strategy",
                remedy="Follow with another strategy: a live tail applies every delta.",
            )
        going_on, keys = True, load_master_keys(self.settings.capture.key_file)
        while (point := capture_point(self.capture, self.instrument, keys)) is None:
            if not going_on:
                return Followed(0, 0, 0, 0, 0, {}, 0, 0, None, None)
            going_on = self.wait() and not self.stopped()
        self._check_output(point)
        with (
            IdempotentLog(self.output / BOOKS, self._schema(point)) as books_log,
            IdempotentLog(
                self.output / FINDINGS_LOG, FINDINGS_SCHEMA.with_metadata(self._metadata(point))
            ) as findings,
        ):
            return self._run(point, books_log, findings, keys)

    def _run(
        self,
        point: FixedPoint,
        books_log: IdempotentLog,
        findings: IdempotentLog,
        keys: MasterKeys | None,
    ) -> Followed:
        shaping = identity(self.settings, self.instrument.key, {"capture": point.to_metadata()})
        checkpoints = LiveCheckpoints(Checkpoints(self.output / CHECKPOINTS), shaping, self.settings)
        begin = checkpoints.newest(books_log.rows_at_opening, findings.rows_at_opening)
        books_log.go_on_at(begin.rows if begin else 0)
        findings.go_on_at(begin.findings if begin else 0)
        saved, counts, state = (begin.saved, begin.counts, begin.state) if begin else (None, None, None)
        replay = LiveReplay(self.settings, point.tick_pips, saved, counts)
        inbox = state.inbox if state else InboxState()
        source = LiveSource(self.capture, replay.begin.deltas, inbox, self.wait, self.stopped, keys=keys)
        steps = LiveSteps(self.settings, point.tick_pips, replay.begin, state)
        memory = MemoryGuard(self.settings.streaming.memory_limit)
        stream = LiveStream(source, steps, replay, books_log, findings, checkpoints, self.settings, memory)
        pipeline = stream.pipeline(self.observe)
        pipeline.run()
        made_all = begin is None and books_log.next_row == books_log.rows
        return Followed(
            books_log.rows,
            min(books_log.next_row, books_log.rows_at_opening) - (begin.rows if begin else 0),
            replay.book.messages,
            stream.deltas,
            replay.begin.deltas,
            dict(sorted(replay.counts.items())),
            checkpoints.refused,
            checkpoints.written,
            stream.tables.digest.hexdigest() if made_all else None,
            pipeline.metrics(),
        )

    def _schema(self, point: FixedPoint) -> pa.Schema:
        return books_schema(self.settings.reconstruct.depth).with_metadata(self._metadata(point))

    def _metadata(self, point: FixedPoint) -> dict[str, str]:
        """Return the metadata of both output logs: the instrument, its decimals, and the settings that shape rows."""
        shaping = {
            "gaps": self.settings.gaps.model_dump(mode="json"),
            "reconstruct": self.settings.reconstruct.model_dump(
                mode="json",
                exclude={"strategy", "continue_previous_day", "checkpoint_events", "checkpoint_interval"},
            ),
        }
        return {
            SYMBOL.decode(): self.instrument.key,
            **{name: str(value) for name, value in point.to_metadata().items()},
            "strategy": FullEventReplay.name,
            "settings": json.dumps(shaping, sort_keys=True),
        }

    def _check_output(self, point: FixedPoint) -> None:
        """Refuse a folder of other books before anything in it is touched."""
        try:
            found = LogReader(self.output / BOOKS).schema()
        except LogMissingError:
            return
        if found is not None and not found.equals(self._schema(point), check_metadata=True):
            metadata = {key.decode(): value.decode() for key, value in (found.metadata or {}).items()}
            raise LogSchemaError(
                expected=f"books of {self._metadata(point)}",
                found=f"others, of {metadata}",
                where=str(self.output / BOOKS),
                remedy="Choose another output folder, or the settings these books were made with.",
            )


def replay_hash_of(output: Path) -> str:
    """Return the `replay_hash` of all rows in the log of books of an output folder, read again."""
    digest = ReplayHash()
    for rows in LogReader(output / BOOKS).read():
        digest.update(stored_rows(pa.Table.from_batches([rows.batch])))
    return digest.hexdigest()
