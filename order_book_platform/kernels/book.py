"""The book: a ladder's arrays, what the replay remembers, and the calls into the loops.

This is the one place that turns a loop's status into memory to grow or an error to raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.kernels import ladder, replay
from order_book_platform.kernels.snapshot import take_snapshot
from order_book_platform.model import DeltaBatch, SnapshotBatch
from order_book_platform.model.doubt import PROVEN_LOSS
from order_book_platform.model.schemas import DEPTH, MISSING_PIPS

Int64Array = NDArray[np.int64]

CADENCES = {"change": replay.CADENCE_CHANGE, "message": replay.CADENCE_MESSAGE, "grid": replay.CADENCE_GRID}
USES = {replay.USE_SEEDED: "seeded", replay.USE_EXTENDED: "extended", replay.USE_REPAIRED: "repaired"}
_START_FAR_LEVELS = 8_192


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
        packed = {
            name: np.ascontiguousarray(getattr(self.snapshots, name))
            for name in ("origin_time", "received_time", "sequence_number", "price_pips", "size_pips")
        }
        object.__setattr__(self, "snapshots", SnapshotBatch(**packed))

    @classmethod
    def nothing(cls) -> Plan:
        """No snapshots and no doubt: a cold replay."""
        none = np.empty(0, np.int64)
        levels = np.empty((0, 2, 1), np.int64)
        return cls(SnapshotBatch(none, none, none, levels, levels), np.empty(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Levels:
    """One side of a book, best first.

    Attributes:
        price_pips: int64[n].
        size_pips: int64[n].
        known: bool[n]: inside the range the book vouches for.
    """

    price_pips: Int64Array
    size_pips: Int64Array
    known: NDArray[np.bool_]


class Book:
    """A replayed book.

    Args:
        step_pips: divides every price; the tick, or a divisor of it.
        depth: visible levels a side.
        cadence: `change`, `message` or `grid`.
        grid_ns: step of cadence `grid`.
        plan: snapshots and doubts.
        window_slots: dense slots a side, a power of two ≥ 4096.
        row_capacity: rows handed out at a time.

    Memory: 16 bytes a slot and side plus 32 bytes a live level plus 8·(6 + 4·depth) bytes a row of capacity; it does
    not grow with the length of the input.
    """

    def __init__(
        self,
        step_pips: int,
        *,
        depth: int = DEPTH,
        cadence: str = "change",
        grid_ns: int = 0,
        plan: Plan | None = None,
        window_slots: int = ladder.WINDOW_SLOTS,
        row_capacity: int = 16_384,
    ) -> None:
        self.step_pips = step_pips
        self.depth = depth
        self.plan = plan or Plan.nothing()
        self._sizes = np.zeros((2, window_slots), np.int64)
        self._words = np.zeros((2, window_slots // 64), np.uint64)
        self._summary = np.zeros((2, window_slots // 4096), np.uint64)
        self._far_keys = np.empty((2, _START_FAR_LEVELS), np.int64)
        self._far_sizes = np.empty((2, _START_FAR_LEVELS), np.int64)
        self._side = np.zeros((2, ladder.SIDE_FIELDS), np.int64)
        self._side[:, ladder.BEST] = ladder.NO_KEY
        self._side[:, ladder.BOUND] = ladder.NOTHING_KNOWN
        self._params = np.array([step_pips, depth, CADENCES[cadence], grid_ns], np.int64)
        self._state = np.zeros(replay.STATES, np.int64)
        self._state[replay.STATE_LAST_SEQUENCE] = replay.NO_TIME
        self._state[replay.STATE_NEXT_GRID] = replay.NO_TIME
        self._state[replay.STATE_EVALUATE] = 1  # the first message gives a row, whatever it says
        self._counts = np.zeros(replay.COUNTS, np.int64)
        self._last = np.zeros(replay.ROW_HEAD + 4 * depth, np.int64)
        self._last[replay.ROW_HEAD :: 2] = MISSING_PIPS
        self._last[3] = -1  # no flags: the first row always differs
        self._rows = np.empty((row_capacity, replay.ROW_HEAD + 4 * depth), np.int64)
        self._visible = np.full(2, ladder.NO_KEY, np.int64)
        self._scratch = np.zeros(2, np.int64)
        self._plan_ticks = self._ticks(self.plan.snapshots)
        self._outcome = np.zeros((len(self.plan.snapshots), 4), np.int64)

    def feed(self, batch: DeltaBatch) -> Iterator[Int64Array]:
        """Apply a batch and hand out the rows it gave.

        Args:
            batch: whole messages in replay order.

        Yields:
            int64[n, 6 + 4·depth] views, valid until the next one is asked for; see `kernels.replay` for the columns.

        Raises:
            BatchError: sequence numbers go back, or a price is off the tick grid.
        """
        self._check(batch)
        position, rows = 0, 0
        while True:
            status, position, rows = replay.replay(
                *self._ladder,
                self._params,
                self._state,
                self._counts,
                self._last,
                self._rows,
                self._visible,
                self._scratch,
                self.plan.snapshots.sequence_number,
                self._plan_ticks,
                self.plan.snapshots.size_pips,
                self.plan.forced,
                self._outcome,
                self.plan.edge_sequence,
                self.plan.edge_doubt,
                batch.origin_time,
                batch.received_time,
                batch.sequence_number,
                batch.is_bid,
                batch.price_pips,
                batch.size_pips,
                position,
                len(batch),
                rows,
            )
            if status == replay.LEVELS_FULL:
                self._grow()
                continue
            if status == replay.OFF_TICK:
                raise BatchError(
                    expected=f"positive prices in multiples of {self.step_pips} pips",
                    found=f"{batch.price_pips[position]} pips",
                    where=f"sequence number {batch.sequence_number[position]}",
                    remedy="Build raw_deltas again; its tick comes from all prices of the day.",
                )
            if (rows and status == replay.ROWS_FULL) or (rows and status == replay.DONE):
                yield self._rows[:rows]
                rows = 0
            if status == replay.DONE:
                return

    def _check(self, batch: DeltaBatch) -> None:
        sequence = batch.sequence_number
        if len(sequence) == 0:
            return
        if sequence[0] < self._state[replay.STATE_LAST_SEQUENCE] or (sequence[1:] < sequence[:-1]).any():
            raise BatchError(
                expected="sequence numbers that never go back",
                found="a smaller one after a larger one",
                where=f"batch from sequence number {sequence[0]}",
                remedy="Sort the deltas by sequence number; raw_deltas is.",
            )

    def _grow(self) -> None:
        for name in ("_far_keys", "_far_sizes"):
            old = getattr(self, name)
            new = np.empty((2, 2 * old.shape[1] + 2 * self._plan_ticks.shape[2]), np.int64)
            new[:, : old.shape[1]] = old
            setattr(self, name, new)

    def _ticks(self, snapshots: SnapshotBatch) -> Int64Array:
        ticks = snapshots.price_pips // self.step_pips
        missing = snapshots.price_pips == MISSING_PIPS
        if (ticks * self.step_pips != snapshots.price_pips)[~missing].any():
            raise BatchError(
                expected=f"snapshot prices in multiples of {self.step_pips} pips",
                found="others",
                where="replay plan",
                remedy="Leave out snapshots that fail their quality gate.",
            )
        ticks[missing] = -1
        return np.ascontiguousarray(ticks)

    @property
    def _ladder(self) -> tuple[NDArray[np.int64] | NDArray[np.uint64], ...]:
        return self._sizes, self._words, self._summary, self._far_keys, self._far_sizes, self._side

    def restore(self, bids: Levels, asks: Levels, bounds_pips: tuple[int | None, int | None]) -> None:
        """Start from a full book instead of an empty one; before the first batch.

        Args:
            bids, asks: best first.
            bounds_pips: worst price of each side up to which the book was known; None where nothing was.

        Raises:
            BatchError: a price is off the tick grid.
        """
        depth = max(len(bids.price_pips), len(asks.price_pips), 1)
        prices = np.full((1, 2, depth), MISSING_PIPS, np.int64)
        sizes = np.zeros((1, 2, depth), np.int64)
        for s, side in enumerate((bids, asks)):
            prices[0, s, : len(side.price_pips)] = side.price_pips
            sizes[0, s, : len(side.size_pips)] = side.size_pips
        one = np.zeros(1, np.int64)
        ticks = self._ticks(SnapshotBatch(one, one, one, prices, sizes))
        while self._far_keys.shape[1] < depth + 1:
            self._grow()
        take_snapshot(*self._ladder, ticks[0], sizes[0], True)
        for s, bound in enumerate(bounds_pips):
            sign = -1 if s == 0 else 1
            self._side[s, ladder.BOUND] = (
                ladder.NOTHING_KNOWN if bound is None else bound // self.step_pips * sign
            )
        self._state[[replay.STATE_SEEDED, replay.STATE_DIRTY_BID, replay.STATE_DIRTY_ASK]] = 1

    @property
    def bounds_pips(self) -> tuple[int | None, int | None]:
        """Worst bid and worst ask price up to which the book is known; None where nothing is."""
        bid, ask = (int(bound) for bound in self._side[:, ladder.BOUND])
        return (
            None if bid == ladder.NOTHING_KNOWN else -bid * self.step_pips,
            None if ask == ladder.NOTHING_KNOWN else ask * self.step_pips,
        )

    def finish(self) -> Int64Array:
        """Rows still due at the end of the input: on a grid, the one at the last message's own time.

        Returns:
            int64[n, 6 + 4·depth], n is 0 or 1.
        """
        due = self._state[replay.STATE_NEXT_GRID]
        if due == replay.NO_TIME or due > self._state[replay.STATE_LAST_ORIGIN]:
            return self._rows[:0]
        replay.write_row(
            *self._ladder, self._params, self._state, self._last, self._rows, 0, self._visible, True
        )
        self._rows[0, 0] = due
        self._state[replay.STATE_NEXT_GRID] += self._params[replay.PARAM_GRID_NS]
        return self._rows[:1]

    def levels(self, side: int) -> Levels:
        """All live levels of side 0 (bids) or 1 (asks), best first."""
        slots = np.flatnonzero(self._sizes[side])
        far = int(self._side[side, ladder.FAR])
        keys = np.concatenate([slots + self._side[side, ladder.BASE], self._far_keys[side, :far]])
        sizes = np.concatenate([self._sizes[side, slots], self._far_sizes[side, :far]])
        sign = -1 if side == 0 else 1
        known = keys <= self._side[side, ladder.BOUND]
        if self.doubt & PROVEN_LOSS:
            known[:] = False
        return Levels(keys * sign * self.step_pips, sizes, known)

    @property
    def messages(self) -> int:
        """Messages applied so far."""
        return int(self._state[replay.STATE_MESSAGES])

    @property
    def seeded(self) -> bool:
        """Whether a snapshot has been taken over."""
        return bool(self._state[replay.STATE_SEEDED])

    @property
    def last_sequence_number(self) -> int:
        """Of the last message applied; far below zero before the first."""
        return int(self._state[replay.STATE_LAST_SEQUENCE])

    @property
    def last_origin_time(self) -> int:
        """Of the last message applied, ns."""
        return int(self._state[replay.STATE_LAST_ORIGIN])

    @property
    def doubt(self) -> int:
        """`BookFlag` bits (and `model.doubt.PROVEN_LOSS`) now in force from the plan."""
        return int(self._state[replay.STATE_DOUBT])

    @property
    def counts(self) -> dict[str, int]:
        """Deltas applied, those without effect, messages and episodes with a crossed book."""
        names = ("deltas", "deltas_without_effect", "crossed_messages", "crossed_episodes")
        return dict(zip(names, (int(count) for count in self._counts), strict=True))

    @property
    def outcome(self) -> Int64Array:
        """int64[m, 4] of the plan's snapshots taken over so far: use, levels compared, wrong, changed."""
        return self._outcome[: int(self._state[replay.STATE_CANDIDATE])]
