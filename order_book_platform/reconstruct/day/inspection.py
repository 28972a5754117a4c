"""The full book at an instant, and a second replay of a day that has to give the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import iso_from_ns
from order_book_platform.datasets.reconstructed_books.writer import ReplayHash, stored_rows
from order_book_platform.errors import NoBookError
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.arrays import BoolArray
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.observability import Progress, silent
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.replay.book import Levels
from order_book_platform.replay.replay_steps import Instant
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore

STORED_ROWS = 65_536
"""Stored rows that are read at a time: 45 MB at depth 20."""


@dataclass(frozen=True, slots=True)
class BookSide:
    """One side of a book, best level first, in pips of the partition's decimals.

    Attributes:
        price_pips, size_pips: int64[n]; for a day of decimals object[n], integers of any length.
        known: bool[n]: whether the level lies in the price range that the book knows.
    """

    price_pips: NDArray[Any]
    size_pips: NDArray[Any]
    known: BoolArray


@dataclass(frozen=True, slots=True)
class BookState:
    """The full book after a message.

    Attributes:
        sequence_number: Sequence number of the last message applied.
        origin_time: Its origin time, ns.
        received_time: Its time of arrival, ns.
        flags: `BookFlag` bits of its row.
        bids: All live bid levels.
        asks: All live ask levels.
        fixed_point: Decimals of their pips.
    """

    sequence_number: int
    origin_time: int
    received_time: int
    flags: int
    bids: BookSide
    asks: BookSide
    fixed_point: FixedPoint


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of a published partition with a second replay.

    Attributes:
        published: `replay_hash` in the manifest.
        replayed: `replay_hash` of the second replay.
        stored: `replay_hash` of the rows as they stand in the parts.
        rows: Number of rows replayed.
        changed_inputs: Datasets that have been published anew since; the partition is out of date.
    """

    published: str
    replayed: str
    stored: str
    rows: int
    changed_inputs: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether all three hashes are equal and the inputs are those that the partition was made from."""
        return self.published == self.replayed == self.stored and not self.changed_inputs


def book_at(
    store: DataStore,
    settings: Settings,
    key: PartitionKey,
    *,
    at_ns: int | None = None,
    sequence_number: int | None = None,
) -> BookState:
    """Replay a day up to an instant, given by one of `at_ns` and `sequence_number`.

    Args:
        store: Has the inputs of `reconstructed_books`.
        settings: The settings that the books were made with.
        key: Symbol and day.
        at_ns: Return the book after the last message with this origin time or an earlier one, ns.
        sequence_number: Return the book after the last message with this sequence number or a smaller one.

    Raises:
        NoBookError: The day's first message comes later.
        PartitionMissingError: An input has not been published.
    """
    replay, last = DayReplay.prepare(store, settings, key, cadence="message"), None
    until = Instant(at_ns, sequence_number)
    for rows in replay.rows(store, silent, settings.sources.batch_rows, until):
        last = rows[-1, :4].copy()
    if last is None:
        raise _no_book_yet(store, settings, key, at_ns, sequence_number)
    book = replay.book
    return BookState(
        int(last[2]),
        int(last[0]),
        int(last[1]),
        int(last[3]),
        _in_pips(book.levels(0), replay.encoding),
        _in_pips(book.levels(1), replay.encoding),
        replay.fixed_point,
    )


def _no_book_yet(
    store: DataStore, settings: Settings, key: PartitionKey, at_ns: int | None, sequence_number: int | None
) -> NoBookError:
    """Return an error that names the day's first book, by time or by sequence number as the caller asked."""
    replay = DayReplay.prepare(store, settings, key, cadence="message")
    pieces = replay.rows(store, silent, settings.sources.batch_rows)
    first = next((rows[0] for rows in pieces if len(rows)), None)
    if first is None:
        expected = "a day with a book"
    elif at_ns is not None:
        expected = f"an instant from {iso_from_ns(int(first[0]))} on"
    else:
        expected = f"a sequence number from {int(first[2])} on"
    return NoBookError(
        expected=expected,
        found=f"{sequence_number}" if at_ns is None else iso_from_ns(at_ns),
        where=str(key),
        remedy="Choose a later time or sequence number, or the day before.",
    )


def _in_pips(levels: Levels, encoding: PartitionEncoding) -> BookSide:
    """Return levels of a replay in pips of the partition's decimals."""
    prices = encoding.unscaled_prices(levels.encoded_price)
    return BookSide(prices, encoding.unscaled_sizes(levels.encoded_size), levels.known)


def verify(
    store: DataStore,
    settings: Settings,
    key: PartitionKey,
    *,
    batch_rows: int | None = None,
    progress: Progress = silent,
) -> Verification:
    """Replay a published day again, with another batch size if wished, and hash the stored rows.

    Raises:
        PartitionMissingError: The partition, or an input, has not been published.
        PartitionCorruptError: A published file differs from its manifest.
    """
    manifest = store.check("reconstructed_books", key)
    replay, replayed, rows = DayReplay.prepare(store, settings, key), ReplayHash(), 0
    for piece in replay.rows(store, progress, batch_rows or settings.sources.batch_rows):
        replayed.update(replay.encoding.hashed_rows(piece, ROW_HEAD))
        rows += len(piece)
    stored = ReplayHash()
    for batch in store.rows("reconstructed_books", key).batches(STORED_ROWS):
        stored.update(stored_rows(pa.Table.from_batches([batch])))
    return Verification(
        manifest.metadata["replay_hash"],
        replayed.hexdigest(),
        stored.hexdigest(),
        rows,
        tuple(sorted(name for name in manifest.inputs if manifest.inputs[name] != replay.inputs.get(name))),
    )
