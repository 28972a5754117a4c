"""Setting up a replay of one published day; shared by writing, verifying and looking inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
from order_book_platform.model.decimal128 import DECIMALS, DecimalWords, decimal_words, unscaled_integers
from order_book_platform.model.encoding import PartitionEncoding, encoding_of, unit_fits
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.observability import Progress
from order_book_platform.reconstruct.memory_budget import MemoryBudget
from order_book_platform.replay.book import Book, Levels, Plan
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.snapshot_outcomes import SnapshotOutcomes
from order_book_platform.replay.snapshot_scheduler import ReplayPosition, SnapshotScheduler
from order_book_platform.replay.strategy import STRATEGIES, FullEventReplay, Instant, ReplayStep, Strategy
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest

REST_OF_DAY = 1 << 62


@dataclass(frozen=True, slots=True)
class SavedReplay:
    """Where a replay can go on.

    Attributes:
        place: in its inputs.
        book: of `Book.saved`.
        history: of `SnapshotOutcomes.saved`.
        sizes: The list of `PartitionEncoding.saved_sizes`; empty for pips.
        shown: `BookTables.shown_sizes` at the same moment: what comes later may have other codes when it comes again.
    """

    place: ReplayPosition
    book: Mapping[str, Int64Array]
    history: Mapping[str, Int64Array]
    sizes: DecimalWords
    shown: BoolArray

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (*self.book.values(), *self.history.values(), self.sizes, self.shown)
        return sum(array.nbytes for array in arrays)


@dataclass(frozen=True, slots=True)
class DayReplay:
    """A book ready to be taken through one day.

    Attributes:
        key: symbol and day.
        book: empty, restored from the previous day, or resumed.
        planner: hands out the snapshots that shape it.
        history: those that have been.
        strategy: drives it.
        fixed_point: of the deltas.
        encoding: Encoding of the prices and sizes that are replayed.
        inputs: dataset to fingerprint.
        continued_from: last sequence number of the previous day's closing state, if the book was restored from it.
        not_continued: why it was not, although it was wished.
    """

    key: PartitionKey
    book: Book
    planner: SnapshotScheduler
    history: SnapshotOutcomes
    strategy: Strategy
    fixed_point: FixedPoint
    encoding: PartitionEncoding
    inputs: dict[str, str]
    continued_from: int | None
    not_continued: str | None

    @classmethod
    def of(
        cls,
        store: DataStore,
        settings: Settings,
        key: PartitionKey,
        *,
        cadence: str | None = None,
        saved: SavedReplay | None = None,
    ) -> DayReplay:
        """Read the inputs other than the deltas and decide.

        Args:
            store: has them.
            settings: `reconstruct` and `gaps`.
            key: symbol and day.
            cadence: instead of the one of the settings.
            saved: where to go on; by default the day's beginning.

        Raises:
            PartitionMissingError: an input has not been published.
            ReconstructionError: the previous day's closing state does not fit.
        """
        wanted = settings.reconstruct
        names = ("raw_deltas", "snapshots", "sequence_gap_report", "data_assessment")
        inputs = {name: store.manifest(name, key) for name in names}
        strategy = _strategy(settings, inputs["data_assessment"])
        before, why_not = (None, None)
        if wanted.continue_previous_day:
            before, why_not = _day_before(store, settings, key, inputs["raw_deltas"], strategy)
        step_before = before.metadata["closing"]["step_pips"] if before else 0
        encoding = encoding_of(inputs["raw_deltas"].metadata).finer(step_before)
        doubt = strategy.doubt(FlagTimeline.of_gaps(store.table("sequence_gap_report", key)))
        step = gcd(encoding.tick, step_before // encoding.unit)
        book = empty_book(settings, step, cadence or wanted.cadence, doubt)
        fingerprints = {name: manifest.fingerprint for name, manifest in inputs.items()}
        if before:
            fingerprints["previous reconstructed_books"] = before.fingerprint
        place = saved.place if saved else ReplayPosition()
        if saved:
            encoding.restore_sizes(saved.sizes)
            book.resumed(saved.book)
        elif before:
            _restore(book, store, key, before, encoding)
        planner = SnapshotScheduler(
            read_snapshots(store, key, encoding, place.snapshots),
            strategy.choice(),
            doubt.recover_from,
            encoding.tick,
            place,
        )
        continued_from = before.metadata["closing"]["sequence_number"] if before else None
        return cls(
            key,
            book,
            planner,
            SnapshotOutcomes(saved.history if saved else None),
            strategy,
            inputs["raw_deltas"].fixed_point,
            encoding,
            fingerprints,
            continued_from,
            why_not,
        )

    def steps(
        self, store: DataStore, progress: Progress, batch_rows: int, until: Instant | None = None
    ) -> Iterator[ReplayStep]:
        """The day from where the book stands, or up to an instant, as steps for `apply`."""
        cutter = self.strategy.cutter(self.planner, until)
        if not cutter.ended():
            deltas = PublishedDeltas(store, self.key, self.encoding)
            for batch in deltas.batches(batch_rows, progress, "replay", self.planner.place.deltas):
                yield from cutter.take(batch)
                if cutter.ended():
                    break
        yield from cutter.finish()

    def rows(
        self, store: DataStore, progress: Progress, batch_rows: int, until: Instant | None = None
    ) -> Iterator[Int64Array]:
        """Replay the day, or up to an instant, and hand out the rows, each piece valid until the next.

        Yields:
            int64[n, 6 + 4·depth].
        """
        for step in self.steps(store, progress, batch_rows, until):
            yield from self.apply(step)
        yield from self.last_rows()

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Take a step; the rows it gave, each piece valid until the next."""
        self.history.add(step.due)
        return self.strategy.apply(self.book, step)

    def last_rows(self) -> Iterator[Int64Array]:
        """Rows still due at the end of the day."""
        last = self.book.finish()
        if len(last):
            yield last

    def used_snapshots(self) -> tuple[pa.Table, Counter[str], int | None]:
        """After the last step: see `SnapshotOutcomes.table`. What the deltas did not reach is judged as well."""
        for due in self.planner.pieces(REST_OF_DAY):
            self.history.add(due)
        self.history.came_of(self.book.take_outcome())
        return self.history.table()

    def saved(self, place: ReplayPosition, shown: BoolArray) -> SavedReplay:
        """Where the replay stands, after the step that has this place, and what its rows have shown."""
        self.history.came_of(self.book.take_outcome())
        sizes = self.encoding.saved_sizes()
        return SavedReplay(place, self.book.saved(), self.history.saved(), sizes, shown.copy())


