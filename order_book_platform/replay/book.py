"""The book: a ladder's arrays, what the replay remembers, and the calls into the loops.

This is the one place that turns a loop's status into memory to grow or an error to raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch, deepened
from order_book_platform.errors import BatchError
from order_book_platform.kernels.book import replay_arrays, replay_loop, visible_rows
from order_book_platform.kernels.book.bits import divisor_inverse
from order_book_platform.kernels.book.ladder import has_room, read_levels
from order_book_platform.kernels.book.ladder_arrays import (
    BLOCK_LEVELS,
    LARGEST_TICK,
    NO_KEY,
    NO_TICK,
    NOTHING_KNOWN,
    WINDOW_SLOTS,
    Ladder,
    LiveLevels,
)
from order_book_platform.kernels.book.message_starts import find_bad_level, find_messages
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD, STATES, Memory, ReplaySchedule
from order_book_platform.kernels.book.snapshot_merge import merge_snapshot
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.model.levels import DEPTH, MISSING_PIPS
from order_book_platform.replay.growable_array import GrowableArray

CADENCES = {
    "change": replay_arrays.CADENCE_CHANGE,
    "message": replay_arrays.CADENCE_MESSAGE,
    "grid": replay_arrays.CADENCE_GRID,
}
USES = {
    replay_arrays.USE_SEEDED: "seeded",
    replay_arrays.USE_EXTENDED: "extended",
    replay_arrays.USE_REPAIRED: "repaired",
}
SIDES = ("bid", "ask")
_NOTHING = np.empty(0, np.int64)
NEVER_NS = 2**62
"""Longer than any spell."""
_FREE_BLOCKS = 256
"""Far blocks to start with, besides those that a window left behind would take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall happen to the book besides the deltas.

    Attributes:
        snapshots: to take over, ascending by sequence number; the first one seeds.
        forced: bool[m]: repair from it without asking whether it agrees.
        edge_sequence: int64[e], ascending: from the first message ≥ it …
        edge_doubt: int64[e]: … these `BookFlag` bits (and `model.doubt.PROVEN_LOSS`) hold.
    """

    snapshots: SnapshotBatch
    forced: NDArray[np.bool_]
    edge_sequence: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    edge_doubt: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        _require(
            self.forced.dtype == np.bool_ and self.forced.shape == (len(self.snapshots),),
            f"bool[{len(self.snapshots)}], one for each snapshot",
            f"{self.forced.dtype}{list(self.forced.shape)}",
            "Plan.forced",
        )
        edges = (self.edge_sequence, self.edge_doubt)
        _require(
            all(each.dtype == np.int64 and each.shape == (len(self.edge_sequence),) for each in edges),
            "two int64 arrays of one length",
            " and ".join(f"{each.dtype}{list(each.shape)}" for each in edges),
            "Plan.edge_sequence, Plan.edge_doubt",
        )
        for name, sequence in (("snapshots", self.snapshots.sequence_number), ("edge_sequence", edges[0])):
            back = np.flatnonzero(sequence[1:] < sequence[:-1])
            if len(back):
                found = f"{sequence[back[0] + 1]} after {sequence[back[0]]}"
                _require(False, "ascending sequence numbers", found, f"Plan.{name}")

    @classmethod
    def nothing(cls) -> Plan:
        """No snapshots and no doubt: a cold replay."""
        return cls(SnapshotBatch.nothing(), np.empty(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Levels:
    """One side of a book, best first.

    Attributes:
        encoded_price: int64[n].
        encoded_size: int64[n].
        known: bool[n]: inside the range the book vouches for.
    """

    encoded_price: Int64Array
    encoded_size: Int64Array
    known: NDArray[np.bool_]


def _require(holds: bool, expected: str, found: str, where: str) -> None:
    if not holds:
        raise BatchError(
            expected=expected,
            found=found,
            where=where,
            remedy="Correct the call; its docstring says what it takes.",
        )


class Book:
    """A replayed book.

    Args:
        step_pips: divides every price; the tick, or a divisor of it.
        depth: visible levels a side.
        cadence: `change`, `message` or `grid`.
        grid_ns: step of cadence `grid`.
        plan: snapshots and doubts.
        crossed_after_ns: a book crossed for longer loses the levels named longest ago, and is repaired from the next
            snapshot of the plan.
        warm_up_ns: a book without a snapshot counts as seeded after this; what it shows are levels that were named, and
            none of them is known.
        silence_ns: a grid row that is later than the last message by more carries `BookFlag.GAP`.
        window_slots: dense slots a side, a power of two ≥ 4096.
        row_capacity: rows handed out at a time.

    Raises:
        BatchError: an argument is out of its range, or a price of the plan is not a multiple of `step_pips`.

    Memory: 16 bytes a slot and side, 48 more kept free for a window that is left behind, at most 400 bytes a live far
    level, 8·(6 + 4·depth) bytes a row of capacity and 8 bytes a row of the largest batch. It does not grow with the
    length of the input.
    """

    def __init__(
        self,
        step_pips: int,
        *,
        depth: int = DEPTH,
        cadence: str = "change",
        grid_ns: int = 0,
        plan: Plan | None = None,
        crossed_after_ns: int = NEVER_NS,
        warm_up_ns: int = NEVER_NS,
        silence_ns: int = NEVER_NS,
        window_slots: int = WINDOW_SLOTS,
        row_capacity: int = 16_384,
    ) -> None:
        power = window_slots >= 4096 and window_slots & (window_slots - 1) == 0
        for holds, expected, found, name in (
            (1 <= step_pips <= LARGEST_TICK, "a step of at least 1 pip", step_pips, "step_pips"),
            (depth >= 1, "at least 1 visible level", depth, "depth"),
            (cadence in CADENCES, "one of " + ", ".join(CADENCES), cadence, "cadence"),
            (cadence != "grid" or grid_ns >= 1, "a grid of at least 1 ns", grid_ns, "grid_ns"),
            (row_capacity >= 1, "room for at least 1 row", row_capacity, "row_capacity"),
            (power, "a power of two of at least 4096", window_slots, "window_slots"),
        ):
            _require(holds, expected, str(found), f"Book({name})")
        self.step_pips = step_pips
        self.depth = depth
        self._inverse, self._twos = divisor_inverse(step_pips)
        self._largest_tick = LARGEST_TICK // step_pips
        self._ladder = Ladder.empty(window_slots, 2 * window_slots // BLOCK_LEVELS + _FREE_BLOCKS)
        self._memory = Memory(
            np.array(
                [step_pips, CADENCES[cadence], grid_ns, crossed_after_ns, warm_up_ns, silence_ns],
                np.int64,
            ),
            np.zeros(STATES, np.int64),
            np.zeros(replay_arrays.COUNTS, np.int64),
            np.zeros(ROW_HEAD + 4 * depth, np.int64),
            np.full((2, depth), NO_KEY, np.int64),
            np.zeros(2, np.int64),
        )
        state = self._memory.state
        state[[replay_arrays.STATE_LAST_SEQUENCE, replay_arrays.STATE_NEXT_GRID]] = replay_arrays.NO_TIME
        state[[replay_arrays.STATE_CROSSED_SINCE, replay_arrays.STATE_FIRST_ORIGIN]] = replay_arrays.NO_TIME
        state[replay_arrays.STATE_ROW_DUE] = 1  # the first message gives a row, whatever it says
        self._memory.visible_row[ROW_HEAD::2] = MISSING_PIPS
        self._memory.visible_row[3] = -1  # no flags: the first row always differs
        self._rows = np.empty((row_capacity, ROW_HEAD + 4 * depth), np.int64)
        self._starts = np.empty(1, np.int64)
        self._feeding = False
        self._steps = self._steps_of(plan or Plan.nothing())
        self._past = GrowableArray(4)

    def feed(self, batch: DeltaBatch) -> Iterator[Int64Array]:
        """Apply a batch and hand out the rows it gave.

        Args:
            batch: whole messages in replay order.

        Returns:
            Iterator of int64[n, 6 + 4·depth] views, each valid until the next one is asked for; see `kernels.rows` for
            the columns. The batch is applied as it is iterated.

        Raises:
            BatchError: at once and before anything has changed: sequence numbers go back, a message has begun in an
                earlier batch, a price is not a positive multiple of the step or not below 2^61 ticks, a size is
                negative, or the rows of the batch before have not been taken to their end.
        """
        _require(
            not self._feeding,
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
        messages = self._messages_of(columns[2], columns[4], columns[5])
        self._feeding = messages > 0
        return self._apply(columns, messages)

    def _apply(self, columns: tuple[NDArray[Any], ...], messages: int) -> Iterator[Int64Array]:
        message, n_rows = 0, 0
        while self._feeding:
            status, message, n_rows = replay_loop.replay(
                self._ladder,
                self._memory,
                self._steps,
                self._rows,
                n_rows,
                self._inverse,
                self._twos,
                self._starts,
                *columns,
                message,
                messages,
            )
            if status == replay_arrays.LEVELS_FULL:
                longest = int(np.diff(self._starts[: messages + 1]).max())
                self._make_room(longest + self._steps.ticks.shape[2])
                continue
            self._feeding = status != replay_arrays.DONE
            if n_rows:
                yield self._rows[:n_rows]
                n_rows = 0

    def add_snapshots(self, snapshots: SnapshotBatch, forced: NDArray[np.bool_]) -> None:
        """Let more snapshots follow those of the plan, so that a plan need not be in memory as a whole.

        Args:
            snapshots: to take over, ascending by sequence number, none before those of the plan. They have to come
                before the messages they are due at.
            forced: as in `Plan`.

        Raises:
            BatchError: as in `Plan` and `Book`, or a snapshot is due before one that came earlier; nothing has changed.
        """
        shots, due = self._steps, int(self._memory.state[replay_arrays.STATE_NEXT_SNAPSHOT])
        more = self._steps_of(Plan(snapshots, forced))
        if not len(more.sequence):
            return
        latest = int(shots.sequence[-1]) if len(shots.sequence) else replay_arrays.NO_TIME
        _require(
            latest <= more.sequence[0],
            f"snapshots from sequence number {latest} on",
            str(more.sequence[0]),
            "Book.add_snapshots",
        )
        # What has been taken over is let go; what came of it is kept.
        self._past.add(shots.outcome[:due])
        depth = max(shots.ticks.shape[2], more.ticks.shape[2])
        both = [
            step._replace(ticks=deepened(step.ticks, depth, NO_TICK), sizes=deepened(step.sizes, depth, 0))
            for step in (shots, more)
        ]
        joined = {
            name: np.concatenate([getattr(both[0], name)[due:], getattr(both[1], name)])
            for name in ("sequence", "origin", "received", "ticks", "sizes", "forced", "outcome")
        }
        self._steps = shots._replace(**joined)
        self._memory.state[replay_arrays.STATE_NEXT_SNAPSHOT] = 0

    def add_edges(self, sequence: Int64Array, doubt: Int64Array) -> None:
        """Let more doubt follow that of the plan, where it is found as the messages come; between two batches.

        Edges that are over are let go of, so that memory does not grow however many there are.

        Args:
            sequence: as `edge_sequence` of `Plan`; none before those that are still to come.
            doubt: as `edge_doubt` of `Plan`.

        Raises:
            BatchError: as in `Plan`, or an edge lies before one that is still to come; nothing has changed.
        """
        plan = Plan(SnapshotBatch.nothing(), np.empty(0, np.bool_), sequence, doubt)
        shots, over = self._steps, int(self._memory.state[replay_arrays.STATE_NEXT_EDGE])
        if len(sequence) and len(shots.edge_sequence[over:]):
            latest = int(shots.edge_sequence[-1])
            _require(
                latest <= sequence[0],
                f"edges from sequence number {latest} on",
                str(sequence[0]),
                "Book.add_edges",
            )
        self._steps = shots._replace(
            edge_sequence=np.concatenate([shots.edge_sequence[over:], plan.edge_sequence]),
            edge_flag_bits=np.concatenate([shots.edge_flag_bits[over:], plan.edge_doubt]),
        )
        self._memory.state[replay_arrays.STATE_NEXT_EDGE] = 0

    def take_outcome(self) -> Int64Array:
        """`outcome` of the snapshots taken over since the last call, which is then forgotten; between two batches.

        For who follows a stream without end: what is not taken is kept.
        """
        found, due = self.outcome, int(self._memory.state[replay_arrays.STATE_NEXT_SNAPSHOT])
        shots = self._steps
        left = {
            name: np.ascontiguousarray(getattr(shots, name)[due:])
            for name in ("sequence", "origin", "received", "ticks", "sizes", "forced", "outcome")
        }
        self._steps = shots._replace(**left)
        self._memory.state[replay_arrays.STATE_NEXT_SNAPSHOT] = 0
        self._past = GrowableArray(4)
        return found

    def show_snapshots(self) -> Iterator[Int64Array]:
        """Rows of the snapshots alone, without any delta: each is the whole book until the next.

        Returns:
            As `feed`.
        """
        n_rows = 0
        while True:
            status, n_rows = replay_loop.replay_snapshots(
                self._ladder, self._memory, self._steps, self._rows, n_rows, len(self._steps.sequence)
            )
            if status == replay_arrays.LEVELS_FULL:
                self._make_room(self._steps.ticks.shape[2])
                continue
            if n_rows:
                yield self._rows[:n_rows]
                n_rows = 0
            if status == replay_arrays.DONE:
                return

    def _messages_of(self, sequence: Int64Array, encoded_price: Int64Array, encoded_size: Int64Array) -> int:
        """Look a batch over; gives its number of messages, whose starts are then known."""
        n = len(sequence)
        if n == 0:
            return 0
        if len(self._starts) < n + 1:
            self._starts = np.empty(n + 1, np.int64)
        messages = int(find_messages(sequence, self._starts))
        if messages < 0 or sequence[0] <= self.last_sequence_number:
            row = -1 - messages if messages < 0 else 0
            raise BatchError(
                expected="whole messages, their sequence numbers ascending",
                found=f"{sequence[row]} after {sequence[row - 1] if row else self.last_sequence_number}",
                where=f"row {row} of a batch of {n}",
                remedy="Sort the deltas by sequence number and cut them between messages: raw_deltas is sorted, "
                "and whole_messages cuts.",
            )
        bad = int(find_bad_level(encoded_price, encoded_size, self._inverse, self._twos, self._largest_tick))
        if bad >= 0:
            raise BatchError(
                expected=f"positive prices below 2^61 in multiples of {self.step_pips} pips, and sizes of at least 0",
                found=f"price {encoded_price[bad]} pips, size {encoded_size[bad]} pips",
                where=f"row {bad}, sequence number {sequence[bad]}",
                remedy="Build raw_deltas again; its tick comes from all prices of the day.",
            )
        return messages

    def _make_room(self, levels: int) -> None:
        blocks = self._ladder.overflow_fill.shape[1]
        while not has_room(self._ladder, levels):
            blocks *= 2
            self._ladder = self._ladder.with_blocks(blocks)

    def _steps_of(self, plan: Plan) -> ReplaySchedule:
        shots = plan.snapshots
        return ReplaySchedule(
            shots.sequence_number.copy(),
            shots.origin_time.copy(),
            shots.received_time.copy(),
            self._ticks(shots),
            shots.encoded_size.copy(),
            plan.forced.copy(),
            np.zeros((len(shots), 4), np.int64),
            plan.edge_sequence.copy(),
            plan.edge_doubt.copy(),
        )

    def _ticks(self, snapshots: SnapshotBatch) -> Int64Array:
        prices = snapshots.encoded_price
        ticks = prices // self.step_pips
        missing = prices == MISSING_PIPS
        wrong = (ticks * self.step_pips != prices) | (ticks < 1) | (ticks > self._largest_tick)
        wrong = prices[wrong & ~missing]
        if len(wrong):
            raise BatchError(
                expected=f"positive snapshot prices below 2^61 in multiples of {self.step_pips} pips",
                found=f"{wrong[0]} pips",
                where="replay plan",
                remedy="Leave out snapshots that fail their quality gate.",
            )
        ticks[missing] = NO_TICK
        return np.ascontiguousarray(ticks)

    def restore(self, bids: Levels, asks: Levels, bounds_pips: tuple[int | None, int | None]) -> None:
        """Start from a full book instead of an empty one; before the first batch.

        Args:
            bids: best first.
            asks: best first.
            bounds_pips: worst price of each side up to which the book was known; None where nothing was.

        Raises:
            BatchError: a price is off the tick grid.
        """
        depth = max(len(bids.encoded_price), len(asks.encoded_price), 1)
        prices = np.full((1, 2, depth), MISSING_PIPS, np.int64)
        sizes = np.zeros((1, 2, depth), np.int64)
        for s, side in enumerate((bids, asks)):
            prices[0, s, : len(side.encoded_price)] = side.encoded_price
            sizes[0, s, : len(side.encoded_size)] = side.encoded_size
        one = np.zeros(1, np.int64)
        ticks = self._ticks(SnapshotBatch(one, one, one, prices, sizes))
        self._make_room(depth)
        merge_snapshot(self._ladder, ticks[0], sizes[0], True, 0)
        for s, bound in enumerate(bounds_pips):
            sign = -1 if s == 0 else 1
            self._ladder.known_until[s] = NOTHING_KNOWN if bound is None else bound // self.step_pips * sign
        self._memory.state[[replay_arrays.STATE_SEEDED, replay_arrays.STATE_ROW_DUE]] = 1

    def saved(self) -> dict[str, Int64Array]:
        """All that a book needs to go on from here, as arrays of their own; between two batches.

        Snapshots that are still due are no part of it. `resumed` is the inverse.
        """
        kept = {name: array.copy() for name, array in self._fixed_arrays().items()}
        kept["state"][replay_arrays.STATE_NEXT_SNAPSHOT] = 0
        kept["outcome"] = self.outcome
        for s, side in enumerate(SIDES):
            kept |= {f"{side}_{name}": values for name, values in self._live(s)._asdict().items()}
        return kept

    def resumed(self, saved: Mapping[str, Int64Array]) -> None:
        """Go on from what `saved` gave of a book with the same arguments; before the first batch.

        Args:
            saved: arrays by name. The plan of this book holds the snapshots that were still due, and all doubts.

        Raises:
            BatchError: an array is missing, or has another shape; nothing has changed.
        """
        sides = [
            LiveLevels(*(saved.get(f"{side}_{name}", _NOTHING) for name in LiveLevels._fields))
            for side in SIDES
        ]
        fixed = self._fixed_arrays()
        wanted = {name: array.shape for name, array in fixed.items()}
        found = {name: saved[name].shape for name in wanted if name in saved}
        _require(found == wanted, f"arrays of shapes {wanted}", str(found), "Book.resumed")
        for levels in sides:
            lengths = {len(array) for array in levels}
            _require(len(lengths) == 1, "levels with keys, sizes and ages", str(lengths), "Book.resumed")
        self._make_room(max(len(levels.keys) for levels in sides))
        for s, levels in enumerate(sides):
            self._ladder.fill(s, levels)
        for name, array in fixed.items():
            array[...] = saved[name]
        self._past = GrowableArray(4, saved["outcome"])

    def _fixed_arrays(self) -> dict[str, Int64Array]:
        """The arrays of constant shape that a checkpoint holds, by their names in it."""
        memory, ladder = self._memory, self._ladder
        return {
            "state": memory.state,
            "counts": memory.counts,
            "last": memory.visible_row,
            "top": memory.visible_keys,
            "low": ladder.changed_from,
            "bound": ladder.known_until,
        }

    @property
    def bounds_pips(self) -> tuple[int | None, int | None]:
        """Worst bid and worst ask price up to which the book is known; None where nothing is."""
        bid, ask = (int(bound) for bound in self._ladder.known_until[:])
        return (
            None if bid == NOTHING_KNOWN else -bid * self.step_pips,
            None if ask == NOTHING_KNOWN else ask * self.step_pips,
        )

    def finish(self) -> Int64Array:
        """Rows still due at the end of the input: on a grid, the one at the last message's own time.

        Returns:
            int64[n, 6 + 4·depth], n is 0 or 1.
        """
        state = self._memory.state
        due = int(state[replay_arrays.STATE_NEXT_GRID])
        if due == replay_arrays.NO_TIME or due > state[replay_arrays.STATE_LAST_ORIGIN]:
            return self._rows[:0]
        visible_rows.write_row(self._ladder, self._memory, self._rows, 0, False, True)
        self._rows[0, 0] = due
        state[replay_arrays.STATE_NEXT_GRID] += self._memory.params[replay_arrays.PARAM_GRID_NS]
        return self._rows[:1]

    def levels(self, side: int) -> Levels:
        """All live levels of side 0 (bids) or 1 (asks), best first."""
        keys, sizes, _ = self._live(side)
        sign = -1 if side == 0 else 1
        known = keys <= self._ladder.known_until[side]
        if self.doubt & PROVEN_LOSS:
            known[:] = False
        return Levels(keys * sign * self.step_pips, sizes, known)

    def _live(self, side: int) -> LiveLevels:
        levels = np.empty((3, self._ladder.occupied(side)), np.int64)
        read_levels(self._ladder, side, levels)
        return LiveLevels(*levels)

    @property
    def messages(self) -> int:
        """Messages applied so far."""
        return int(self._memory.state[replay_arrays.STATE_MESSAGES])

    @property
    def seeded(self) -> bool:
        """Whether the book stands on a snapshot, on a closing state, or on its warm-up."""
        return bool(self._memory.state[[replay_arrays.STATE_SEEDED, replay_arrays.STATE_WARMED_UP]].any())

    @property
    def last_sequence_number(self) -> int:
        """Of the last message applied; far below zero before the first."""
        return int(self._memory.state[replay_arrays.STATE_LAST_SEQUENCE])

    @property
    def last_origin_time(self) -> int:
        """Of the last message applied, ns."""
        return int(self._memory.state[replay_arrays.STATE_LAST_ORIGIN])

    @property
    def doubt(self) -> int:
        """`BookFlag` bits (and `model.doubt.PROVEN_LOSS`) now in force from the plan."""
        return int(self._memory.state[replay_arrays.STATE_FLAG_BITS])

    @property
    def counts(self) -> dict[str, int]:
        """Deltas applied, those without effect, messages and episodes with a crossed book, levels evicted from it."""
        names = ("deltas", "deltas_without_effect", "crossed_messages", "crossed_episodes", "evicted_levels")
        return dict(zip(names, (int(count) for count in self._memory.counts), strict=True))

    @property
    def outcome(self) -> Int64Array:
        """int64[m, 4] of the snapshots taken over so far: use, levels compared, wrong, changed."""
        due = int(self._memory.state[replay_arrays.STATE_NEXT_SNAPSHOT])
        return np.concatenate([self._past.rows, self._steps.outcome[:due]])
