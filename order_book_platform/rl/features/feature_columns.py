"""One block of the time grid and its rows of `rl_features`.

Events are added to the steps of the block; each step ends with the book and the sums at its time.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.errors import BatchError
from order_book_platform.kernels.order_flow import (
    LAST_FIELDS,
    add_level_flow,
    add_trades,
    log_returns,
    realised_volatility,
    squared_returns,
)
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Int64Array, UInt8Array
from order_book_platform.rl.features.event_reader import BookChunk, FeatureSpec, TradeChunk

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
    events in order, then `close`, read the arrays, and call `advance`. The first block begins at inner step `start`.

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
        flows = 1 + spec.features.mlofi_levels
        self.spec = spec
        self.first = start - spec.history
        self.state = np.zeros((STATE_FIELDS, size), dtype=np.int64)
        self.state[[BID_PRICE, ASK_PRICE]] = MISSING_PIPS
        self.state[DOUBTFUL] = 1
        self.depth_sums = np.zeros((2 * len(spec.features.imbalance_levels), size))
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
        updates = 1 + self.spec.features.mlofi_levels
        self.flow[updates, at] += ends - starts
        self._shadow[updates, at] += ends - starts
        trusted = ~chunk.doubtful[rows]
        best = (trusted & chunk.two_sided[rows]).astype(np.uint8)
        known = np.where(trusted, chunk.known[rows], np.uint8(0))
        self._add_flow(0, chunk, rows, step, best, 0)
        for level in range(self.spec.features.mlofi_levels):
            self._add_flow(1 + level, chunk, rows, step, known, level)

    def add_trades(self, chunk: TradeChunk, rows: slice) -> None:
        """Add trades of a chunk, in order; those before the block are left out."""
        step = chunk.step[rows] - self.first
        skip = int(np.searchsorted(step, self.spec.history, side="left"))
        trades = self.spec.features.mlofi_levels + 2
        add_trades(
            *(step[skip:], chunk.is_buy[rows][skip:], chunk.size[rows][skip:]),
            *(self.flow[trades:], self._shadow[trades:]),
        )

    def close(self, steps: int) -> None:
        """Complete the first `steps` inner steps of the block: the book at each, running sums, resets.

        A sum over the flow window that does not fit int64 is a `BatchError`.
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
        for level in range(self.spec.features.mlofi_levels):
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
            for levels, index in sorted((k, i) for i, k in enumerate(self.spec.features.imbalance_levels)):
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


NS_PER_MS = 1_000_000
_INT32 = np.iinfo(np.int32)

FloatArray = NDArray[np.float64]
Columns = dict[str, pa.Array]


