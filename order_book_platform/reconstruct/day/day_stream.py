"""The stages of one day: deltas of a published partition in, parts of the books out; begun again where one stalls.

The writer of the parts also tells how much disk space the books take.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.datasets.reconstructed_books.schema import books_packing
from order_book_platform.datasets.reconstructed_books.writer import BookTables, count_flags, stored_rows
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.memory_budget import LogSpill, group_rows
from order_book_platform.reconstruct.replay_checkpoints import DATASET, DayCheckpoints, SavedReplay
from order_book_platform.replay.replay_steps import ReplayStep
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import ReconstructSettings, Settings
from order_book_platform.storage import DataStore, ParquetRows, ParquetSink, PartitionWriter
from order_book_platform.storage.parquet_rows import RowGroup
from order_book_platform.storage.partition_writer import FinishedFile
from order_book_platform.streaming import MemoryGuard, Pipeline, run_with_restarts

PART_END = "end of a part"
"""What is written where a part ends; the state of the replay stands in its place where a checkpoint is due."""
BYTES_PER_DELTA_LEVEL = 0.2
"""Bytes a delta takes for each visible level a side, and once more for the times, number and flags of a row. Recorded
days of three markets took 2.0 to 5.1 bytes a delta with 20 levels, 0.7 to 1.5 with 5, 0.4 to 0.7 with one; a row after
every message took up to 15 % more."""
BYTES_PER_ROW_LEVEL = 10
"""The same for a row of a 100 ms grid: 136 to 230 bytes with 20 levels, on the same days."""


class BookWriter:
    """Writes the parts of one partition, whose metadata already hold what the files' footers say.

    Attributes:
        tables: Makes tables of rows, hashes and counts them.
        finished: Parts that will not change any more.
        rows: Rows in all parts.
        table_rows: Rows that have become tables; those not yet in a part wait to be written.
        deltas_in_all: Deltas of the day, from which the rest of its disk space is estimated; 0 if that is not known.
    """

    def __init__(self, writer: PartitionWriter, depth: int, encoding: PartitionEncoding) -> None:
        self.tables = BookTables(depth, encoding)
        self.finished: list[FinishedFile] = []
        self.rows = self.table_rows = self.deltas_in_all = 0
        self._writer = writer
        self._group_rows = group_rows(depth, encoding.stored_bytes)
        self._sink: ParquetSink | None = None

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows int64[n, 6 + 4·depth]; `write` may be at work in another thread."""
        self.table_rows += len(rows)
        return self.tables.table(rows)

    def write(self, table: pa.Table) -> None:
        """Add rows to the part that is open; begin one if none is."""
        if self._sink is None:
            schema = self.tables.schema
            self._sink = self._writer.parquet(
                self._part_name, schema, self._group_rows, books_packing(schema), "lz4"
            )
        self._sink.write(table)
        self.rows += table.num_rows

    def applied(self, deltas: int) -> None:
        """Take note that so many deltas of the day have been applied; their rows may still wait to be written."""
        share = self.rows / self.table_rows if self.table_rows else 0.0
        self._writer.progressed(round(deltas * share), self.deltas_in_all)

    def end_part(self) -> None:
        """Finish the part that is open, if any; it is on the device when this returns."""
        if self._sink is not None:
            self.finished.append(self._writer.finish(self._part_name))
            self._sink = None

    def close(self) -> None:
        """Finish the last part after all rows have come; a partition without any row has one empty part."""
        if not self.rows:
            self.write(self.tables.schema.empty_table())
        self.end_part()

    def adopt(self, finished: Sequence[FinishedFile]) -> None:
        """Go on behind parts that an earlier run finished: read them, and count and hash their rows."""
        for part in finished:
            for batch in ParquetRows([self._writer.folder / part.name]).batches(self._group_rows):
                self.tables.digest.update(stored_rows(pa.Table.from_batches([batch])))
                count_flags(batch.column("flags").to_numpy(zero_copy_only=False), self.tables.counts)
            self._writer.adopt(part)
            self.finished.append(part)
            self.rows += part.rows
            self.table_rows += part.rows

    @property
    def _part_name(self) -> str:
        return f"books-{len(self.finished):05}.parquet"


def bytes_of_books(
    store: DataStore, key: PartitionKey, wanted: ReconstructSettings, strategy_name: str
) -> int:
    """Estimate the bytes of a day's books from its inputs."""
    if strategy_name != FullEventReplay.name:
        return BYTES_PER_ROW_LEVEL * (wanted.depth + 1) * store.rows("snapshots", key).num_rows
    messages = store.manifest("raw_deltas", key).metadata["audit"]["messages"]
    return bytes_of_deltas(wanted, store.rows("raw_deltas", key).num_rows, messages)


def bytes_of_deltas(wanted: ReconstructSettings, deltas: int, messages: int) -> int:
    """Estimate the bytes of the rows that so many deltas in so many messages give, with depth and cadence as wanted."""
    rows = NS_PER_DAY // wanted.grid if wanted.cadence == "grid" else messages
    parts = wanted.depth + 1
    return min(round(BYTES_PER_DELTA_LEVEL * parts * deltas), BYTES_PER_ROW_LEVEL * parts * rows)


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
