"""The replay of one published day; shared by publishing, verifying and looking at the book of an instant.

A day may go on from the closing state of the day before instead of being seeded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from math import gcd

import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import PublishedDeltas
from order_book_platform.datasets.reconstructed_books.schema import CLOSING_STATE_FILE
from order_book_platform.datasets.snapshots import read_snapshots
from order_book_platform.errors import ReconstructionError
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.decimal128 import DECIMALS, decimal_words, unscaled_integers
from order_book_platform.model.decimal_encoding import unit_fits
from order_book_platform.model.encoding_choice import encoding_of
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.observability import Progress
from order_book_platform.reconstruct.book_stages import configured_book
from order_book_platform.reconstruct.replay_checkpoints import SavedReplay
from order_book_platform.replay.book import Book, Levels
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.replay_steps import Instant, ReplayStep
from order_book_platform.replay.snapshot_outcomes import SnapshotOutcomes
from order_book_platform.replay.snapshot_scheduler import ReplayPosition, SnapshotScheduler
from order_book_platform.replay.strategy import STRATEGIES, FullEventReplay, Strategy
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest

REST_OF_DAY = 1 << 62
"""More snapshots than a day has."""


@dataclass(frozen=True, slots=True)
class PreviousDay:
    """The published books of a day, from whose closing levels (`CLOSING_STATE_SCHEMA`) the next day goes on."""

    manifest: Manifest
    closing_levels: pa.Table

    def restore(self, book: Book, encoding: PartitionEncoding) -> None:
        """Let an empty book start from the closing state."""
        table, closing = self.closing_levels, self.manifest.metadata["closing"]
        sides = [table.filter(pc.equal(table.column("is_bid"), is_bid)) for is_bid in (True, False)]
        bids, asks = (
            Levels(
                encoding.read_prices(side, "price"),
                encoding.read_sizes(side, "size"),
                side.column("known").to_numpy(),
            )
            for side in sides
        )
        bid, ask = (
            None if bound is None else bound // encoding.unit
            for bound in (closing["known_bid_pips"], closing["known_ask_pips"])
        )
        book.restore(bids, asks, (bid, ask))


def find_previous_day(
    store: DataStore, key: PartitionKey, deltas: Manifest, strategy_name: str, silence_ns: int
) -> tuple[PreviousDay | None, str | None]:
    """Return the books of the day before if a day can go on from their closing state; else the reason why it cannot.

    A closing state whose rows carry gap flags, or a gap between the two days, is no seed. A pause of more than
    `silence_ns` between the days is a gap where no ids prove the contrary.

    Raises:
        ReconstructionError: The two days have different decimals, or one of them has pips and the other decimals.
    """
    before = PartitionKey(key.instrument, key.day - timedelta(days=1))
    if not store.exists("reconstructed_books", before):
        return None, "the day before has no books"
    manifest = store.manifest("reconstructed_books", before)
    _check_same_numbers(manifest, deltas, before)
    names = ["origin_time", "first_update_id", "prev_final_update_id"]
    batches = store.rows("raw_deltas", key).batches(1, names)
    first = next((batch.to_pylist()[0] for batch in islice(batches, 1)), None)
    reason = _no_continuation(manifest, first, strategy_name, silence_ns)
    if reason is not None:
        return None, reason
    levels = store.table("reconstructed_books", before, CLOSING_STATE_FILE)
    if deltas.precision == "decimal128" and not _one_unit_fits(manifest, levels, deltas):
        return None, "no unit is small enough for the prices of both days and large enough to count them"
    return PreviousDay(manifest, levels), None


def _no_continuation(
    before: Manifest, first: dict[str, int | None] | None, strategy_name: str, silence_ns: int
) -> str | None:
    """Return why a day with such a first message cannot go on from the books of the day before."""
    closing = before.metadata["closing"]
    if first is None or closing["sequence_number"] is None:
        return "one of the days has no message"
    if {strategy_name, before.metadata["strategy"]} != {FullEventReplay.name}:
        return "a book of snapshots alone does not reach from one day to the next"
    if before.metadata["seed"] == "none":
        return "the day before was never seeded"
    if closing["doubt"] != "-":
        return f"the day before ends in doubt: {closing['doubt']}"
    if first["prev_final_update_id"] is not None:
        if first["prev_final_update_id"] > closing["sequence_number"]:
            return "messages are missing between the days: pu is greater than the last id of the day before"
        return None
    if first["first_update_id"] is not None:
        if first["first_update_id"] > closing["sequence_number"] + 1:
            return (
                "messages are missing between the days: U is greater than the last id of the day before + 1"
            )
        return None
    pause = (first["origin_time"] or 0) - closing["origin_time"]
    return f"no message for {pause / NS_PER_SECOND:.3f} s between the days" if pause > silence_ns else None


def _one_unit_fits(before: Manifest, levels: pa.Table, deltas: Manifest) -> bool:
    """Return whether one unit can encode the closing state of a day of decimals and the deltas of the next."""
    day = Decimal(deltas.metadata["audit"]["largest_price"]).scaleb(DECIMALS, EXACT)
    largest = max(int(day), *unscaled_integers(decimal_words(levels.column("price"))))
    return unit_fits(largest, gcd(deltas.metadata["price_unit"], before.metadata["closing"]["step_pips"]))


def _check_same_numbers(before: Manifest, deltas: Manifest, where: PartitionKey) -> None:
    wanted, found = (
        (each.precision, each.fixed_point.price_decimals, each.fixed_point.size_decimals)
        for each in (deltas, before)
    )
    if found != wanted:
        raise ReconstructionError(
            expected="closing state in {} with {} and {} decimals".format(*wanted),
            found="{} with {} and {}".format(*found),
            where=f"reconstructed_books of {where}",
            remedy="Set price_decimals and size_decimals of the instrument, or its precision, so that both days agree.",
        )


@dataclass(frozen=True, slots=True)
class DayReplay:
    """A book ready to be taken through one day.

    Attributes:
        book: Empty, restored from the previous day, or resumed from a checkpoint.
        scheduler: Hands out the snapshots that shape the book.
        outcomes: The snapshots that were due so far, and what the book did with them.
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

        The replay begins at the beginning of the day, or where `saved` says. A `cadence` replaces that of the settings.
        """
        names = ("raw_deltas", "snapshots", "sequence_gap_report", "data_assessment")
        manifests = {name: store.manifest(name, key) for name in names}
        inputs = {name: manifest.fingerprint for name, manifest in manifests.items()}
        deltas, wanted = manifests["raw_deltas"], settings.reconstruct.strategy
        if wanted == "auto":
            wanted = manifests["data_assessment"].metadata["recommendation"]["strategy"]
        strategy = STRATEGIES[wanted](settings.reconstruct.extend_every)
        before, not_continued = None, None
        if settings.reconstruct.continue_previous_day:
            before, not_continued = find_previous_day(
                store, key, deltas, strategy.name, settings.gaps.silence
            )
        # The book's step has to divide the prices of both days.
        step_before = int(before.manifest.metadata["closing"]["step_pips"]) if before else 0
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
        points, proven = timeline.recover_from, timeline.proven_by_ids
        return cls(
            key,
            book,
            SnapshotScheduler(snapshots, strategy.selector(), points, encoding.tick, position, proven),
            SnapshotOutcomes(saved.outcomes if saved else None),
            strategy,
            deltas.fixed_point,
            encoding,
            inputs,
            int(before.manifest.metadata["closing"]["sequence_number"]) if before else None,
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
        last = self.book.finish()
        if len(last):
            yield last

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

    def used_snapshots(self) -> tuple[pa.Table, Counter[str], int | None]:
        """Return `SnapshotOutcomes.table` after the last step; snapshots behind the last message are judged as well."""
        for due in self.scheduler.remaining(REST_OF_DAY):
            self.outcomes.add_due(due)
        self.outcomes.add_outcomes(self.book.take_outcomes())
        return self.outcomes.table()

    def saved(self, position: ReplayPosition, shown_sizes: BoolArray) -> SavedReplay:
        """Return the state after the step that ends at a position; `shown_sizes` bool[k] is that of `SavedReplay`."""
        self.outcomes.add_outcomes(self.book.take_outcomes())
        sizes = self.encoding.saved_sizes()
        return SavedReplay(position, self.book.saved(), self.outcomes.saved(), sizes, shown_sizes.copy())