def feature_table(grid: TimeGrid, count: int) -> pa.Table:
    """Compute `count / stride` rows with the schema of the spec from a grid that `close(count)` has completed."""
    spec = grid.spec
    rows = np.arange(spec.history + spec.stride - 1, spec.history + count, spec.stride)
    if not len(rows):
        return spec.schema.empty_table()
    time = (grid.first + rows) * spec.step_ns
    flags = np.bitwise_or.reduceat(grid.flags[spec.history : spec.history + count], rows - rows[0])
    columns: Columns = {
        "time": pa.array(time),
        **_book_columns(grid, rows),
        **_flow_columns(grid, rows),
        **_return_columns(grid, rows),
        "stale_ms": pa.array(((time - grid.state[TIME, rows]) // NS_PER_MS).astype(np.int32)),
        "latency_ms": _int32(grid.state[LATENCY, rows] // NS_PER_MS),
        "flags": pa.array(flags),
        "gap_flag": pa.array((flags & BookFlag.GAP) != 0),
        "crossed": pa.array((flags & BookFlag.CROSSED) != 0),
        "valid": pa.array(_valid(grid)[rows]),
    }
    return pa.table([columns[name] for name in spec.schema.names], schema=spec.schema)


def _two_sided(grid: TimeGrid) -> BoolArray:
    """Return bool[positions]: whether both sides have a best price."""
    two_sided: BoolArray = (grid.state[BID_PRICE] != MISSING_PIPS) & (grid.state[ASK_PRICE] != MISSING_PIPS)
    return two_sided


def _valid(grid: TimeGrid) -> BoolArray:
    """Return bool[positions]: whether the book is two-sided and not doubtful."""
    valid: BoolArray = _two_sided(grid) & (grid.state[DOUBTFUL] == 0)
    return valid


def _book_columns(grid: TimeGrid, rows: Int64Array) -> Columns:
    """Compute the columns mid2 … qi_k from the book in effect at each position of int64[rows]."""
    spec = grid.spec
    two_sided = _two_sided(grid)[rows]
    bid, ask = grid.state[BID_PRICE, rows], grid.state[ASK_PRICE, rows]
    bid_size = grid.state[BID_SIZE, rows].astype(np.float64)
    ask_size = grid.state[ASK_SIZE, rows].astype(np.float64)
    spread = ask - bid
    off_centre = _ratio(spread * (bid_size - ask_size), 2.0 * (bid_size + ask_size), two_sided)
    columns: Columns = {
        "mid2": pa.array(bid + ask, mask=~two_sided),
        "spread_ticks": _int32(spread // spec.tick_pips, two_sided),
        "spread_bps": _float32(_ratio(2e4 * spread, (bid + ask).astype(np.float64), two_sided)),
        "wmid_off": _float32(off_centre / spec.tick_pips),
    }
    known = grid.state[KNOWN, rows]
    for index, levels in enumerate(spec.features.imbalance_levels):
        bids, asks = grid.depth_sums[2 * index, rows], grid.depth_sums[2 * index + 1, rows]
        columns[f"qi_{levels}"] = _float32(_ratio(bids - asks, bids + asks, two_sided & (known >= levels)))
    return columns


def _flow_columns(grid: TimeGrid, rows: Int64Array) -> Columns:
    """Compute ofi, mlofi, counts and tfi over the flow window that ends at each position of int64[rows]."""
    spec = grid.spec
    levels, block_rows = spec.features.mlofi_levels, rows - spec.history
    columns: Columns = {}
    for row, name in enumerate(["ofi_1", *(f"mlofi_{level}" for level in range(1, levels + 1))]):
        broken = grid.last_broken[row, block_rows] > rows - spec.window
        columns[name] = pa.array(grid.window(row, rows), mask=broken)
    whole = grid.last_reset[block_rows] <= rows - spec.window
    seconds = spec.features.flow_window / NS_PER_SECOND
    for row, name in ((levels + 1, "n_updates"), (levels + 2, "n_trades")):
        columns[name] = _float32(np.where(whole, grid.window(row, rows) / seconds, np.nan))
    bought = grid.window(levels + 3, rows).astype(np.float64)
    sold = grid.window(levels + 4, rows).astype(np.float64)
    columns["tfi"] = _float32(_ratio(bought - sold, bought + sold, whole))
    return columns


def _return_columns(grid: TimeGrid, rows: Int64Array) -> Columns:
    spec = grid.spec
    shown = grid.state[BID_PRICE] + grid.state[ASK_PRICE]
    mid2 = np.where(_valid(grid), shown, MISSING_PIPS)
    squares = np.full(len(mid2), np.nan)
    first_second = -grid.first % spec.second
    squared_returns(mid2, first_second, spec.second, squares)
    columns: Columns = {}
    for horizon, lag in zip(spec.features.horizons, spec.horizons, strict=True):
        name = f"{horizon // NS_PER_SECOND}s"
        returns, volatility = np.empty(len(rows), dtype=np.float32), np.empty(len(rows), dtype=np.float32)
        log_returns(mid2, rows, lag, grid.last_reset, spec.history, returns)
        realised_volatility(
            squares, rows, first_second, spec.second, lag, grid.last_reset, spec.history, volatility
        )
        volatility[mid2[rows] == MISSING_PIPS] = np.nan
        columns[f"ret_{name}"], columns[f"rv_{name}"] = pa.array(returns), pa.array(volatility)
    return columns


def _ratio(numerator: FloatArray, denominator: FloatArray, known: BoolArray) -> FloatArray:
    """Divide, float64[n]; the quotient is NaN where it is not known or the denominator is 0."""
    out = np.full(len(known), np.nan)
    np.divide(numerator, denominator, out=out, where=known & (denominator != 0))
    return out


def _float32(values: FloatArray) -> pa.Array:
    return pa.array(values.astype(np.float32))


def _int32(values: Int64Array, known: BoolArray | bool = True) -> pa.Array:
    """Return int32 values, null where they are not known or do not fit."""
    fits = known & (values >= _INT32.min) & (values <= _INT32.max)
    return pa.array(np.where(fits, values, 0).astype(np.int32), mask=~fits)
