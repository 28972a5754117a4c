"""The books of the day before, from whose closing state a day may go on instead of being seeded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from math import gcd

import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.schema import CLOSING_STATE_FILE
from order_book_platform.errors import ReconstructionError
from order_book_platform.model import PartitionKey
from order_book_platform.model.decimal128 import DECIMALS, decimal_words, unscaled_integers
from order_book_platform.model.encoding import PartitionEncoding, unit_fits
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.replay.book import Book, Levels
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.storage import DataStore, Manifest


@dataclass(frozen=True, slots=True)
class PreviousDay:
    """The published books of a day, whose closing state the next day goes on from.

    Attributes:
        manifest: Manifest of the books.
        closing_levels: Levels with schema `CLOSING_STATE_SCHEMA`.
    """

    manifest: Manifest
    closing_levels: pa.Table

    @property
    def price_step(self) -> int:
        """Step of the book's prices, in pips of the partition's decimals."""
        return int(self.manifest.metadata["closing"]["step_pips"])

    @property
    def last_sequence_number(self) -> int:
        """Sequence number of the last message of the day."""
        return int(self.manifest.metadata["closing"]["sequence_number"])

    def restore(self, book: Book, encoding: PartitionEncoding) -> None:
        """Let an empty book start from the closing state."""
        table, closing = self.closing_levels, self.manifest.metadata["closing"]
        bids, asks = (
            _levels(table.filter(pc.equal(table.column("is_bid"), is_bid)), encoding)
            for is_bid in (True, False)
        )
        bid, ask = (
            None if bound is None else bound // encoding.unit
            for bound in (closing["known_bid_pips"], closing["known_ask_pips"])
        )
        book.restore(bids, asks, (bid, ask))


def _levels(table: pa.Table, encoding: PartitionEncoding) -> Levels:
    return Levels(
        encoding.read_prices(table, "price"),
        encoding.read_sizes(table, "size"),
        table.column("known").to_numpy(),
    )


def find_previous_day(
    store: DataStore, key: PartitionKey, deltas: Manifest, strategy_name: str, silence_ns: int
) -> tuple[PreviousDay | None, str | None]:
    """Return the books of the day before if a day can go on from their closing state; else the reason why it cannot.

    A closing state whose rows carry gap flags, or a gap between the two days, is no seed.

    Args:
        store: Has both days.
        key: Symbol, and the day that goes on.
        deltas: Manifest of its `raw_deltas`.
        strategy_name: Strategy of its replay.
        silence_ns: A longer pause between the days is a gap where no ids prove the contrary.

    Raises:
        ReconstructionError: The two days have different decimals, or one of them has pips and the other decimals.
    """
    before = PartitionKey(key.instrument, key.day - timedelta(days=1))
    if not store.exists("reconstructed_books", before):
        return None, "the day before has no books"
    manifest = store.manifest("reconstructed_books", before)
    _check_same_numbers(manifest, deltas, before)
    reason = _no_continuation(manifest, _first_message(store, key), strategy_name, silence_ns)
    if reason is not None:
        return None, reason
    levels = store.table("reconstructed_books", before, CLOSING_STATE_FILE)
    if deltas.precision == "decimal128" and not _one_unit_fits(manifest, levels, deltas):
        return None, "no unit is small enough for the prices of both days and large enough to count them"
    return PreviousDay(manifest, levels), None


def _first_message(store: DataStore, key: PartitionKey) -> dict[str, int | None] | None:
    """Return the origin time and `pu` of the first message of a day, if there is one."""
    batches = store.rows("raw_deltas", key).batches(1, ["origin_time", "prev_final_update_id"])
    return next((batch.to_pylist()[0] for batch in islice(batches, 1)), None)


def _no_continuation(
    before: Manifest, first: dict[str, int | None] | None, strategy_name: str, silence_ns: int
) -> str | None:
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
        if first["prev_final_update_id"] != closing["sequence_number"]:
            return "messages are missing between the days: pu is not the last id of the day before"
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
