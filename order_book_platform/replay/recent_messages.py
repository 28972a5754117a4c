"""The level changes of the last seconds, by which a snapshot that arrives late is brought up to date.

Quantities are absolute: a level that no message behind a snapshot names is as the snapshot shows it, and a level that
one names is as the last such message says. So a snapshot and the messages behind it are together, exactly, the book
after the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array
from order_book_platform.replay.flag_timeline import BEFORE_ALL

REMEMBERED_NS = 10 * NS_PER_SECOND
"""Messages are remembered for so long after their arrival, ns."""
REMEMBERED_ROWS = 524_288
"""Level changes that are remembered at most: 21 MB."""

NUMBER, FOLLOWS, CLOCK_NS, KEY, SIZE = range(5)
"""Rows of the array of level changes: sequence number of the message; the sequence number that it follows, which is
`pu`, or `U` - 1; the latest arrival of a delta so far, ns; price, of a bid its negative; size."""

FORGOTTEN = (
    "arrived after a later message had been applied, and the messages behind it are not remembered: they began more "
    "than 10 s before it, have more than 524,288 rows, or carry no ids"
)
BROKEN = "arrived after a later message had been applied, and a message behind it is missing"
"""Why a snapshot cannot be brought up to date."""


@dataclass(frozen=True, slots=True)
class RecentMessages:
    """The last messages that were applied. It never changes; successive states share their arrays.

    Attributes:
        number: Sequence number of the last message; `BEFORE_ALL` before the first.
        forgotten: Sequence number of the last message that is not remembered, or not as a whole.
        pieces: int64[5, n] each, see `NUMBER`: level changes in the order of the log. Without ids there are none.
    """

    number: int = BEFORE_ALL
    forgotten: int = BEFORE_ALL
    pieces: tuple[Int64Array, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the level changes."""
        return sum(piece.nbytes for piece in self.pieces)

    @property
    def changes(self) -> Int64Array:
        """int64[5, n]: all level changes, in one array."""
        return np.concatenate([np.empty((5, 0), np.int64), *self.pieces], axis=1)

    def remember(self, deltas: DeltaBatch, clock_ns: Int64Array) -> RecentMessages:
        """Return the memory behind the next messages.

        A piece is joined with the new one if it is no longer than that, so that a level change is copied as many times
        as there may be pieces: the logarithm of how many level changes there are.

        Args:
            deltas: Whole messages, at least one.
            clock_ns: int64[n]: latest arrival of a delta so far at each row, ns.
        """
        last = int(deltas.sequence_number[-1])
        follows = followed_numbers(deltas)
        if follows is None:
            return RecentMessages(last, last)
        oldest_ns = int(clock_ns[-1]) - REMEMBERED_NS
        start = max(len(deltas) - REMEMBERED_ROWS, int(np.searchsorted(clock_ns, oldest_ns, "left")), 0)
        new = _level_changes(deltas, follows, clock_ns, slice(start, None))
        if start:
            return RecentMessages(last, int(deltas.sequence_number[start - 1]), (new,))
        pieces, forgotten = list(self.pieces), self.forgotten
        surplus = sum(piece.shape[1] for piece in pieces) + new.shape[1] - REMEMBERED_ROWS
        while pieces:
            first = pieces[0]
            count = max(
                int(np.searchsorted(first[CLOCK_NS], oldest_ns, "left")), min(surplus, first.shape[1])
            )
            if count <= 0:
                break
            forgotten = int(first[NUMBER, count - 1])
            if count < first.shape[1]:
                pieces[0] = first[:, count:]
                break
            surplus -= count
            del pieces[0]
        while pieces and pieces[-1].shape[1] <= new.shape[1]:
            new = np.concatenate([pieces.pop(), new], axis=1)
        return RecentMessages(last, forgotten, (*pieces, new))

    def behind(self, number: int) -> Int64Array:
        """Return int64[5, n]: the level changes of all remembered messages behind a sequence number."""
        changes = self.changes
        return changes[:, int(np.searchsorted(changes[NUMBER], number, "right")) :]

    def missing(self, number: int, arrival_ns: int) -> str:
        """Return why a snapshot cannot be brought up to date by the messages behind it; empty if it can.

        Args:
            number: Sequence number of the snapshot, below that of the last message.
            arrival_ns: When the snapshot counts as arrived, ns.
        """
        if number < self.forgotten:
            return FORGOTTEN
        changes = self.behind(number)
        if not changes.shape[1] or changes[CLOCK_NS, 0] < arrival_ns - REMEMBERED_NS:
            return FORGOTTEN
        starts = np.flatnonzero(np.diff(changes[NUMBER], prepend=number))
        before = np.append(number, changes[NUMBER, starts[:-1]])
        return BROKEN if (changes[FOLLOWS, starts] > before).any() else ""


