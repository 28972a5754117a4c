"""hftbacktest as a worker: its market depths, driven by its own backtester from one compiled loop.

The package has no call that only sets a level: its depths are filled by a backtest that is told to go on. Two ways:

- **depth alone**: events are marked for the local side only (`LOCAL_EVENT`), so that of the two books a backtest
  keeps, the exchange's stays empty. What is left beyond a plain book update: picking the next of four possible events
  (feed and orders, local and exchange), and keeping the times of the last one. This is the fastest way in the wheel:
  `FuseMarketDepth`, which takes an event at a time, needs four to seven times as long; calling the C functions without
  the classes around them, and narrowing the range of interest around the price, gain at most a few per cent.
- **whole backtest**: events are marked for both sides, as recorded data is: the exchange keeps a book of its own and
  looks for orders to fill.

One `elapse` a message: all its events bear one time, the next message's is a step later. The first message and the
scan for the first event are not timed. Prices, sizes and their rounding to ticks are float64, as the package has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers_worker import DEPTH, MISSING_PIPS, PIPS, Deltas, Ints, Seen, levels, serve

STEP_NS = 1_000
MASK = 16_383
"""Top-20 rows are kept in turn in one buffer of 16,384, as large as ours."""


def best_each_message(backtest: Any, step_ns: int, best: Ints) -> None:
    """Best bid and ask tick after each message but the first; compiled."""
    depth = backtest.depth(0)
    for message in range(1, len(best)):
        backtest.elapse(step_ns)
        best[message, 0] = depth.best_bid_tick
        best[message, 1] = depth.best_ask_tick


def top_each_message(backtest: Any, step_ns: int, best: Ints, rows: Any) -> None:
    """The same, and the top 20 levels of both sides, read from the depth's own arrays; compiled.

    Args:
        backtest: with a ROIVectorMarketDepth.
        step_ns: between messages.
        best: int64[m, 2].
        rows: float64[MASK + 1, 2, DEPTH, 2]: tick and size, best first.
    """
    depth = backtest.depth(0)
    low = depth.roi_lb_tick
    sides = (depth.bid_depth, depth.ask_depth)
    for message in range(1, len(best)):
        backtest.elapse(step_ns)
        best[message, 0] = depth.best_bid_tick
        best[message, 1] = depth.best_ask_tick
        row = rows[message & MASK]
        for side in range(2):
            sizes = sides[side]
            way = 2 * side - 1
            at = best[message, side] - low
            level = 0
            while level < DEPTH and 0 <= at < len(sizes):
                if sizes[at] > 0.0:
                    row[side, level, 0] = at + low
                    row[side, level, 1] = sizes[at]
                    level += 1
                at += way


def final_levels(depth: Any, best: Ints, tick: float, ticks: range) -> Ints:
    """The top levels of a depth at the end, in pips."""
    sides = []
    for side, size_at in enumerate((depth.bid_qty_at_tick, depth.ask_qty_at_tick)):
        pairs: list[tuple[float, float]] = []
        at, way = int(best[-1, side]), 2 * side - 1
        while at in ticks and len(pairs) < DEPTH:
            size = size_at(at)
            if size > 0:
                pairs.append((at * tick, size))
            at += way
        sides.append(pairs)
    return levels(sides[0], sides[1])


def prepare(deltas: Deltas) -> Mapping[str, Callable[[], Seen]]:
    """Lay the stream out as events and compile the loops."""
    import hftbacktest as hft  # type: ignore[import-not-found,unused-ignore]
    from numba import njit

    events = np.zeros(len(deltas.price), hft.types.event_dtype)
    side = np.where(deltas.is_bid, hft.BUY_EVENT, hft.SELL_EVENT)
    events["exch_ts"] = events["local_ts"] = (deltas.message + 1) * STEP_NS
    events["px"] = deltas.price
    events["qty"] = deltas.size
    tick, messages = deltas.tick, deltas.messages
    ticks = range(round(float(deltas.price.min()) / tick), round(float(deltas.price.max()) / tick) + 1)
    loops = {False: njit(best_each_message), True: njit(top_each_message)}

    def run(build: Callable[[list[Any]], Any], marks: int, top: bool) -> Seen:
        events["ev"] = hft.DEPTH_EVENT | marks | side
        asset = (
            hft.BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .power_prob_queue_model(2.0)
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(tick)
            .lot_size(1 / PIPS)
            .roi_lb(ticks[0] * tick)
            .roi_ub(ticks[-1] * tick)
        )
        backtest = build([asset])
        best = np.zeros((messages, 2), np.int64)
        backtest.elapse(0)
        depth = backtest.depth(0)
        best[0] = depth.best_bid_tick, depth.best_ask_tick
        arguments = [np.zeros((MASK + 1, 2, DEPTH, 2))] if top else []
        start_ns = time.thread_time_ns()
        loops[top](backtest, STEP_NS, best, *arguments)
        elapsed_ns = time.thread_time_ns() - start_ns
        final = final_levels(depth, best, tick, ticks)
        if top and messages > 1:
            last = [
                [tuple(pair) for pair in side] for side in arguments[0][(messages - 1) & MASK] * [tick, 1]
            ]
            final = levels(last[0], last[1])
        backtest.close()
        missing = (best < ticks[0]) | (best > ticks[-1])
        best *= round(tick * PIPS)
        best[missing] = MISSING_PIPS
        return Seen(elapsed_ns, best, final)

    roi, hashed, local = hft.ROIVectorMarketDepthBacktest, hft.HashMapMarketDepthBacktest, hft.LOCAL_EVENT
    both = local | hft.EXCH_EVENT
    return {
        "ROIVectorMarketDepth": lambda: run(roi, local, False),
        "HashMapMarketDepth": lambda: run(hashed, local, False),
        "ROIVectorMarketDepth, whole backtest": lambda: run(roi, both, False),
        "HashMapMarketDepth, whole backtest": lambda: run(hashed, both, False),
        "ROIVectorMarketDepth, top 20": lambda: run(roi, local, True),
    }


if __name__ == "__main__":
    serve(("hftbacktest", "numba", "numpy"), prepare)
