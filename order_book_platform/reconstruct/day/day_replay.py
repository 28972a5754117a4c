"""The replay of one published day; shared by publishing, verifying and looking at the book of an instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import PublishedDeltas
from order_book_platform.datasets.snapshots import read_snapshots
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.encoding import PartitionEncoding, encoding_of
from order_book_platform.observability import Progress
from order_book_platform.reconstruct.checkpoint_format import SavedReplay
from order_book_platform.reconstruct.configured_book import configured_book
from order_book_platform.reconstruct.day.previous_day import find_previous_day
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.replay_steps import Instant, ReplayStep
from order_book_platform.replay.snapshot_outcomes import SnapshotOutcomes
from order_book_platform.replay.snapshot_scheduler import ReplayPosition, SnapshotScheduler
from order_book_platform.replay.strategy import STRATEGIES, Strategy
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest

REST_OF_DAY = 1 << 62
"""More snapshots than a day has."""


@dataclass(frozen=True, slots=True)
class DayReplay:
    """A book ready to be taken through one day.

    Attributes:
        key: Symbol and day.
        book: Empty, restored from the previous day, or resumed from a checkpoint.
        scheduler: Hands out the snapshots that shape the book.
        outcomes: The snapshots that were due so far, and what the book did with them.
        strategy: Drives the book.
        fixed_point: Decimals, tick and lot of the deltas.
        encoding: Encoding of the prices and sizes that are replayed.
        inputs: Dataset to fingerprint.
        continued_from: Last sequence number of the previous day, if the book was restored from its closing state.
        not_continued: Why it was not, although the settings ask for it.
    """

    key: PartitionKey
    book: Book
    scheduler: SnapshotScheduler
    outcomes: SnapshotOutcomes
    strategy: Strategy
    fixed_point: FixedPoint
    encoding: PartitionEncoding
    inputs: dict[str, str]
    continued_from: int | None
    not_continued: str | None

    @classmethod
    def prepare(
        cls,
        store: DataStore,
        settings: Settings,
        key: PartitionKey,
        *,
        cadence: str | None = None,
        saved: SavedReplay | None = None,
    ) -> DayReplay:
        """Read the inputs other than the deltas, and set up the book, the snapshots and the flags.

        Args:
            store: Has the inputs.
            settings: `reconstruct` and `gaps`.
            key: Symbol and day.
            cadence: Replaces the cadence of the settings.
            saved: Where to go on; by default at the beginning of the day.

        Raises:
            PartitionMissingError: An input has not been published.
            ReconstructionError: The previous day's closing state does not fit.
        """
        names = ("raw_deltas", "snapshots", "sequence_gap_report", "data_assessment")
        manifests = {name: store.manifest(name, key) for name in names}
        inputs = {name: manifest.fingerprint for name, manifest in manifests.items()}
        deltas, strategy = manifests["raw_deltas"], _strategy(settings, manifests["data_assessment"])
        before, not_continued = None, None
        if settings.reconstruct.continue_previous_day:
            before, not_continued = find_previous_day(
                store, key, deltas, strategy.name, settings.gaps.silence
            )
        # The book's step has to divide the prices of both days.
        step_before = before.price_step if before else 0
        encoding = encoding_of(deltas.metadata).finer(step_before)
        book = configured_book(settings, gcd(encoding.tick, step_before // encoding.unit), cadence)
        timeline = strategy.timeline(FlagTimeline.from_gaps(store.table("sequence_gap_report", key)))
        book.add_flag_changes(timeline.changes)
        if before:
            inputs["previous reconstructed_books"] = before.manifest.fingerprint
        if saved:
            encoding.restore_sizes(saved.sizes)
            book.resume(saved.book)
        elif before:
            before.restore(book, encoding)
        position = saved.position if saved else ReplayPosition()
        snapshots = read_snapshots(store, key, encoding, position.snapshots)
        return cls(
            key,
            book,
            SnapshotScheduler(snapshots, strategy.selector(), timeline.recover_from, encoding.tick, position),
            SnapshotOutcomes(saved.outcomes if saved else None),
            strategy,
            deltas.fixed_point,
            encoding,
            inputs,
            before.last_sequence_number if before else None,
            not_continued,
        )

    def rows(
        self, store: DataStore, progress: Progress, batch_rows: int, until: Instant | None = None
    ) -> Iterator[Int64Array]:
        """Replay the day from where the book stands, or up to an instant.

        Yields:
            int64[n, 6 + 4·depth], each piece valid until the next.
        """
        for step in self._steps(store, progress, batch_rows, until):
            yield from self.apply(step)
        yield from self.last_rows()

    def _steps(
        self, store: DataStore, progress: Progress, batch_rows: int, until: Instant | None
    ) -> Iterator[ReplayStep]:
        steps = self.strategy.steps(self.scheduler, until)
        if not steps.ended():
            deltas = PublishedDeltas(store, self.key, self.encoding)
            for batch in deltas.batches(batch_rows, progress, "replay", self.scheduler.position.deltas):
                yield from steps.take(batch)
                if steps.ended():
                    break
        yield from steps.finish()

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Apply a step and return its rows, each piece valid until the next."""
        self.outcomes.add_due(step.due)
        return self.strategy.apply(self.book, step)

    def last_rows(self) -> Iterator[Int64Array]:
        """Return the rows still due at the end of the day."""
        last = self.book.finish()
        if len(last):
            yield last

    def used_snapshots(self) -> tuple[pa.Table, Counter[str], int | None]:
        """Return `SnapshotOutcomes.table` after the last step; snapshots behind the last message are judged as well."""
        for due in self.scheduler.remaining(REST_OF_DAY):
            self.outcomes.add_due(due)
        self.outcomes.add_outcomes(self.book.take_outcomes())
        return self.outcomes.table()

    def saved(self, position: ReplayPosition, shown_sizes: BoolArray) -> SavedReplay:
        """Return the state of the replay after the step that ends at a position; see `SavedReplay.shown_sizes`."""
        self.outcomes.add_outcomes(self.book.take_outcomes())
        sizes = self.encoding.saved_sizes()
        return SavedReplay(position, self.book.saved(), self.outcomes.saved(), sizes, shown_sizes.copy())


def _strategy(settings: Settings, assessment: Manifest) -> Strategy:
    """Return the strategy of the settings, or the one that the assessment recommends."""
    wanted = settings.reconstruct
    recommended = assessment.metadata["recommendation"]["strategy"]
    return STRATEGIES[recommended if wanted.strategy == "auto" else wanted.strategy](wanted.extend_every)