def followed_numbers(deltas: DeltaBatch) -> Int64Array | None:
    """Return int64[n], the sequence number up to which a book has to have come for each message; None without ids."""
    if deltas.prev_final_update_id is not None:
        return deltas.prev_final_update_id
    return None if deltas.first_update_id is None else deltas.first_update_id - 1


def _level_changes(deltas: DeltaBatch, follows: Int64Array, clock_ns: Int64Array, rows: slice) -> Int64Array:
    price = deltas.encoded_price[rows]
    return np.stack(
        [
            deltas.sequence_number[rows],
            follows[rows],
            clock_ns[rows],
            np.where(deltas.is_bid[rows], -price, price),
            deltas.encoded_size[rows],
        ]
    )


def bring_up_to_date(snapshots: SnapshotBatch, deltas: DeltaBatch, recent: RecentMessages) -> SnapshotBatch:
    """Bring snapshots up to date that are behind the book, or whose sequence number lies inside a message.

    Args:
        snapshots: Sound snapshots that are due by the last of the messages, ascending by sequence number.
        deltas: The next messages.
        recent: The messages before them. Snapshots that are behind the last of those can be brought up to date.

    Returns:
        Snapshots to merge into the book, each after the message of its number: the same ones where nothing had to be
        done. Where a side's last level has been removed, it ends with a level of size 0, which tells how far the side
        is known.
    """
    merged: list[SnapshotBatch] = []
    done = 0
    for i, number, changes in _behind(snapshots.sequence_number, deltas, recent):
        merged += [snapshots.take(slice(done, i)), _updated(snapshots, i, number, changes)]
        done = i + 1
    return SnapshotBatch.concat([*merged, snapshots.take(slice(done, None))]) if merged else snapshots


def _behind(
    numbers: Int64Array, deltas: DeltaBatch, recent: RecentMessages
) -> Iterator[tuple[int, int, Int64Array]]:
    """Return the places of snapshots to bring up to date, each with the number to bring it to and the level changes."""
    follows = followed_numbers(deltas)
    if follows is None or not len(numbers):
        return
    sequence = deltas.sequence_number
    ends, starts = (np.searchsorted(sequence, numbers, side) for side in ("right", "left"))
    for i, number in enumerate(numbers.tolist()):
        at = int(ends[i])
        if number < recent.number:
            yield i, recent.number, recent.behind(number)
        elif number != recent.number and starts[i] == at < len(sequence) and follows[at] < number:
            rows = slice(at, int(np.searchsorted(sequence, sequence[at], "right")))
            yield i, int(sequence[at]), _level_changes(deltas, follows, deltas.received_time, rows)


def _updated(snapshots: SnapshotBatch, at: int, number: int, changes: Int64Array) -> SnapshotBatch:
    """Return one snapshot as it would be at a later message, given the level changes int64[5, n] until then."""
    key, place = np.unique(changes[KEY, ::-1], return_index=True)
    size = changes[SIZE, ::-1][place]  # of the last change of each level
    sides = []
    for s, sign in enumerate((-1, 1)):
        shown = snapshots.encoded_price[at, s] != MISSING_PIPS
        keys, sizes = snapshots.encoded_price[at, s, shown] * sign, snapshots.encoded_size[at, s, shown]
        last = keys[-1]
        named = (key < 0) == (s == 0)
        untouched, within = ~np.isin(keys, key[named]), named & (key <= last)
        keys = np.concatenate([keys[untouched], key[within]])
        sizes = np.concatenate([sizes[untouched], size[within]])
        order = np.argsort(keys)
        kept = order[(sizes[order] > 0) | (keys[order] == last)]
        sides.append((keys[kept] * sign, sizes[kept]))
    depth = max(len(prices) for prices, _ in sides)
    price, level_size = np.full((1, 2, depth), MISSING_PIPS), np.zeros((1, 2, depth), np.int64)
    for s, (prices, sizes) in enumerate(sides):
        price[0, s, : len(prices)], level_size[0, s, : len(prices)] = prices, sizes
    one = slice(at, at + 1)
    return SnapshotBatch(
        snapshots.origin_time[one],
        snapshots.received_time[one],
        np.array([number]),
        price,
        level_size,
    )
