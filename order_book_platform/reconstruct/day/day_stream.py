"""The stages of one day: deltas of a published partition in, parts of the books out; begun again where one stalls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.book_writer import BookWriter, bytes_of_books
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.memory_budget import LogSpill
from order_book_platform.reconstruct.replay_checkpoints import DATASET, DayCheckpoints, SavedReplay
from order_book_platform.replay.replay_steps import ReplayStep
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.storage.parquet_rows import RowGroup
from order_book_platform.streaming import MemoryGuard, Pipeline, run_with_restarts

PART_END = "end of a part"
"""Item for the writer where a part ends; the state of the replay stands in its place where a checkpoint is due."""


class DayStream(BookStream):
    """Takes a replay from its position to the end of its day.

    Attributes:
        resumed_from: Deltas that earlier runs or attempts had applied.
    """

    def __init__(
        self,
        store: DataStore,
        settings: Settings,
        replay: DayReplay,
        parts: BookWriter,
        checkpoints: DayCheckpoints,
        memory: MemoryGuard,
    ) -> None:
        super().__init__(replay.strategy.steps(replay.scheduler), settings, memory)
        self.replay = replay
        self.parts = parts
        self.checkpoints = checkpoints
        self.resumed_from = replay.scheduler.position.deltas
        self._deltas = PublishedDeltas(store, replay.key, replay.encoding)

    def _read(self) -> Iterator[RowGroup]:
        if not self._steps.ended():
            yield from self._deltas.row_groups(self.resumed_from)

    def _decode(self, item: RowGroup) -> Iterator[DeltaBatch]:
        yield from self._deltas.decode(item, self._batch_rows)

    def _apply(self, step: ReplayStep) -> Iterator[pa.Table | SavedReplay | str]:
        for rows in self.replay.apply(step):
            yield self.parts.table(rows)
        if step.ends_part:
            due = self.checkpoints.due(step.position.events)
            shown_sizes = self.parts.tables.shown_sizes
            yield self.replay.saved(step.position, shown_sizes) if due else PART_END

    def _apply_rest(self) -> Iterator[pa.Table]:
        last = self.replay.book.finish()
        if len(last):
            yield self.parts.table(last)

    def _write(self, item: pa.Table | SavedReplay | str) -> Iterator[None]:
        if isinstance(item, pa.Table):
            self.parts.write(item)
        else:
            self.parts.end_part()
            if isinstance(item, SavedReplay):
                self.checkpoints.save(item, self.parts.finished)
        yield None


def replay_with_restarts(
    store: DataStore, settings: Settings, key: PartitionKey, writer: PartitionWriter, progress: Progress
) -> tuple[DayStream, StreamMetrics, int]:
    """Resume what an earlier run left, if anything, and run the stages to their end.

    Returns:
        The attempt that finished, its metrics, and how many stalled before it.

    Raises:
        DiskFullError: There is clearly not enough disk space for the rest of the day.
        StallError: A stage stalled once more than `streaming.restarts` allows.
    """
    attempts: list[tuple[DayStream, Pipeline]] = []
    total = store.rows("raw_deltas", key).num_rows
    memory = MemoryGuard(settings.streaming.memory_limit)
    folder = store.folder(DATASET, key)
    for left in folder.parent.glob(f".spill-*-{folder.name}"):
        shutil.rmtree(left)  # of a run that was killed, of whichever attempt
    with ExitStack() as spills:

        def begin(number: int) -> Pipeline:
            if attempts:
                # Whatever still hangs writes to files that have no name any more; nobody else keeps its book alive.
                attempts.pop()[0].checkpoints.abandon()
                writer.forget()
            spill = spills.enter_context(
                closing(LogSpill(folder.with_name(f".spill-{number}-{folder.name}")))
            )
            replay, parts, checkpoints = _resumed(store, settings, key, writer)
            strategy, before = replay.strategy.name, replay.scheduler.position.deltas
            writer.expected_bytes = bytes_of_books(store, key, settings.reconstruct, strategy)
            # The progress of books that are made of snapshots alone is not known.
            parts.deltas_in_all = total if strategy == FullEventReplay.name else 0
            parts.applied(before)
            writer.require_disk_space()

            def observe(metrics: StreamMetrics) -> None:
                applied = next(stage.rows for stage in metrics.stages if stage.stage == "apply")
                parts.applied(before + applied)
                progress("replay", before + applied, total, metrics)

            stream = DayStream(store, settings, replay, parts, checkpoints, memory)
            attempts.append((stream, stream.pipeline(observe, spill)))
            return attempts[-1][1]

        restarts = run_with_restarts(begin, settings.streaming.restarts)
    progress("replay", total, total)
    stream, pipeline = attempts[-1]
    return stream, pipeline.metrics(), restarts


def _resumed(
    store: DataStore, settings: Settings, key: PartitionKey, writer: PartitionWriter
) -> tuple[DayReplay, BookWriter, DayCheckpoints]:
    """Set up the replay of a day at its last checkpoint, or at its beginning, with the parts written until there."""
    replay = DayReplay.prepare(store, settings, key)
    checkpoints = DayCheckpoints(store, settings, writer, replay.inputs)
    saved, finished = checkpoints.resume() or (None, ())
    if saved:
        replay = DayReplay.prepare(store, settings, key, saved=saved)
    writer.metadata.update(replay.fixed_point.to_metadata(), precision=replay.encoding.precision)
    parts = BookWriter(writer, settings.reconstruct.depth, replay.encoding)
    if saved:
        parts.adopt(finished)
        parts.tables.shown_sizes = saved.shown_sizes
    return replay, parts, checkpoints
