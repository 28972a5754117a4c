"""Workers for tests of the benchmarks: a plain-dict book that keeps to the truth, and some that do not.

Run as a peer's module: `python -m order_book_platform_tests.bench_peer FOLDER ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.peers_worker import MISSING_PIPS, PIPS, Deltas, Ints, Seen, levels, serve


def books(deltas: Deltas) -> tuple[Ints, Ints]:
    """Best bid and ask after each message, and the top levels at the end, by the slowest means."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    best = np.full((deltas.messages, 2), MISSING_PIPS, np.int64)
    for row in range(len(deltas.price)):
        side = sides[0 if deltas.is_bid[row] else 1]
        if deltas.size[row] == 0:
            side.pop(deltas.price[row], None)
        else:
            side[deltas.price[row]] = deltas.size[row]
        last = row + 1 == len(deltas.price) or deltas.message[row + 1] != deltas.message[row]
        if last and sides[0] and sides[1]:
            best[deltas.message[row]] = round(max(sides[0]) * PIPS), round(min(sides[1]) * PIPS)
    return best, levels(sorted(sides[0].items(), reverse=True), sorted(sides[1].items()))


def prepare(deltas: Deltas) -> Mapping[str, Callable[[], Seen]]:
    """One system that is right, and four ways to be wrong."""
    best, top = books(deltas)
    print("what a peer prints is no answer")  # noqa: T201 - some do

    def wrong_best() -> Seen:
        other = best.copy()
        other[len(other) // 2, 1] += 1
        return Seen(1_000, other, top)

    def wrong_top() -> Seen:
        other = top.copy()
        other[1, 3, 1] += 1
        return Seen(1_000, best, other)

    def fail() -> Seen:
        raise ZeroDivisionError("a peer's own bug")

    return {
        "right": lambda: Seen(1_000, best, top),
        "wrong best": wrong_best,
        "wrong top": wrong_top,
        "failing": fail,
    }


if __name__ == "__main__":
    serve(("numpy", "click"), prepare)
