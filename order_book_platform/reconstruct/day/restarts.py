"""A reconstruction from its last checkpoint to its end; begun again where a stage stalls."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass

from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import day_stream
from order_book_platform.reconstruct.day.resumption import DATASET, Resumption
from order_book_platform.reconstruct.day.size_estimate import BooksSizeEstimate
from order_book_platform.reconstruct.spill import spill_in
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.streaming import MemoryGuard, Pipeline, run_with_restarts


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the stages.

    Attributes:
        replay: with the book, at its end if the attempt came to it.
        parts: of the published rows.
        resumption: its checkpoints.
        pipeline: the stages.
        resumed_from: deltas that earlier runs or attempts had applied.
    """

    replay: DayReplay
    parts: BookWriter
    resumption: Resumption
    pipeline: Pipeline
    resumed_from: int

    @property
    def metrics(self) -> StreamMetrics:
        """Of its stages."""
        return self.pipeline.metrics()


def run_attempts(
    store: DataStore, settings: Settings, key: PartitionKey, writer: PartitionWriter, progress: Progress
) -> tuple[Attempt, int]:
    """Take up what an earlier run left, if anything, and run the stages to their end.

    Returns:
        The attempt that came to the end, and how many stalled before it.

    Raises:
        DiskFullError: there is clearly not enough room for the rest of the day.
        StallError: a stage stalled once more than `streaming.restarts` allows.
    """
    attempts: list[Attempt] = []
    total = store.rows("raw_deltas", key).num_rows
    folder = store.folder(DATASET, key)
    for left in folder.parent.glob(f".spill-*-{folder.name}"):
        shutil.rmtree(left)  # of a run that was killed, of whichever attempt
    with ExitStack() as spills:

        def begin(number: int) -> Pipeline:
            if attempts:
                # Whatever still hangs writes to files that have no name any more; nobody else keeps its book alive.
                attempts.pop().resumption.abandon()
                writer.forget()
            spill = spills.enter_context(spill_in(folder.with_name(f".spill-{number}-{folder.name}")))
            replay = DayReplay.of(store, settings, key)
            resumption = Resumption(store, settings, writer, replay.inputs)
            unfinished = resumption.take_up()
            if unfinished:
                replay = DayReplay.of(store, settings, key, saved=unfinished.saved)
            parts = BookWriter(writer, settings.reconstruct.depth, replay.encoding)
            writer.metadata.update(replay.fixed_point.to_metadata(), precision=parts.encoding.precision)
            if unfinished:
                parts.adopt(unfinished.parts)
                parts.shown_sizes = unfinished.saved.shown
            before = replay.planner.place.deltas
            room = BooksSizeEstimate(store, settings.reconstruct, replay, parts, writer)
            writer.require_disk_space()
            stream = day_stream(store, settings, replay, parts, resumption, memory)

            def observe(metrics: StreamMetrics) -> None:
                applied = next(stage.rows for stage in metrics.stages if stage.stage == "apply")
                room.applied(before + applied)
                progress("replay", before + applied, total, metrics)

            pipeline = stream.pipeline(observe, spill)
            attempts.append(Attempt(replay, parts, resumption, pipeline, before))
            return pipeline

        memory = MemoryGuard(settings.streaming.memory_limit)
        restarts = run_with_restarts(begin, settings.streaming.restarts)
    attempt = attempts[-1]
    progress("replay", total, total)
    return attempt, restarts
