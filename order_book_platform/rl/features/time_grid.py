"""One block of the time grid: events are added to its steps, and each step ends with the book and sums at its time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import iso_from_ns
from order_book_platform.errors import BatchError
from order_book_platform.kernels.order_flow import LAST_FIELDS, add_level_flow
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array, UInt8Array
from order_book_platform.rl.features.event_reader import BookChunk, TradeChunk
from order_book_platform.rl.features.feature_spec import FeatureSpec

BID_PRICE, BID_SIZE, ASK_PRICE, ASK_SIZE, TIME, LATENCY, FLAGS, KNOWN, DOUBTFUL = range(9)
"""Rows of `TimeGrid.state`, which hold the book row in effect at a step's time: prices and sizes in pips, time and
latency in ns, `BookFlag` bits, number of known levels, and whether the row is doubtful (0 or 1)."""
STATE_FIELDS = 9

NEVER = -(2**62)
"""A position before all others, for marks that have not occurred yet."""


class TimeGrid:
    """Working arrays of one block and of the history its windows reach into.

    Position p stands for the inner step `first + p`, whose time is `(first + p) · step_ns`; the block begins at
    position `history`. Memory depends on the spec alone. For each block call `add_books` and `add_trades` with its
    events in order, then `close`, read the arrays, and call `advance`.

    Args:
        spec: Time grid, windows and levels.
        start: Inner step that the first block begins at.

    Attributes:
        first: Inner step of position 0.
        state: int64[STATE_FIELDS, positions], the book in effect at each position after `close`.
        depth_sums: float64[2 · len(imbalance_levels), positions], pips: bid and ask size over k levels, in turn.
        flow: int64[mlofi_levels + 5, positions], after `close` running sums over the day, which may wrap: order flow at
            the best prices, at each known level, number of book rows, of trades, bought and sold volume.
        flags: uint8[positions], after `close` the union of the flags in effect over each step.
        last_reset: int64[block], position of the last reset up to each step of the block; may be negative.
        last_broken: int64[1 + mlofi_levels, block], the same for pairs of rows that do not count as order flow.
    """

    def __init__(self, spec: FeatureSpec, start: int) -> None:
        size = spec.history + spec.block
        flows = 1 + spec.mlofi_levels
        self.spec = spec
        self.first = start - spec.history
        self.state = np.zeros((STATE_FIELDS, size), dtype=np.int64)
        self.state[[BID_PRICE, ASK_PRICE]] = MISSING_PIPS
        self.state[DOUBTFUL] = 1
        self.depth_sums = np.zeros((2 * len(spec.imbalance_levels), size))
        self.flow = np.zeros((flows + 4, size), dtype=np.int64)
        self.flags = np.zeros(size, dtype=np.uint8)
        self.last_reset = np.full(spec.block, NEVER, dtype=np.int64)
        self.last_broken = np.full((flows, spec.block), NEVER, dtype=np.int64)
        # The same sums in float64: an int64 sum that wrapped is 2**64 away from them.
        self._shadow = np.zeros((flows + 4, size))
        self._broken = np.zeros((flows, size), dtype=np.bool_)
        self._doubtful = np.zeros(size, dtype=np.bool_)
        self._has_row = np.zeros(size, dtype=np.bool_)
        self._last_rows = np.zeros((flows, LAST_FIELDS), dtype=np.int64)

    @property
    def limit(self) -> int:
        """Inner step just beyond the block."""
        return self.first + self.spec.history + self.spec.block

    def add_books(self, chunk: BookChunk, rows: slice) -> None:
        """Add book rows of a chunk, in order; their steps lie in the block."""
        step = chunk.step[rows] - self.first
        changes = np.flatnonzero(step[1:] != step[:-1]) + 1
        starts = np.concatenate(([0], changes))
        ends = np.concatenate((changes, [len(step)]))
        at = step[starts]
        self.flags[at] |= np.bitwise_or.reduceat(chunk.flags[rows], starts)
        self._doubtful[at] |= np.logical_or.reduceat(chunk.doubtful[rows], starts)
        self._has_row[at] = True
        self._set_state(chunk, rows.start + ends - 1, at)
        updates = 1 + self.spec.mlofi_levels
        self.flow[updates, at] += ends - starts
        self._shadow[updates, at] += ends - starts
        trusted = ~chunk.doubtful[rows]
        best = (trusted & chunk.two_sided[rows]).astype(np.uint8)
        known = np.where(trusted, chunk.known[rows], np.uint8(0))
        self._add_flow(0, chunk, rows, step, best, 0)
        for level in range(self.spec.mlofi_levels):
            self._add_flow(1 + level, chunk, rows, step, known, level)

    def add_trades(self, chunk: TradeChunk, rows: slice) -> None:
        """Add trades of a chunk, in order; those before the block are left out."""
        step = chunk.step[rows] - self.first
        skip = int(np.searchsorted(step, self.spec.history, side="left"))
        trades = self.spec.mlofi_levels + 2
        step, is_buy, size = step[skip:], chunk.is_buy[rows][skip:], chunk.size[rows][skip:]
        for sums in (self.flow, self._shadow):
            np.add.at(sums[trades], step, 1)
            np.add.at(sums[trades + 1], step[is_buy], size[is_buy])
            np.add.at(sums[trades + 2], step[~is_buy], size[~is_buy])

    def close(self, steps: int) -> None:
        """Complete the first `steps` inner steps of the block: the book at each, running sums, resets.

        Raises:
            BatchError: A sum over the flow window does not fit int64.
        """
        history = self.spec.history
        block = slice(history, history + steps)
        before = slice(history - 1, history + steps - 1)
        position = np.arange(history, history + steps)
        source = np.maximum.accumulate(np.where(self._has_row[block], position, history - 1))
        self.state[:, block] = self.state[:, source]
        self.depth_sums[:, block] = self.depth_sums[:, source]
        self.flags[block] |= self.state[FLAGS, before].astype(np.uint8)
        for sums in (self.flow, self._shadow):
            running = sums[:, history - 1 : history + steps]
            np.cumsum(running, axis=1, out=running)
        doubtful = self._doubtful[block] | (self.state[DOUBTFUL, before] != 0)
        _carry_last(doubtful, position, self.last_reset)
        trusted = self.state[DOUBTFUL, block] == 0
        best = trusted & (self.state[BID_PRICE, block] >= 0) & (self.state[ASK_PRICE, block] >= 0)
        _carry_last(self._broken[0, block] | ~best, position, self.last_broken[0])
        known = np.where(trusted, self.state[KNOWN, block], 0)
        for level in range(self.spec.mlofi_levels):
            broken = self._broken[1 + level, block] | (known <= level)
            _carry_last(broken, position, self.last_broken[1 + level])
        self._check_sums(steps)

    def advance(self) -> None:
        """Go on to the next block; the steps of this one that its windows reach into become its history."""
        history, block = self.spec.history, self.spec.block
        for array in (self.state, self.depth_sums, self.flow, self._shadow):
            array[:, :history] = array[:, block:].copy()
        self.flow[:, history:] = 0
        self._shadow[:, history:] = 0
        self.flags[:] = 0
        self._broken[:] = False
        self._doubtful[:] = False
        self._has_row[:] = False
        self.last_reset[-1] -= block
        self.last_broken[:, -1] -= block
        self.first += block

    def window(self, row: int, positions: Int64Array) -> Int64Array:
        """Sum `flow[row]` over the flow window that ends at each position of int64[n]; int64[n], exact."""
        sums: Int64Array = self.flow[row, positions] - self.flow[row, positions - self.spec.window]
        return sums

    def _add_flow(
        self, row: int, chunk: BookChunk, rows: slice, step: Int64Array, usable: UInt8Array, level: int
    ) -> None:
        """Add the order flow at one level to `flow[row]`; `usable`, uint8[n], counts each row's comparable levels."""
        add_level_flow(
            step,
            usable,
            chunk.repaired[rows],
            level,
            chunk.prices[0][level][rows],
            chunk.sizes[0][level][rows],
            chunk.prices[1][level][rows],
            chunk.sizes[1][level][rows],
            self._last_rows[row],
            self.flow[row],
            self._shadow[row],
            self._broken[row],
        )

    def _set_state(self, chunk: BookChunk, last: Int64Array, at: Int64Array) -> None:
        """Write the chunk's rows `last`, the last ones of the steps at positions `at`, into the state."""
        state = self.state
        state[BID_PRICE, at], state[BID_SIZE, at] = chunk.prices[0][0][last], chunk.sizes[0][0][last]
        state[ASK_PRICE, at], state[ASK_SIZE, at] = chunk.prices[1][0][last], chunk.sizes[1][0][last]
        state[TIME, at], state[LATENCY, at] = chunk.time[last], chunk.latency[last]
        state[FLAGS, at], state[KNOWN, at] = chunk.flags[last], chunk.known[last]
        state[DOUBTFUL, at] = chunk.doubtful[last]
        for side in (0, 1):
            total = np.zeros(len(last))
            summed = 0
            for levels, index in sorted((k, i) for i, k in enumerate(self.spec.imbalance_levels)):
                for level in range(summed, levels):
                    total += chunk.sizes[side][level][last]
                summed = levels
                self.depth_sums[2 * index + side, at] = total

    def _check_sums(self, steps: int) -> None:
        """Refuse sums that wrapped: such a sum is 2**64 away from its float64 shadow."""
        history, window = self.spec.history, self.spec.window
        now, then = slice(history, history + steps), slice(history - window, history + steps - window)
        exact = self.flow[:, now] - self.flow[:, then]
        away = np.abs((self._shadow[:, now] - self._shadow[:, then]) - exact) > 2.0**62
        if away.any():
            at = int(np.flatnonzero(away.any(axis=0))[0])
            raise BatchError(
                expected="sums over features.flow_window that fit int64 pips",
                found="a sum beyond 2**63",
                where=f"window ending {iso_from_ns((self.first + history + at) * self.spec.step_ns)}",
                remedy="Shorten features.flow_window, or lower the instrument's size_decimals.",
            )


def _carry_last(marks: NDArray[np.bool_], position: Int64Array, last: Int64Array) -> None:
    """Write the position of the last mark up to each step into `last`, which ends with that of the block before."""
    np.maximum.accumulate(np.where(marks, position, last[-1]), out=last[: len(marks)])
