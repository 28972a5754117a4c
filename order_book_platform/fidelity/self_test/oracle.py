"""Slow definitions of the gated metrics: lists and loops that share nothing with the fast code.

The self-test expects their figures. They are meant to be read beside docs/formats/fidelity_report.md, and are fit for
days of some ten thousand rows. Which metric has which function is declared in `fidelity.metric_declarations`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.model import BookFlag

DEPTH = 20
Side = list[tuple[int, int]]
"""Price and size of each level, best first."""
Sides = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Pair:
    """A held-out snapshot, or a ticker, and the book row that it belongs to.

    Attributes:
        time_ns: Origin time of the snapshot, or of the book row that a ticker belongs to, ns.
        row: Number of the book row in its file.
    """

    time_ns: int
    row: int
    known: tuple[int, int]
    book: Sides
    reference: Sides


def slow_figures(day: InMemoryDay) -> dict[str, float | None]:
    """Return the figure of each gate that has a slow definition; None where nothing can be measured."""
    pairs = snapshot_pairs(day)
    found = {
        **best_price_figures(pairs, day.tick_pips),
        **level_figures(pairs),
        **size_correlations(pairs),
        **state_distances(pairs, day.tick_pips),
        **book_figures(day),
    }
    tickers = best_price_figures(ticker_pairs(day), day.tick_pips)
    return {**found, **{f"{name}_tickers": value for name, value in tickers.items()}}


class Books:
    """Rows of a book by number; levels are looked up on demand."""

    def __init__(self, day: InMemoryDay) -> None:
        frame = day.books
        self.numbers: list[int] = frame["sequence_number"].to_list()
        self.times: list[int] = frame["origin_time"].to_list()
        self.flags: list[int] = frame["flags"].to_list()
        self.known = list(
            zip(frame["known_bid_levels"].to_list(), frame["known_ask_levels"].to_list(), strict=True)
        )
        self._levels: list[list[list[list[int | None]]]] = [
            [
                [frame[f"{side}_{level}_{what}_pips"].to_list() for what in ("price", "size")]
                for level in range(DEPTH)
            ]
            for side in ("bid", "ask")
        ]

    def sides(self, row: int, depth: int = DEPTH) -> Sides:
        """Return the levels of a row that exist, bids and asks."""
        found: list[Side] = []
        for side in self._levels:
            levels: Side = []
            for prices, sizes in side[:depth]:
                price, size = prices[row], sizes[row]
                if price is not None and size is not None:
                    levels.append((price, size))
            found.append(levels)
        return found[0], found[1]

    def first_seed(self) -> int | None:
        """Return the sequence number of the first seeded row; None where there is none."""
        return next((n for n, f in zip(self.numbers, self.flags, strict=True) if f & BookFlag.SEEDED), None)

    def forward(self) -> list[int]:
        """Return the numbers of the rows that do not go back behind an earlier one."""
        rows, latest = [], -1
        for row, number in enumerate(self.numbers):
            if number >= latest:
                rows.append(row)
                latest = number
        return rows


@lru_cache(maxsize=2)
def books_of(day: InMemoryDay) -> Books:
    """Return the rows of the book of a day."""
    return Books(day)


@lru_cache(maxsize=2)
def snapshot_pairs(day: InMemoryDay) -> list[Pair]:
    """Return held-out snapshots, each with the last book row whose number is not above its own."""
    books = books_of(day)
    rows = books.forward()
    numbers = [books.numbers[row] for row in rows]
    first, last = books.first_seed(), int(day.messages.max())
    used, latest = set(day.used["sequence_number"].to_list()), -1
    pairs = []
    for snapshot in day.snapshots.iter_rows(named=True):
        number, before = snapshot["sequence_number"], latest
        latest = max(latest, number)
        if number in used or number < before or first is None or not first <= number <= last:
            continue
        at = bisect_right(numbers, number) - 1
        if at >= 0:
            bids, asks = (
                list(zip(snapshot[f"{side}_price_pips"], snapshot[f"{side}_size_pips"], strict=True))[:DEPTH]
                for side in ("bid", "ask")
            )
            row = rows[at]
            pairs.append(Pair(snapshot["origin_time"], row, books.known[row], books.sides(row), (bids, asks)))
    return pairs


def ticker_pairs(day: InMemoryDay) -> list[Pair]:
    """Return book rows from the seed to the last ticker, each with the last ticker whose number is not above it."""
    books = books_of(day)
    first = books.first_seed()
    tickers = list(day.tickers.sort("sequence_number", maintain_order=True).iter_rows(named=True))
    numbers = [ticker["sequence_number"] for ticker in tickers]
    pairs = []
    for row in books.forward():
        number = books.numbers[row]
        at = bisect_right(numbers, number) - 1
        if first is None or number < first or at < 0 or number > numbers[-1]:
            continue
        bids, asks = (
            [(tickers[at][f"{side}_price_pips"], tickers[at][f"{side}_size_pips"])] for side in ("bid", "ask")
        )
        pairs.append(Pair(books.times[row], row, books.known[row], books.sides(row, 1), (bids, asks)))
    return pairs


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _count(part: int, whole: int) -> float | None:
    """Return a count; None where there was nothing to count."""
    return float(part) if whole else None


def best_price_figures(pairs: Sequence[Pair], tick: int) -> dict[str, float | None]:
    """Return the figures of best prices, `bbo_*`; a tick has `tick` pips."""
    exact = sum(all(ours[:1] == theirs[:1] for ours, theirs in _both(pair)) for pair in pairs)
    both = sum(min(pair.known) >= 1 for pair in pairs)
    found = {"bbo_exact_seq": _share(exact, len(pairs)), "bbo_known_share": _share(both, len(pairs))}
    for side, name in enumerate(("bid", "ask")):
        errors_pips = [
            pair.book[side][0][0] - pair.reference[side][0][0]
            for pair in pairs
            if pair.known[side] >= 1 and pair.book[side] and pair.reference[side]
        ]
        found[f"bbo_rms_seq_{name}"] = rms(errors_pips) / tick if errors_pips else None
    return found


def rms(values: Sequence[int]) -> float:
    """Return the root mean square of values."""
    return math.sqrt(sum(value * value for value in values) / len(values))


def _both(pair: Pair) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
    """Return the bids of book and reference, and the asks of both."""
    return (pair.book[0], pair.reference[0]), (pair.book[1], pair.reference[1])


def level_figures(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Return the figures of all levels, `topk_*`, by sets of prices."""
    exact = known = right = looked = missing = claimed = ghosts = 0
    for pair in pairs:
        equal, knows_all = pair.book == pair.reference, min(pair.known) >= DEPTH
        exact, known, right = exact + equal, known + knows_all, right + (equal and knows_all)
        for side, (ours, theirs) in enumerate(_both(pair)):
            sign = 1 if side else -1
            mine = [price * sign for price, _ in ours[: pair.known[side]]]
            wanted = [price * sign for price, _ in theirs]
            inside = [price for price in wanted if mine and price <= mine[-1]]
            judged = [price for price in mine if len(wanted) < DEPTH or price <= wanted[-1]]
            looked, missing = looked + len(inside), missing + len(set(inside) - set(mine))
            claimed, ghosts = claimed + len(judged), ghosts + len(set(judged) - set(wanted))
    return {
        "topk_exact": _share(right, known),
        "topk_missing": _share(missing, looked),
        "topk_ghost": _share(ghosts, claimed),
        "topk_known_share": _share(known, len(pairs)),
        "topk_exact_all": _share(exact, len(pairs)),
    }


