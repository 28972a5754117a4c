"""lakeapi's `OrderBookUpdater` as a worker.

- **as published**: `process_next_update` and `get_bests` for each message, which is all its users have. Its loop over a
  message's rows is compiled; the call, and looking for the best price in a typed dict after it was removed, are not.
- **top 20**: the dicts hold no order, so the prices are sorted anew after each message, in a compiled function.
- **compiled throughout**: the private function behind `process_next_update`, called from one compiled loop that also
  looks for the best price. Nobody gets that from the package; it shows what its data structure could do.

The limit on the depth (5,000 levels, then 3,000) is lifted: it would drop levels that the others keep, and costs time.
The class takes rows with one receipt time for a message; they get the message's number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers_worker import DEPTH, PIPS, Deltas, Floats, Ints, Seen, levels, serve

NO_LIMIT = 10**9


def bests_as_published(updater: Any, best: Floats) -> None:
    """Best bid and ask after each message."""
    message = 0
    while updater.process_next_update():
        best[message] = updater.get_bests()
        message += 1


def best_of(book: Any, sign: float, prices: Floats, row: Floats) -> None:
    """Write a side's top 20 to row, float64[DEPTH, 2]; compiled.

    Args:
        book: typed dict, price to size.
        sign: -1 for bids, 1 for asks.
        prices: float64[k], scratch for more prices than a side has.
        row: price and size, best first.
    """
    count = 0
    for price in book:
        prices[count] = price * sign
        count += 1
    prices[:count].sort()
    for level in range(min(count, len(row))):
        row[level, 0] = prices[level] * sign
        row[level, 1] = book[prices[level] * sign]


def prepare(deltas: Deltas) -> Mapping[str, Callable[[], Seen]]:
    """Lay the stream out as a data frame and compile the loop."""
    import pandas as pd  # type: ignore[import-untyped,import-not-found,unused-ignore]
    from lakeapi.orderbook import OrderBookUpdater  # type: ignore[import-not-found,unused-ignore]
    from numba import njit

    frame = pd.DataFrame(
        {
            "received_time": deltas.message + 1,
            "sequence_number": deltas.message + 1,
            "side_is_bid": deltas.is_bid,
            "price": deltas.price,
            "size": deltas.size,
        }
    )
    update = OrderBookUpdater._update_more

    def compiled_loop(
        is_bid: Floats, price: Floats, size: Floats, received: Ints, sequence: Ints,
        bids: Any, asks: Any, bests: Any, best: Floats,
    ) -> None:  # fmt: skip
        at = 0
        for message in range(len(best)):
            at, _, _ = update(
                is_bid, price, size, received, sequence, at, bids, asks, bests, NO_LIMIT, NO_LIMIT
            )
            if bests[0] == np.inf:
                bests[0] = 0.0
                for level in bids:
                    bests[0] = max(bests[0], level)
            if bests[1] == 0.0:
                bests[1] = np.inf
                for level in asks:
                    bests[1] = min(bests[1], level)
            best[message, 0] = bests[0]
            best[message, 1] = bests[1]

    compiled, compiled_best_of = njit(compiled_loop), njit(best_of)

    def compiled_throughout(updater: Any, best: Floats) -> None:
        compiled(
            updater._side_is_bid,
            updater._price,
            updater._size,
            updater._received_time,
            updater._sequence_number,
            updater.bid,
            updater.ask,
            updater._bests_cache,
            best,
        )

    def tops(updater: Any, best: Floats) -> None:
        message, prices, row = 0, np.zeros(1 << 20), np.zeros((2, DEPTH, 2))
        while updater.process_next_update():
            compiled_best_of(updater.bid, -1.0, prices, row[0])
            compiled_best_of(updater.ask, 1.0, prices, row[1])
            best[message] = row[0, 0, 0], row[1, 0, 0]
            message += 1

    def run(loop: Callable[[Any, Floats], None]) -> Seen:
        updater = OrderBookUpdater(frame, NO_LIMIT, NO_LIMIT)
        best = np.zeros((deltas.messages, 2))
        start_ns = time.thread_time_ns()
        loop(updater, best)
        elapsed_ns = time.thread_time_ns() - start_ns
        final = levels(sorted(updater.bid.items(), reverse=True), sorted(updater.ask.items()))
        return Seen(elapsed_ns, np.rint(best * PIPS).astype(np.int64), final)

    return {
        "OrderBookUpdater": lambda: run(bests_as_published),
        "OrderBookUpdater, compiled throughout": lambda: run(compiled_throughout),
        "OrderBookUpdater, top 20": lambda: run(tops),
    }


if __name__ == "__main__":
    serve(("lakeapi", "numba", "numpy"), prepare)