def _strategy(settings: Settings, assessment: Manifest) -> Strategy:
    """The one of the settings, or the one that is recommended."""
    wanted = settings.reconstruct
    recommended = assessment.metadata["recommendation"]["strategy"]
    return STRATEGIES[recommended if wanted.strategy == "auto" else wanted.strategy](wanted.extend_every)


def empty_book(settings: Settings, step_pips: int, cadence: str, doubt: FlagTimeline) -> Book:
    """A book whose plan has all doubts that are known beforehand, and no snapshot yet.

    Args:
        settings: `reconstruct` and `gaps`.
        step_pips: divides every price.
        cadence: see `Book`.
        doubt: of the day.
    """
    wanted, nothing = settings.reconstruct, Plan.nothing()
    return Book(
        step_pips,
        depth=wanted.depth,
        cadence=cadence,
        grid_ns=wanted.grid,
        plan=Plan(nothing.snapshots, nothing.forced, doubt.edge_sequence, doubt.edge_bits),
        crossed_after_ns=settings.gaps.crossed_after,
        warm_up_ns=wanted.warm_up,
        silence_ns=settings.gaps.silence,
        row_capacity=MemoryBudget.of(settings).table_rows,
    )


def _day_before(
    store: DataStore, settings: Settings, key: PartitionKey, deltas: Manifest, strategy: Strategy
) -> tuple[Manifest | None, str | None]:
    """The previous day's books, if this day goes on from where they end; else why it does not.

    A closing state in doubt, or a hole between the two days, is no seed.

    Raises:
        ReconstructionError: the two days have different decimals, or one of them has pips and the other decimals.
    """
    before = _previous(key)
    if not store.exists("reconstructed_books", before):
        return None, "the day before has no books"
    manifest = store.manifest("reconstructed_books", before)
    _check_same_numbers(manifest, deltas, before)
    closing = manifest.metadata["closing"]
    heads = list(islice(store.rows("raw_deltas", key).batches(1, ["origin_time", "prev_final_update_id"]), 1))
    if not heads or closing["sequence_number"] is None:
        return None, "one of the days has no message"
    head = heads[0].to_pylist()[0]
    pause = head["origin_time"] - closing["origin_time"]
    if {strategy.name, manifest.metadata["strategy"]} != {FullEventReplay.name}:
        return None, "a book of snapshots alone does not reach from one day to the next"
    if manifest.metadata["seed"] == "none":
        return None, "the day before was never seeded"
    if closing["doubt"] != "-":
        return None, f"the day before ends in doubt: {closing['doubt']}"
    if head["prev_final_update_id"] is not None:
        if head["prev_final_update_id"] != closing["sequence_number"]:
            return None, "messages are missing between the days: pu is not the last id of the day before"
    elif pause > settings.gaps.silence:
        return None, f"no message for {pause / NS_PER_SECOND:.3f} s between the days"
    if deltas.precision == "decimal128" and not _one_unit_fits(store, manifest, deltas, before):
        return None, "no unit is small enough for the prices of both days and large enough to count them"
    return manifest, None


def _one_unit_fits(store: DataStore, before: Manifest, deltas: Manifest, where: PartitionKey) -> bool:
    """Whether the closing state of a day of decimals and the deltas of the next have codes in one unit."""
    live = store.table("reconstructed_books", where, CLOSING_STATE_FILE).column("price")
    day = Decimal(deltas.metadata["audit"]["largest_price"]).scaleb(DECIMALS, EXACT)
    largest = max(int(day), *unscaled_integers(decimal_words(live)))
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


def _previous(key: PartitionKey) -> PartitionKey:
    return PartitionKey(key.instrument, key.day - timedelta(days=1))


def _restore(
    book: Book, store: DataStore, key: PartitionKey, before: Manifest, encoding: PartitionEncoding
) -> None:
    """Let a book start from the closing state of the day before."""
    closing = before.metadata["closing"]
    table = store.table("reconstructed_books", _previous(key), CLOSING_STATE_FILE)
    bids, asks = (
        _levels(table.filter(pc.equal(table.column("is_bid"), is_bid)), encoding) for is_bid in (True, False)
    )
    bid, ask = (
        None if bound is None else bound // encoding.unit
        for bound in (closing["known_bid_pips"], closing["known_ask_pips"])
    )
    book.restore(bids, asks, (bid, ask))


def _levels(table: pa.Table, encoding: PartitionEncoding) -> Levels:
    """Return one side of a closing state as levels of a book."""
    return Levels(
        encoding.read_prices(table, "price"),
        encoding.read_sizes(table, "size"),
        table.column("known").to_numpy(),
    )