def size_correlations(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Return `depth_*`: the lowest correlation and the highest `l1` of all levels, None if a level has no figure."""
    found: dict[str, list[float | None]] = {name: [] for name in _DEPTH}
    for side in range(2):
        for level in range(DEPTH):
            sizes = [
                (pair.book[side][level][1], pair.reference[side][level][1])
                if level < min(pair.known[side], len(pair.book[side]), len(pair.reference[side]))
                else None
                for pair in pairs
            ]
            for name, value in _level(sizes).items():
                found[name].append(value)
    return {
        name: None if None in values else _DEPTH[name](value for value in values if value is not None)
        for name, values in found.items()
    }


_DEPTH: dict[str, Callable[[Iterable[float]], float]] = {
    "depth_corr_pearson": min,
    "depth_corr_spearman": min,
    "depth_l1": max,
    "depth_corr_pearson_detrended": min,
    "depth_corr_spearman_detrended": min,
}


def _level(sizes: Sequence[tuple[int, int] | None]) -> dict[str, float | None]:
    """Return the figures of one level from its sizes in book and reference; a pair that is not compared is None."""
    both = [pair for pair in sizes if pair is not None]
    ours, theirs = [mine for mine, _ in both], [other for _, other in both]
    steps = [(before, after) for before, after in pairwise(sizes) if before and after]
    return {
        "depth_corr_pearson": _pearson([math.log1p(v) for v in ours], [math.log1p(v) for v in theirs]),
        "depth_corr_spearman": _pearson(_ranks(ours), _ranks(theirs)),
        "depth_l1": _share(sum(abs(mine - other) for mine, other in both), sum(theirs)),
        "depth_corr_pearson_detrended": _pearson(
            *([math.log1p(after[of]) - math.log1p(before[of]) for before, after in steps] for of in range(2))
        ),
        "depth_corr_spearman_detrended": _pearson(
            *(_ranks([after[of] - before[of] for before, after in steps]) for of in range(2))
        ),
    }


def _pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    if len(x) < 2 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    xy = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    xx, yy = math.fsum((a - mean_x) ** 2 for a in x), math.fsum((b - mean_y) ** 2 for b in y)
    return xy / math.sqrt(xx * yy)


def _ranks(values: Sequence[int]) -> list[float]:
    """Return the ranks of values from 1; equal values have the average of their ranks."""
    ordered = sorted(values)
    places = {
        value: (bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2 for value in set(values)
    }
    return [places[value] for value in values]


_DOUBLING = 32
_TICK_EDGES = [*range(64), *(part << more for more in range(1, 31) for part in range(32, 64)), 1 << 36]
_SIZE_EDGES = [2.0**octave * (1 + part / _DOUBLING) for octave in range(-34, 64) for part in range(_DOUBLING)]
_NOTHING = 1 << 62
"""The bin of states that have no value, behind all others."""


def _spread(sides: Sides, tick: int) -> int:
    bids, asks = sides
    if not bids or not asks:
        return _NOTHING
    ticks = (asks[0][0] - bids[0][0]) // tick
    edge = bisect_right(_TICK_EDGES, abs(ticks)) - 1
    return edge if ticks >= 0 else -edge


def _log_size(side: Side) -> int:
    return bisect_right(_SIZE_EDGES, side[0][1]) - 1 if side and side[0][1] else _NOTHING


def _imbalance(sides: Sides, levels: int) -> int:
    bids, asks = (sum(size for _, size in side[:levels]) for side in sides)
    return int(((bids - asks) / (bids + asks) + 1) * 256) if bids + asks else _NOTHING


def state_distances(pairs: Sequence[Pair], tick: int) -> dict[str, float | None]:
    """Return `ks_*`: states in the bins of the format document, each weighed by the time until the next pair."""
    states: dict[str, tuple[tuple[int, int], Callable[[Sides], int]]] = {
        "spread": ((1, 1), lambda sides: _spread(sides, tick)),
        "log_q_bid": ((1, 0), lambda sides: _log_size(sides[0])),
        "log_q_ask": ((0, 1), lambda sides: _log_size(sides[1])),
        "qi_1": ((1, 1), lambda sides: _imbalance(sides, 1)),
        "qi_5": ((5, 5), lambda sides: _imbalance(sides, 5)),
    }
    found = {}
    for name, (needed, state) in states.items():
        apart: dict[int, int] = {}
        total = 0
        for pair, following in pairwise(pairs):
            if all(known >= least for known, least in zip(pair.known, needed, strict=True)):
                weight = following.time_ns - pair.time_ns
                total += weight
                for sides, sign in ((pair.book, 1), (pair.reference, -1)):
                    place = state(sides)
                    apart[place] = apart.get(place, 0) + sign * weight
        ahead = largest = 0
        for place in sorted(apart):
            ahead += apart[place]
            largest = max(largest, abs(ahead))
        found[f"ks_{name}"] = _share(largest, total)
    return found


def book_figures(day: InMemoryDay) -> dict[str, float | None]:
    """Return the figures that need no value of a reference."""
    books = books_of(day)
    first = books.first_seed()
    start = next((row for row, flag in enumerate(books.flags) if flag & BookFlag.SEEDED), len(books.flags))
    crossed = span = 0
    for row in range(start, len(books.flags) - 1):
        held = max(0, books.times[row + 1] - books.times[row])
        bids, asks = books.sides(row, 1)
        span += held
        crossed += held * bool(bids and asks and bids[0][0] > asks[0][0])
    messages = set(day.messages.tolist())
    numbers = day.snapshots["sequence_number"].to_list()
    unseen = sum(number not in messages for number in numbers if first is not None and number >= first)
    return {
        "crossed_tw": _share(crossed, span),
        "resyncs": _count(day.used["use"].to_list().count("repaired"), len(day.used)),
        "unseen_references": _count(unseen, sum(first is not None and number >= first for number in numbers)),
        "out_of_order_rows": _count(len(books.numbers) - len(books.forward()), len(books.numbers)),
    }
