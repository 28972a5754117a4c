"""From a closed block of steps to rows of `rl_features`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.kernels.order_flow import log_returns, realised_volatility, squared_returns
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.rl.features import time_grid as fields
from order_book_platform.rl.features.time_grid import TimeGrid

NS_PER_MS = 1_000_000
_INT32 = np.iinfo(np.int32)

FloatArray = NDArray[np.float64]
Columns = dict[str, pa.Array]


def feature_table(steps: TimeGrid, count: int) -> pa.Table:
    """Rows of the first `count` inner steps of a closed block.

    Args:
        steps: after `close(count)`.
        count: inner steps, a multiple of the plan's stride.

    Returns:
        `count / stride` rows with the plan's schema.
    """
    plan = steps.plan
    rows = np.arange(plan.history + plan.stride - 1, plan.history + count, plan.stride)
    if not len(rows):
        return plan.schema.empty_table()
    time = (steps.first + rows) * plan.step_ns
    flags = np.bitwise_or.reduceat(steps.flags[plan.history : plan.history + count], rows - rows[0])
    columns: Columns = {
        "time": pa.array(time),
        **_book_columns(steps, rows),
        **_flow_columns(steps, rows),
        **_return_columns(steps, rows),
        "stale_ms": pa.array(((time - steps.state[fields.TIME, rows]) // NS_PER_MS).astype(np.int32)),
        "latency_ms": _int32(steps.state[fields.LATENCY, rows] // NS_PER_MS),
        "flags": pa.array(flags),
        "gap_flag": pa.array((flags & BookFlag.GAP) != 0),
        "crossed": pa.array((flags & BookFlag.CROSSED) != 0),
        "valid": pa.array(_valid(steps)[rows]),
    }
    return pa.table([columns[name] for name in plan.schema.names], schema=plan.schema)


def _two_sided(steps: TimeGrid) -> BoolArray:
    """bool[positions]: both sides have a best price."""
    two_sided: BoolArray = (steps.state[fields.BID_PRICE] != MISSING_PIPS) & (
        steps.state[fields.ASK_PRICE] != MISSING_PIPS
    )
    return two_sided


def _valid(steps: TimeGrid) -> BoolArray:
    """bool[positions]: two-sided and not doubtful."""
    valid: BoolArray = _two_sided(steps) & (steps.state[fields.DOUBTFUL] == 0)
    return valid


def _book_columns(steps: TimeGrid, rows: Int64Array) -> Columns:
    """mid2 … qi_k: what the book in effect at each row shows."""
    plan = steps.plan
    two_sided = _two_sided(steps)[rows]
    bid, ask = steps.state[fields.BID_PRICE, rows], steps.state[fields.ASK_PRICE, rows]
    bid_size = steps.state[fields.BID_SIZE, rows].astype(np.float64)
    ask_size = steps.state[fields.ASK_SIZE, rows].astype(np.float64)
    spread = ask - bid
    off_centre = _ratio(spread * (bid_size - ask_size), 2.0 * (bid_size + ask_size), two_sided)
    columns: Columns = {
        "mid2": pa.array(bid + ask, mask=~two_sided),
        "spread_ticks": _int32(spread // plan.tick_pips, two_sided),
        "spread_bps": _float32(_ratio(2e4 * spread, (bid + ask).astype(np.float64), two_sided)),
        "wmid_off": _float32(off_centre / plan.tick_pips),
    }
    known = steps.state[fields.KNOWN, rows]
    for index, levels in enumerate(plan.imbalance_levels):
        bids, asks = steps.depth_sums[2 * index, rows], steps.depth_sums[2 * index + 1, rows]
        columns[f"qi_{levels}"] = _float32(_ratio(bids - asks, bids + asks, two_sided & (known >= levels)))
    return columns


def _flow_columns(steps: TimeGrid, rows: Int64Array) -> Columns:
    """ofi, mlofi, counts and tfi over the flow window."""
    plan = steps.plan
    levels, block_rows = plan.mlofi_levels, rows - plan.history
    columns: Columns = {}
    for row, name in enumerate(["ofi_1", *(f"mlofi_{level}" for level in range(1, levels + 1))]):
        broken = steps.last_broken[row, block_rows] > rows - plan.window
        columns[name] = pa.array(steps.window(row, rows), mask=broken)
    whole = steps.last_reset[block_rows] <= rows - plan.window
    seconds = plan.features.flow_window / NS_PER_SECOND
    for row, name in ((levels + 1, "n_updates"), (levels + 2, "n_trades")):
        columns[name] = _float32(np.where(whole, steps.window(row, rows) / seconds, np.nan))
    bought = steps.window(levels + 3, rows).astype(np.float64)
    sold = steps.window(levels + 4, rows).astype(np.float64)
    columns["tfi"] = _float32(_ratio(bought - sold, bought + sold, whole))
    return columns


def _return_columns(steps: TimeGrid, rows: Int64Array) -> Columns:
    """ret_h and rv_h."""
    plan = steps.plan
    shown = steps.state[fields.BID_PRICE] + steps.state[fields.ASK_PRICE]
    mid2 = np.where(_valid(steps), shown, MISSING_PIPS)
    squares = np.full(len(mid2), np.nan)
    first_second = -steps.first % plan.second
    squared_returns(mid2, first_second, plan.second, squares)
    columns: Columns = {}
    for horizon, lag in zip(plan.features.horizons, plan.horizons, strict=True):
        name = f"{horizon // NS_PER_SECOND}s"
        returns, volatility = np.empty(len(rows), dtype=np.float32), np.empty(len(rows), dtype=np.float32)
        log_returns(mid2, rows, lag, steps.last_reset, plan.history, returns)
        realised_volatility(
            squares, rows, first_second, plan.second, lag, steps.last_reset, plan.history, volatility
        )
        volatility[mid2[rows] == MISSING_PIPS] = np.nan
        columns[f"ret_{name}"], columns[f"rv_{name}"] = pa.array(returns), pa.array(volatility)
    return columns


def _ratio(numerator: FloatArray, denominator: FloatArray, known: BoolArray) -> FloatArray:
    """Quotient; NaN where not known or the denominator is 0."""
    out = np.full(len(known), np.nan)
    np.divide(numerator, denominator, out=out, where=known & (denominator != 0))
    return out


def _float32(values: FloatArray) -> pa.Array:
    return pa.array(values.astype(np.float32))


def _int32(values: Int64Array, known: BoolArray | bool = True) -> pa.Array:
    """int32 with null where not known or beyond the range."""
    fits = known & (values >= _INT32.min) & (values <= _INT32.max)
    return pa.array(np.where(fits, values, 0).astype(np.int32), mask=~fits)
