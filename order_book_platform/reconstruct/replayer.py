"""Setting up a replay of one published day; shared by writing, verifying and looking inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import gcd

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import ReconstructionError
from order_book_platform.kernels.book import Book, Levels
from order_book_platform.model import FixedPoint, PartitionKey, SnapshotBatch
from order_book_platform.observability import Progress, silent
from order_book_platform.reconstruct.strategy import (
    FullEventReplay,
    Instant,
    ReplayPlan,
    SnapshotReplay,
    Strategy,
)
from order_book_platform.settings import Settings
from order_book_platform.sources import delta_batches
from order_book_platform.storage import DataStore, Manifest

STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    strategy.name: strategy for strategy in (FullEventReplay, SnapshotReplay)
}
"""By name; each takes `reconstruct.extend_every`."""


@dataclass(frozen=True, slots=True)
class Replayer:
    """A book ready to be fed with one day.

    Attributes:
        book: empty, or restored from the previous day.
        plan: the strategy's decisions.
        strategy: that decided, and drives the book.
        fixed_point: of the deltas.
        inputs: dataset to fingerprint.
        continued_from: last sequence number of the previous day's closing state, if the book was restored from it.
        not_continued: why it was not, although it was wished.
    """

    book: Book
    plan: ReplayPlan
    strategy: Strategy
    fixed_point: FixedPoint
    inputs: dict[str, str]
    continued_from: int | None
    not_continued: str | None

    @classmethod
    def of(
        cls, store: DataStore, settings: Settings, key: PartitionKey, *, cadence: str | None = None
    ) -> Replayer:
        """Read the inputs other than the deltas and decide.

        Raises:
            PartitionMissingError: an input has not been published.
        """
        wanted = settings.reconstruct
        names = ("raw_deltas", "snapshots", "sequence_gap_report", "data_assessment")
        inputs = {name: store.manifest(name, key) for name in names}
        recommended = inputs["data_assessment"].metadata["recommendation"]["strategy"]
        strategy: Strategy = STRATEGIES[recommended if wanted.strategy == "auto" else wanted.strategy](
            wanted.extend_every
        )
        point = inputs["raw_deltas"].fixed_point
        snapshots = SnapshotBatch.from_arrow(store.table("snapshots", key))
        plan = strategy.plan(snapshots, store.table("sequence_gap_report", key), point.tick_pips)
        before, why_not = (None, None)
        if wanted.continue_previous_day:
            before, why_not = _day_before(store, settings, key, point, strategy)
        book = Book(
            gcd(point.tick_pips, before.metadata["closing"]["step_pips"] if before else 0),
            depth=wanted.depth,
            cadence=cadence or wanted.cadence,
            grid_ns=wanted.grid,
            plan=plan.plan,
            crossed_after_ns=settings.gaps.crossed_after,
            warm_up_ns=wanted.warm_up,
            silence_ns=settings.gaps.silence,
        )
        fingerprints = {name: manifest.fingerprint for name, manifest in inputs.items()}
        if before:
            _restore(book, store, key, before)
            fingerprints["previous reconstructed_books"] = before.fingerprint
        continued_from = before.metadata["closing"]["sequence_number"] if before else None
        return cls(book, plan, strategy, point, fingerprints, continued_from, why_not)

    def rows(
        self,
        store: DataStore,
        settings: Settings,
        key: PartitionKey,
        progress: Progress,
        batch_rows: int | None = None,
        until: Instant | None = None,
    ) -> Iterator[NDArray[np.int64]]:
        """Replay the day, or up to an instant, and hand out the rows, each piece valid until the next.

        Yields:
            int64[n, 6 + 4·depth].
        """
        rows = batch_rows or settings.sources.batch_rows
        yield from self.strategy.rows(self.book, delta_batches(store, key, rows, "replay", progress), until)
        last = self.book.finish()
        if len(last):
            yield last


def _day_before(
    store: DataStore, settings: Settings, key: PartitionKey, point: FixedPoint, strategy: Strategy
) -> tuple[Manifest | None, str | None]:
    """The previous day's books, if this day goes on from where they end; else why it does not.

    A closing state in doubt, or a hole between the two days, is no seed.

    Raises:
        ReconstructionError: the two days have different decimals.
    """
    before = _previous(key)
    if not store.exists("reconstructed_books", before):
        return None, "the day before has no books"
    manifest = store.manifest("reconstructed_books", before)
    decimals = (manifest.fixed_point.price_decimals, manifest.fixed_point.size_decimals)
    if decimals != (point.price_decimals, point.size_decimals):
        raise ReconstructionError(
            expected=f"closing state with {point.price_decimals} and {point.size_decimals} decimals",
            found=f"{decimals[0]} and {decimals[1]}",
            where=f"reconstructed_books of {before}",
            remedy="Set price_decimals and size_decimals of the instrument so that both days agree.",
        )
    closing = manifest.metadata["closing"]
    first = next(delta_batches(store, key, 1, "first message", silent))
    pause = int(first.origin_time[0]) - closing["origin_time"]
    if {strategy.name, manifest.metadata["strategy"]} != {FullEventReplay.name}:
        return None, "a book of snapshots alone does not reach from one day to the next"
    if manifest.metadata["seed"] == "none":
        return None, "the day before was never seeded"
    if closing["doubt"] != "-":
        return None, f"the day before ends in doubt: {closing['doubt']}"
    if first.prev_final_update_id is not None:
        if first.prev_final_update_id[0] != closing["sequence_number"]:
            return None, "messages are missing between the days: pu is not the last id of the day before"
    elif pause > settings.gaps.silence:
        return None, f"no message for {pause / NS_PER_SECOND:.3f} s between the days"
    return manifest, None


def _previous(key: PartitionKey) -> PartitionKey:
    return PartitionKey(key.instrument, key.day - timedelta(days=1))


def _restore(book: Book, store: DataStore, key: PartitionKey, before: Manifest) -> None:
    closing = before.metadata["closing"]
    table = store.table("reconstructed_books", _previous(key), "closing_state.parquet")
    bids, asks = (_levels(table.filter(pc.equal(table.column("is_bid"), is_bid))) for is_bid in (True, False))
    book.restore(bids, asks, (closing["known_bid_pips"], closing["known_ask_pips"]))


def _levels(table: pa.Table) -> Levels:
    price, size, known = (table.column(name).to_numpy() for name in ("price_pips", "size_pips", "known"))
    return Levels(price, size, known)
