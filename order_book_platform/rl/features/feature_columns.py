"""Turns a closed block of the time grid into rows of `rl_features`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.kernels.order_flow import log_returns, realised_volatility, squared_returns
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.rl.features.time_grid import (
    ASK_PRICE,
    ASK_SIZE,
    BID_PRICE,
    BID_SIZE,
    DOUBTFUL,
    KNOWN,
    LATENCY,
    TIME,
    TimeGrid,
)

NS_PER_MS = 1_000_000
_INT32 = np.iinfo(np.int32)

FloatArray = NDArray[np.float64]
Columns = dict[str, pa.Array]


def feature_table(grid: TimeGrid, count: int) -> pa.Table:
    """Compute the rows of the first `count` inner steps of a closed block.

    Args:
        grid: Time grid after `close(count)`.
        count: Number of inner steps, a multiple of the stride.

    Returns:
        `count / stride` rows with the schema of the spec.
    """
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
    for index, levels in enumerate(spec.imbalance_levels):
        bids, asks = grid.depth_sums[2 * index, rows], grid.depth_sums[2 * index + 1, rows]
        columns[f"qi_{levels}"] = _float32(_ratio(bids - asks, bids + asks, two_sided & (known >= levels)))
    return columns


def _flow_columns(grid: TimeGrid, rows: Int64Array) -> Columns:
    """Compute ofi, mlofi, counts and tfi over the flow window that ends at each position of int64[rows]."""
    spec = grid.spec
    levels, block_rows = spec.mlofi_levels, rows - spec.history
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
    """Compute ret_h and rv_h at each position of int64[rows]."""
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
