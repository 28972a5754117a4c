"""Setting up a replay of one published day; shared by writing, verifying and looking inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.errors import ReconstructionError
from order_book_platform.kernels.book import Book, Levels
from order_book_platform.model import FixedPoint, PartitionKey, SnapshotBatch
from order_book_platform.observability import Progress
from order_book_platform.reconstruct.strategy import FullEventReplay, ReplayPlan, Strategy
from order_book_platform.settings import Settings
from order_book_platform.sources import delta_batches
from order_book_platform.storage import DataStore

STRATEGIES = {"full_event": FullEventReplay}


@dataclass(frozen=True, slots=True)
class Replayer:
    """A book ready to be fed with one day.

    Attributes:
        book: empty, or restored from the previous day.
        plan: the strategy's decisions.
        strategy: its name.
        fixed_point: of the deltas.
        inputs: dataset to fingerprint.
        continued_from: last sequence number of the previous day's closing state, if the book was restored from it.
    """

    book: Book
    plan: ReplayPlan
    strategy: str
    fixed_point: FixedPoint
    inputs: dict[str, str]
    continued_from: int | None

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
        book = Book(
            point.tick_pips,
            depth=wanted.depth,
            cadence=cadence or wanted.cadence,
            grid_ns=wanted.grid,
            plan=plan.plan,
        )
        fingerprints = {name: manifest.fingerprint for name, manifest in inputs.items()}
        continued_from = None
        if wanted.continue_previous_day:
            continued_from = _continue(book, store, key, point, fingerprints)
        return cls(book, plan, strategy.name, point, fingerprints, continued_from)

    def rows(
        self,
        store: DataStore,
        settings: Settings,
        key: PartitionKey,
        progress: Progress,
        batch_rows: int | None = None,
    ) -> Iterator[NDArray[np.int64]]:
        """Feed the day and hand out the rows, int64[n, 6 + 4·depth], each piece valid until the next."""
        for batch in delta_batches(store, key, batch_rows or settings.sources.batch_rows, "replay", progress):
            yield from self.book.feed(batch)
        last = self.book.finish()
        if len(last):
            yield last


def _continue(
    book: Book, store: DataStore, key: PartitionKey, point: FixedPoint, fingerprints: dict[str, str]
) -> int | None:
    """Restore the previous day's closing state, if there is one with the same decimals."""
    before = PartitionKey(key.instrument, key.day - timedelta(days=1))
    if not store.exists("reconstructed_books", before):
        return None
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
    table = store.table("reconstructed_books", before, "closing_state.parquet")
    bids, asks = (_levels(table.filter(pc.equal(table.column("is_bid"), is_bid))) for is_bid in (True, False))
    book.restore(bids, asks, (closing["known_bid_pips"], closing["known_ask_pips"]))
    fingerprints["previous reconstructed_books"] = manifest.fingerprint
    return int(closing["sequence_number"])


def _levels(table: pa.Table) -> Levels:
    price, size, known = (table.column(name).to_numpy() for name in ("price_pips", "size_pips", "known"))
    return Levels(price, size, known)
