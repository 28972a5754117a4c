"""The reconstruction of a day from its last checkpoint to its end, begun again where a stage stalls."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass

from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_checkpoints import DATASET, DayCheckpoints
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import day_stream
from order_book_platform.reconstruct.day.size_estimate import BooksSizeEstimate, bytes_of_books
from order_book_platform.reconstruct.spill import spill_in
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.streaming import MemoryGuard, Pipeline, run_with_restarts


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the stages.

    Attributes:
        replay: The replay; its book is at the end of the day if the attempt finished.
        parts: Writer of the published rows.
        checkpoints: Checkpoints of the day.
        pipeline: The stages.
        resumed_from: Deltas that earlier runs or attempts had applied.
    """

    replay: DayReplay
    parts: BookWriter
    checkpoints: DayCheckpoints
    pipeline: Pipeline
    resumed_from: int

    @property
    def metrics(self) -> StreamMetrics:
        """Metrics of the stages."""
        return self.pipeline.metrics()


def replay_with_restarts(
    store: DataStore, settings: Settings, key: PartitionKey, writer: PartitionWriter, progress: Progress
) -> tuple[Attempt, int]:
    """Resume what an earlier run left, if anything, and run the stages to their end.

    Returns:
        The attempt that finished, and how many stalled before it.

    Raises:
        DiskFullError: There is clearly not enough disk space for the rest of the day.
        StallError: A stage stalled once more than `streaming.restarts` allows.
    """
    attempts: list[Attempt] = []
    total = store.rows("raw_deltas", key).num_rows
    memory = MemoryGuard(settings.streaming.memory_limit)
    folder = store.folder(DATASET, key)
    for left in folder.parent.glob(f".spill-*-{folder.name}"):
        shutil.rmtree(left)  # of a run that was killed, of whichever attempt
    with ExitStack() as spills:

        def begin(number: int) -> Pipeline:
            if attempts:
                # Whatever still hangs writes to files that have no name any more; nobody else keeps its book alive.
                attempts.pop().checkpoints.abandon()
                writer.forget()
            spill = spills.enter_context(spill_in(folder.with_name(f".spill-{number}-{folder.name}")))
            replay, parts, checkpoints = _resumed(store, settings, key, writer)
            before = replay.scheduler.position.deltas
            uses_deltas = replay.strategy.name == FullEventReplay.name
            writer.expected_bytes = bytes_of_books(store, key, settings.reconstruct, replay.strategy.name)
            estimate = BooksSizeEstimate(writer, parts, total if uses_deltas else None)
            estimate.applied(before)
            writer.require_disk_space()

            def observe(metrics: StreamMetrics) -> None:
                applied = next(stage.rows for stage in metrics.stages if stage.stage == "apply")
                estimate.applied(before + applied)
                progress("replay", before + applied, total, metrics)

            stream = day_stream(store, settings, replay, parts, checkpoints, memory)
            pipeline = stream.pipeline(observe, spill)
            attempts.append(Attempt(replay, parts, checkpoints, pipeline, before))
            return pipeline

        restarts = run_with_restarts(begin, settings.streaming.restarts)
    progress("replay", total, total)
    return attempts[-1], restarts


def _resumed(
    store: DataStore, settings: Settings, key: PartitionKey, writer: PartitionWriter
) -> tuple[DayReplay, BookWriter, DayCheckpoints]:
    """Set up the replay of a day at its last checkpoint, or at its beginning, with the parts written until there."""
    replay = DayReplay.prepare(store, settings, key)
    checkpoints = DayCheckpoints(store, settings, writer, replay.inputs)
    unfinished = checkpoints.resume()
    if unfinished:
        replay = DayReplay.prepare(store, settings, key, saved=unfinished.saved)
    writer.metadata.update(replay.fixed_point.to_metadata(), precision=replay.encoding.precision)
    parts = BookWriter(writer, settings.reconstruct.depth, replay.encoding)
    if unfinished:
        parts.adopt(unfinished.parts)
        parts.tables.shown_sizes = unfinished.saved.shown_sizes
    return replay, parts, checkpoints
