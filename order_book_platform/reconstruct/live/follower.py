"""Near-real-time books: the tail of a live capture through the stages of a reconstruction, on and on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.reconstructed_books.writer import ReplayHash, stored_rows
from order_book_platform.datasets.sequence_gap_report import FINDINGS_SCHEMA
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import LogMissingError, LogSchemaError, ReconstructionError
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.observability import StreamMetrics
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.resumption import identity
from order_book_platform.reconstruct.live.idempotent_log import IdempotentLog
from order_book_platform.reconstruct.live.live_checkpoints import LiveCheckpoints
from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.reconstruct.live.live_rows import LiveRows
from order_book_platform.reconstruct.live.live_source import (
    SYMBOL,
    CaughtUp,
    LiveSource,
    Quiet,
    capture_point,
)
from order_book_platform.replay.live_steps import LiveSteps
from order_book_platform.replay.snapshot_inbox import Arrived
from order_book_platform.replay.strategy import FullEventReplay, ReplayStep
from order_book_platform.settings import Settings
from order_book_platform.storage import LogReader
from order_book_platform.streaming import MemoryGuard

BOOKS, FINDINGS_LOG, CHECKPOINTS = "books", "findings", "checkpoints"
"""What lies in the output folder: two logs, and checkpoints."""
QUEUE_ITEMS = 2
"""What waits in a queue has been cut already: the less, the more is read at once when a stage is behind."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What following came to.

    Attributes:
        rows: in the log of books.
        rows_again: of them, made again by this run and found equal.
        messages: applied since the beginning of the logs.
        deltas: the same.
        resumed_from: deltas that an earlier run had applied.
        tally: since the beginning: snapshots `seeded`, `extended`, `repaired`, `rejected`, `late_snapshot`, and breaks
            by cause.
        checkpoints_refused, checkpoints_written: of earlier runs; by this run.
        replay_hash: of all rows in the log of books, if this run made them all; else None, see `replay_hash_of`.
        metrics: of the stages, at their end; None where nothing was there to be read.
    """

    rows: int
    rows_again: int
    messages: int
    deltas: int
    resumed_from: int
    tally: Mapping[str, int]
    checkpoints_refused: int
    checkpoints_written: int
    replay_hash: str | None
    metrics: StreamMetrics | None


class TailStream(BookStream):
    """The stages of a live tail: snapshots come with the deltas, and all that was read is whole messages.

    Args:
        source: of both.
        steps: cuts the deltas, and gets the snapshots.
        replay: drives the book.
        rows: takes the rows.
        settings: see `BookStream`.
        memory: watches over the process.
    """

    def __init__(
        self,
        source: LiveSource,
        steps: LiveSteps,
        replay: LiveReplay,
        rows: LiveRows,
        settings: Settings,
        memory: MemoryGuard,
    ) -> None:
        super().__init__(source, steps, replay, rows, settings, memory, QUEUE_ITEMS)
        self._steps = steps

    def _sequence(self, batch: Any) -> Iterator[Any]:
        match batch:
            case Quiet():
                yield batch
            case CaughtUp():
                yield from self._messages_end()
            case SnapshotBatch():
                self._steps.arrive(batch)
            case _:
                yield from super()._sequence(batch)

    def _sequence_rest(self) -> Iterator[ReplayStep]:
        # A message that is held back here may lack rows: its end is `CaughtUp`, which never came.
        yield from self._cutter.finish()

    def _apply(self, step: Any) -> Iterator[Any]:
        yield from (step,) if isinstance(step, Quiet) else super()._apply(step)


class Follower:
    """Follows one live capture into one output folder.

    Args:
        settings: `reconstruct`, `gaps` and `streaming`.
        instrument: that is captured.
        capture: folder of the logs `raw_deltas` and `snapshots`.
        output: folder of the books; made if it is not there.
    """

    def __init__(self, settings: Settings, instrument: Instrument, capture: Path, output: Path) -> None:
        self._settings = settings
        self._instrument = instrument
        self._capture = capture
        self._output = output

    def run(
        self,
        wait: Callable[[], bool],
        observe: Callable[[StreamMetrics], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Followed:
        """Follow until `wait` or `stopped` says so; see `Reconstructor.follow`."""
        if self._settings.reconstruct.strategy == "snapshot":
            raise ReconstructionError(
                expected="strategy auto or full_event",
                found="snapshot",
                where="settings: reconstruct.strategy",
                remedy="Follow with another strategy: a live tail applies every delta.",
            )
        going_on = True
        while (point := capture_point(self._capture, self._instrument)) is None:
            if not going_on:
                return Followed(0, 0, 0, 0, 0, {}, 0, 0, None, None)
            going_on = wait() and not stopped()
        self._check_output(point)
        with (
            IdempotentLog(self._output / BOOKS, self._schema(point)) as books_log,
            IdempotentLog(
                self._output / FINDINGS_LOG, FINDINGS_SCHEMA.with_metadata(self._metadata(point))
            ) as findings,
        ):
            return self._run(point, books_log, findings, wait, observe, stopped)

    def _run(
        self,
        point: FixedPoint,
        books_log: IdempotentLog,
        findings: IdempotentLog,
        wait: Callable[[], bool],
        observe: Callable[[StreamMetrics], None] | None,
        stopped: Callable[[], bool],
    ) -> Followed:
        shaping = identity(self._settings, self._instrument.key, {"capture": point.to_metadata()})
        checkpoints = LiveCheckpoints(self._output / CHECKPOINTS, shaping)
        begin = checkpoints.newest(books_log.there, findings.there)
        books_log.go_on_at(begin.rows if begin else 0)
        findings.go_on_at(begin.findings if begin else 0)
        saved, tally = (begin.saved, begin.tally) if begin else (None, None)
        replay = LiveReplay(self._settings, point.tick_pips, saved, tally)
        state = begin.state if begin else None
        arrived = state.arrived if state else Arrived()
        source = LiveSource(self._capture, replay.place.deltas, arrived, wait, stopped)
        steps = LiveSteps(self._settings, point.tick_pips, replay.place, state)
        rows = LiveRows(books_log, findings, replay, source, checkpoints, self._settings)
        memory = MemoryGuard(self._settings.streaming.memory_limit)
        stream = TailStream(source, steps, replay, rows, self._settings, memory)
        pipeline = stream.pipeline(observe)
        pipeline.run()
        is_whole = begin is None and books_log.place == books_log.rows
        return Followed(
            books_log.rows,
            min(books_log.place, books_log.there) - (begin.rows if begin else 0),
            replay.book.messages,
            rows.deltas,
            replay.place.deltas,
            dict(sorted(replay.tally.items())),
            checkpoints.refused,
            checkpoints.written,
            rows.digest.hexdigest() if is_whole else None,
            pipeline.metrics(),
        )

    def _schema(self, point: FixedPoint) -> pa.Schema:
        return books_schema(self._settings.reconstruct.depth).with_metadata(self._metadata(point))

    def _metadata(self, point: FixedPoint) -> dict[str, str]:
        """Of both output logs: what the rows are of, and the settings that shape them."""
        shaping = {
            "gaps": self._settings.gaps.model_dump(mode="json"),
            "reconstruct": self._settings.reconstruct.model_dump(
                mode="json",
                exclude={"strategy", "continue_previous_day", "checkpoint_events", "checkpoint_interval"},
            ),
        }
        return {
            SYMBOL.decode(): self._instrument.key,
            **{name: str(value) for name, value in point.to_metadata().items()},
            "strategy": FullEventReplay.name,
            "settings": json.dumps(shaping, sort_keys=True),
        }

    def _check_output(self, point: FixedPoint) -> None:
        """Refuse a folder of other books before anything in it is touched."""
        try:
            found = LogReader(self._output / BOOKS).schema()
        except LogMissingError:
            return
        if found is not None and not found.equals(self._schema(point), check_metadata=True):
            metadata = {key.decode(): value.decode() for key, value in (found.metadata or {}).items()}
            raise LogSchemaError(
                expected=f"books of {self._metadata(point)}",
                found=f"others, of {metadata}",
                where=str(self._output / BOOKS),
                remedy="Choose another output folder, or the settings these books were made with.",
            )


def replay_hash_of(output: Path) -> str:
    """`replay_hash` of all rows in the log of books of an output folder, read again.

    Raises:
        LogMissingError: there is none.
    """
    digest = ReplayHash()
    for rows in LogReader(output / BOOKS).read():
        digest.update(stored_rows(pa.Table.from_batches([rows.batch])))
    return digest.hexdigest()
