"""The book: deltas and snapshots in, rows of its visible levels out, all live levels at any time.

`Book` owns a ladder's arrays and what the replay loop remembers between batches, and calls the loop. It is the one
place that turns a status of the loop into memory to grow or an error to raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.kernels.book import replay_arrays, replay_loop, visible_rows
from order_book_platform.kernels.book.bits import divisor_inverse
from order_book_platform.kernels.book.ladder_arrays import (
    BLOCK_LEVELS,
    LARGEST_TICK,
    NOTHING_KNOWN,
    WINDOW_SLOTS,
    Ladder,
)
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD, Memory
from order_book_platform.kernels.book.replay_loop import find_bad_level, find_messages
from order_book_platform.kernels.book.snapshot_merge import merge_snapshot
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.ladder_levels import (
    live_levels,
    load,
    require,
    save,
    snapshot_ticks,
    with_room,
)
from order_book_platform.replay.scheduled_inputs import ScheduledInputs

CADENCES = {
    "change": replay_arrays.CADENCE_CHANGE,
    "message": replay_arrays.CADENCE_MESSAGE,
    "grid": replay_arrays.CADENCE_GRID,
}
"""Cadence, which says when the book gives a row, to its number in the loop."""
SNAPSHOT_USES = {
    replay_arrays.USE_SEEDED: "seeded",
    replay_arrays.USE_EXTENDED: "extended",
    replay_arrays.USE_REPAIRED: "repaired",
}
"""Number of the loop, to what the book did with a snapshot."""
NEVER_NS = 2**62
"""A time that no input spans, for thresholds that are never to be reached."""
_SPARE_BLOCKS = 256
"""Overflow blocks of a new book, besides those that the levels of a window left behind would take."""


@dataclass(frozen=True, slots=True)
class Levels:
    """One side of a book, best level first: encoded prices and sizes int64[n], and bool[n] which the book knows."""

    encoded_price: Int64Array
    encoded_size: Int64Array
    known: BoolArray


class Book:
    """A replayed book. Prices and sizes are encoded: int64 pips, or what another encoding makes of them.

    Memory: 16 bytes a slot and side, 48 more kept free for a window that is left behind, at most 400 bytes a live level
    outside the window, 8·(6 + 4·depth) bytes a row of capacity and 8 bytes a row of the largest batch. It does not grow
    with the length of the input.

    Args:
        price_step: Divides every price: the tick, or a divisor of it.
        depth: Visible levels a side.
        cadence: `change`: a row after each message that changed the visible levels or flags; `message`: after each;
            `grid`: one for each multiple of `grid_ns`, of the book before it.
        grid_ns: Step of cadence `grid`, ns.
        crossed_after_ns: A book that is crossed for longer loses the levels that were named longest ago, and the next
            scheduled snapshot repairs it.
        warm_up_ns: After so long without a snapshot the book counts as seeded. It shows levels that deltas named, and
            none of them is known.
        silence_ns: A grid row that is later than the last message by more carries `BookFlag.GAP`.
        window_slots: Prices a side that the dense part of the ladder holds, a power of two ≥ 4096.
        row_capacity: Rows handed out at a time.

    Raises:
        BatchError: An argument is out of its range.
    """

    def __init__(
        self,
        price_step: int,
        *,
        depth: int = DEPTH,
        cadence: str = "change",
        grid_ns: int = 0,
        crossed_after_ns: int = NEVER_NS,
        warm_up_ns: int = NEVER_NS,
        silence_ns: int = NEVER_NS,
        window_slots: int = WINDOW_SLOTS,
        row_capacity: int = 16_384,
    ) -> None:
        is_power = window_slots >= 4096 and window_slots & (window_slots - 1) == 0
        for holds, expected, found, name in (
            (1 <= price_step <= LARGEST_TICK, "a step of at least 1", price_step, "price_step"),
            (depth >= 1, "at least 1 visible level", depth, "depth"),
            (cadence in CADENCES, "one of " + ", ".join(CADENCES), cadence, "cadence"),
            (cadence != "grid" or grid_ns >= 1, "a grid of at least 1 ns", grid_ns, "grid_ns"),
            (row_capacity >= 1, "room for at least 1 row", row_capacity, "row_capacity"),
            (is_power, "a power of two of at least 4096", window_slots, "window_slots"),
        ):
            require(holds, expected, str(found), f"Book({name})")
        self.price_step = price_step
        self.depth = depth
        # The loop divides each price by the step: a multiplication by its inverse takes a tenth of the time.
        self._inverse, self._twos = divisor_inverse(price_step)
        self._ladder = Ladder.empty(window_slots, 2 * window_slots // BLOCK_LEVELS + _SPARE_BLOCKS)
        params = [price_step, CADENCES[cadence], grid_ns, crossed_after_ns, warm_up_ns, silence_ns]
        self._memory = Memory.before_first_message(params, depth)
        self._rows = np.empty((row_capacity, ROW_HEAD + 4 * depth), np.int64)
        self._message_starts = np.empty(1, np.int64)
        self._is_feeding = False
        self._scheduled = ScheduledInputs(price_step, self._memory.state)

    def feed(self, batch: DeltaBatch) -> Iterator[Int64Array]:
        """Apply a batch and hand out the rows that it gives.

        Args:
            batch: Whole messages in replay order.

        Returns:
            Iterator of int64[n, 6 + 4·depth] views, each valid until the next one is asked for;
            `kernels.book.replay_arrays` names the columns. The batch is applied as the iterator is taken.

        Raises:
            BatchError: At once and before anything has changed: sequence numbers go back, a message has begun in an
                earlier batch, a price is not a positive multiple of the step or not below 2^61, a size is negative, or
                the rows of the batch before have not been taken to their end.
        """
        require(
            not self._is_feeding,
            "the rows of the batch before to be taken to their end",
            "some left",
            "Book.feed",
        )
        columns = tuple(
            np.ascontiguousarray(getattr(batch, name))
            for name in (
                "origin_time",
                "received_time",
                "sequence_number",
                "is_bid",
                "encoded_price",
                "encoded_size",
            )
        )
        messages = self._checked_messages(columns[2], columns[4], columns[5])
        self._is_feeding = messages > 0
        return self._apply(columns, messages)

    def _apply(self, columns: tuple[NDArray[Any], ...], messages: int) -> Iterator[Int64Array]:
        message, n_rows = 0, 0
        while self._is_feeding:
            status, message, n_rows = replay_loop.replay(
                self._ladder,
                self._memory,
                self._scheduled.arrays,
                self._rows,
                n_rows,
                self._inverse,
                self._twos,
                self._message_starts,
                *columns,
                message,
                messages,
            )
            if status == replay_arrays.LEVELS_FULL:
                # The loop has stopped before a message or snapshot that might not fit; any of them has to.
                longest = int(np.diff(self._message_starts[: messages + 1]).max())
                levels = longest + self._scheduled.arrays.ticks.shape[2]
                self._ladder = with_room(self._ladder, levels)
                continue
            self._is_feeding = status != replay_arrays.DONE
            if n_rows:
                yield self._rows[:n_rows]
                n_rows = 0

    def _checked_messages(
        self, sequence: Int64Array, encoded_price: Int64Array, encoded_size: Int64Array
    ) -> int:
        """Check a batch, find where its messages start, and return their number."""
        n = len(sequence)
        if n == 0:
            return 0
        if len(self._message_starts) < n + 1:
            self._message_starts = np.empty(n + 1, np.int64)
        messages = int(find_messages(sequence, self._message_starts))
        if messages < 0 or sequence[0] <= self.last_sequence_number:
            row = -1 - messages if messages < 0 else 0
            raise BatchError(
                expected="whole messages, their sequence numbers ascending",
                found=f"{sequence[row]} after {sequence[row - 1] if row else self.last_sequence_number}",
                where=f"row {row} of a batch of {n}",
                remedy="Sort the deltas by sequence number and cut them between messages: raw_deltas is sorted, "
                "and whole_messages cuts.",
            )
        largest_tick = LARGEST_TICK // self.price_step
        bad = int(find_bad_level(encoded_price, encoded_size, self._inverse, self._twos, largest_tick))
        if bad >= 0:
            raise BatchError(
                expected=f"positive prices below 2^61 in multiples of {self.price_step}, and sizes of at least 0",
                found=f"encoded price {encoded_price[bad]}, encoded size {encoded_size[bad]}",
                where=f"row {bad}, sequence number {sequence[bad]}",
                remedy="Build raw_deltas again; its tick comes from all prices of the day.",
            )
        return messages

    def add_snapshots(self, snapshots: SnapshotBatch, forced: BoolArray) -> None:
        """Schedule snapshots: each is applied right after the last message with its sequence number or a smaller one.

        The first one seeds the book, later ones extend or repair it. They have to be added before the messages that
        they are due at; not all of a day's need be in memory at once.

        Args:
            snapshots: Ascending by sequence number, none before those that were added earlier.
            forced: bool[m]: which of them repair the book whether or not it agrees with them.

        Raises:
            BatchError: The arrays do not fit together, a price is not a positive multiple of the step, or a snapshot
                is due before one that was added earlier; nothing has changed.
        """
        self._scheduled.add_snapshots(snapshots, forced)

    def add_flag_changes(self, changes: FlagChanges) -> None:
        """Schedule flags of rows, between two batches; changes that are passed are let go of.

        Raises:
            BatchError: The arrays do not fit together, or a change lies before one that is still to come; nothing has
                changed.
        """
        self._scheduled.add_flag_changes(changes)

    @property
    def outcomes(self) -> Int64Array:
        """int64[m, 4], of each snapshot applied: use (`SNAPSHOT_USES`), levels compared, of them wrong, levels changed.

        Outcomes that `take_outcomes` has returned are not among them.
        """
        return self._scheduled.outcomes

    def take_outcomes(self) -> Int64Array:
        """Return `outcomes` and forget them, between two batches: what is not taken takes memory."""
        return self._scheduled.take_outcomes()

    def show_snapshots(self) -> Iterator[Int64Array]:
        """Show the scheduled snapshots without any delta, each the whole book until the next; rows are as of `feed`."""
        n_rows = 0
        while True:
            arrays = self._scheduled.arrays
            status, n_rows = replay_loop.replay_snapshots(
                self._ladder, self._memory, arrays, self._rows, n_rows, len(arrays.sequence)
            )
            if status == replay_arrays.LEVELS_FULL:
                self._ladder = with_room(self._ladder, arrays.ticks.shape[2])
                continue
            if n_rows:
                yield self._rows[:n_rows]
                n_rows = 0
            if status == replay_arrays.DONE:
                return

    def finish(self) -> Int64Array:
        """Return rows still due at the end of the input: none, or on a grid the one at the last message's own time."""
        state = self._memory.state
        due = int(state[replay_arrays.STATE_NEXT_GRID])
        if due == replay_arrays.NO_TIME or due > state[replay_arrays.STATE_LAST_ORIGIN]:
            return self._rows[:0]
        visible_rows.write_row(self._ladder, self._memory, self._rows, 0, False, True)
        self._rows[0, 0] = due
        state[replay_arrays.STATE_NEXT_GRID] += self._memory.params[replay_arrays.PARAM_GRID_NS]
        return self._rows[:1]

    def restore(self, bids: Levels, asks: Levels, bounds: tuple[int | None, int | None]) -> None:
        """Start from a full book instead of an empty one, before the first batch.

        `bounds` are the worst encoded prices up to which the bids and asks were known; None where nothing was.

        Raises:
            BatchError: A price is not a positive multiple of the step.
        """
        levels = max(len(bids.encoded_price), len(asks.encoded_price), 1)
        prices = np.full((1, 2, levels), MISSING_PIPS, np.int64)
        sizes = np.zeros((1, 2, levels), np.int64)
        for s, side in enumerate((bids, asks)):
            prices[0, s, : len(side.encoded_price)] = side.encoded_price
            sizes[0, s, : len(side.encoded_size)] = side.encoded_size
        ticks = snapshot_ticks(prices, self.price_step)
        self._ladder = with_room(self._ladder, levels)
        merge_snapshot(self._ladder, ticks[0], sizes[0], True, 0)
        for s, bound in enumerate(bounds):
            sign = -1 if s == 0 else 1
            self._ladder.known_until[s] = NOTHING_KNOWN if bound is None else bound // self.price_step * sign
        self._memory.state[[replay_arrays.STATE_SEEDED, replay_arrays.STATE_ROW_DUE]] = 1

    def saved(self) -> dict[str, Int64Array]:
        """Return all that a book needs to go on from here, as arrays of their own, between two batches.

        Snapshots and flag changes that are still to come are no part of it. `resume` is the inverse.
        """
        return save(self._ladder, self._memory, self.outcomes)

    def resume(self, saved: Mapping[str, Int64Array]) -> None:
        """Go on where another book with the same arguments was saved, before the first batch.

        Args:
            saved: int64 arrays by name, as `saved` gives them. This book has been given the same flag changes as
                that one; snapshots that were still due there are to be added.

        Raises:
            BatchError: An array is missing, or has another shape; nothing has changed.
        """
        self._ladder = load(saved, self._ladder, self._memory)
        self._scheduled.restore_outcomes(saved["outcome"])

    def levels(self, side: int) -> Levels:
        """Return all live levels of side 0 (bids) or 1 (asks), best first."""
        keys, sizes, _ = live_levels(self._ladder, side)
        sign = -1 if side == 0 else 1
        known = keys <= self._ladder.known_until[side]
        if self.gap_flags & PROVEN_LOSS:
            known[:] = False
        return Levels(keys * sign * self.price_step, sizes, known)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """Worst encoded bid and ask price up to which the book is known; None where nothing is."""
        bid, ask = (int(bound) for bound in self._ladder.known_until[:])
        return (
            None if bid == NOTHING_KNOWN else -bid * self.price_step,
            None if ask == NOTHING_KNOWN else ask * self.price_step,
        )

    @property
    def messages(self) -> int:
        """Number of messages applied so far."""
        return int(self._memory.state[replay_arrays.STATE_MESSAGES])

    @property
    def seeded(self) -> bool:
        """Whether the book stands on a snapshot, on a closing state, or on its warm-up."""
        return bool(self._memory.state[[replay_arrays.STATE_SEEDED, replay_arrays.STATE_WARMED_UP]].any())

    @property
    def last_sequence_number(self) -> int:
        """Sequence number of the last message applied; far below zero before the first."""
        return int(self._memory.state[replay_arrays.STATE_LAST_SEQUENCE])

    @property
    def last_origin_time(self) -> int:
        """Origin time of the last message applied, ns."""
        return int(self._memory.state[replay_arrays.STATE_LAST_ORIGIN])

    @property
    def gap_flags(self) -> int:
        """Bits of `BookFlag`, and `PROVEN_LOSS`, that flag changes have put in force."""
        return int(self._memory.state[replay_arrays.STATE_FLAG_BITS])

    @property
    def counts(self) -> dict[str, int]:
        """Deltas applied, those without effect, messages and episodes with a crossed book, levels evicted from it."""
        names = ("deltas", "deltas_without_effect", "crossed_messages", "crossed_episodes", "evicted_levels")
        return dict(zip(names, (int(count) for count in self._memory.counts), strict=True))
