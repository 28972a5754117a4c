"""Known defects to be put into a sound day, with the gates that each makes fail and figures that follow from it.

Every gate needs a defect that makes it fail. Figures are worked out from the sound day and the way in which the defect
was put in alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.schema import level_columns
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.fidelity.self_test.oracle import DEPTH, Pair, rms, snapshot_pairs

Figures = Mapping[str, float]
_SIDES = ("bid", "ask")


@dataclass(frozen=True, slots=True)
class Defect:
    """One way for a day to be wrong.

    `words` say what is done to the day, and `put` does it. The gates in `fails` must fail then; `figures` follow from
    the sound day and the way in which the defect was put in.
    """

    name: str
    words: str
    put: Callable[[InMemoryDay], InMemoryDay]
    fails: tuple[str, ...] = ()
    figures: Callable[[InMemoryDay], Figures] = lambda _: {}


def _every(step: int, offset: int = 0) -> pl.Expr:
    """Return a condition that holds in every n-th row."""
    return pl.int_range(pl.len()) % step == offset


def _hit(day: InMemoryDay, rows: pl.Expr) -> list[Pair]:
    """Return the compared pairs whose book row is among the chosen ones."""
    chosen = day.books.select(hit=rows)["hit"].to_list()
    return [pair for pair in snapshot_pairs(day) if chosen[pair.row]]


def _only(rows: pl.Expr, columns: Iterable[pl.Expr]) -> list[pl.Expr]:
    """Return columns that are changed in the chosen rows; each has the name of the column that it replaces."""
    return [
        pl.when(rows).then(column).otherwise(pl.col(name)).alias(name)
        for column in columns
        for name in (column.meta.output_name(),)
    ]


def _moved(side: str, places: Iterable[int], by: int) -> list[pl.Expr]:
    """Return places of a side that show the level so many places behind; what lies behind the last one is empty."""
    return [
        (pl.col(f"{side}_{place + by}_{what}_pips") if place + by < DEPTH else pl.lit(None, pl.Int64)).alias(
            f"{side}_{place}_{what}_pips"
        )
        for place in places
        for what in ("price", "size")
    ]


def _without(side: str, level: int) -> list[pl.Expr]:
    """Return the levels of a side without one of them: those behind move up, and the last place is empty."""
    return _moved(side, range(level, DEPTH), 1)


def _with(side: str, level: int, price: pl.Expr, size: int) -> list[pl.Expr]:
    """Return the levels of a side with one inserted before `level`: those behind move back, and the last is lost."""
    added = (
        price.alias(f"{side}_{level}_price_pips"),
        pl.lit(size, pl.Int64).alias(f"{side}_{level}_size_pips"),
    )
    return [*added, *_moved(side, range(level + 1, DEPTH), -1)]


# Ghosts: a bid a tick behind the third level, wherever that tick is free.
_GHOST_STEP = 5


def _ghost_rows(tick: int) -> pl.Expr:
    third, fourth = pl.col("bid_2_price_pips"), pl.col("bid_3_price_pips")
    free = (third - fourth >= 2 * tick).fill_null(value=False)
    return _every(_GHOST_STEP) & free & (pl.col("known_bid_levels") == DEPTH)


def _ghosts(day: InMemoryDay) -> InMemoryDay:
    price = pl.col("bid_2_price_pips") - day.tick_pips
    return replace(
        day, books=day.books.with_columns(_only(_ghost_rows(day.tick_pips), _with("bid", 3, price, 1)))
    )


def _ghost_figures(day: InMemoryDay) -> Figures:
    pairs, hit = snapshot_pairs(day), _hit(day, _ghost_rows(day.tick_pips))
    full = [pair for pair in pairs if min(pair.known) == DEPTH]
    wrong = sum(min(pair.known) == DEPTH for pair in hit)
    return {"topk_ghost": len(hit) / _claimed(pairs), "topk_exact": 1 - wrong / len(full)}


def _claimed(pairs: Iterable[Pair]) -> int:
    """Return the number of levels that a sound book claims to know; a sound reference has exactly these."""
    return sum(sum(pair.known) for pair in pairs)


_HOLE_ROWS = _every(5) & (pl.col("known_ask_levels") == DEPTH)


def _hole(day: InMemoryDay) -> InMemoryDay:
    return replace(day, books=day.books.with_columns(_only(_HOLE_ROWS, _without("ask", 5))))


def _hole_figures(day: InMemoryDay) -> Figures:
    pairs, hit = snapshot_pairs(day), _hit(day, _HOLE_ROWS)
    rows = {pair.row for pair in hit}
    wrong = sum(pair.row in rows or pair.book != pair.reference for pair in pairs)
    return {"topk_missing": len(hit) / _claimed(pairs), "topk_exact_all": 1 - wrong / len(pairs)}


def _no_best_bid(day: InMemoryDay) -> InMemoryDay:
    return replace(day, books=day.books.with_columns(_without("bid", 0)))


def _no_best_bid_figures(day: InMemoryDay) -> Figures:
    """Return the figures: the best bid is as far off as the second bid is from the first."""
    pairs = [pair for pair in snapshot_pairs(day) if pair.known[0] >= 1]
    gaps_pips = [pair.book[0][0][0] - pair.book[0][1][0] for pair in pairs]
    off = rms(gaps_pips) / day.tick_pips
    return {"bbo_rms_seq_bid": off, "bbo_rms_seq_ask": 0.0, "bbo_exact_seq": 0.0, "ks_log_q_ask": 0.0}


_SWAPPED_ROWS = _every(20)


def _swapped(day: InMemoryDay) -> InMemoryDay:
    best = [f"{side}_0_{what}_pips" for side in _SIDES for what in ("price", "size")]
    other = {"bid": "ask", "ask": "bid"}
    turned = [pl.col(other[name[:3]] + name[3:]).alias(name) for name in best]
    return replace(day, books=day.books.with_columns(_only(_SWAPPED_ROWS, turned)))


def _swapped_figures(day: InMemoryDay) -> Figures:
    """Return the figures: each side is off by the spread in the swapped rows, and right in the others."""
    pairs = snapshot_pairs(day)
    hit = {pair.row for pair in _hit(day, _SWAPPED_ROWS)}
    found = {"bbo_exact_seq": 1 - sum(pair.row in hit for pair in pairs) / len(pairs)}
    for side, name in enumerate(_SIDES):
        errors_pips = [
            (pair.book[1][0][0] - pair.book[0][0][0]) * (pair.row in hit)
            for pair in pairs
            if pair.known[side] >= 1
        ]
        found[f"bbo_rms_seq_{name}"] = rms(errors_pips) / day.tick_pips
    return found


def _stale(day: InMemoryDay) -> InMemoryDay:
    columns = list(level_columns(DEPTH))
    return replace(day, books=day.books.with_columns(pl.col(columns).shift(1).fill_null(strategy="backward")))


def _stale_figures(day: InMemoryDay) -> Figures:
    """Return the figures: a row is right only where the row before had the same best prices and sizes."""
    best = [f"{side}_0_{what}_pips" for side in _SIDES for what in ("price", "size")]
    rows = day.books.select(best).rows()
    pairs = snapshot_pairs(day)
    stale = sum(rows[pair.row] != rows[max(pair.row - 1, 0)] for pair in pairs)
    return {"bbo_exact_seq": 1 - stale / len(pairs)}


def _one_tick_off(day: InMemoryDay) -> InMemoryDay:
    prices = [f"ask_{level}_price_pips" for level in range(DEPTH)]
    return replace(day, books=day.books.with_columns(pl.col(prices) + day.tick_pips))


def _resized(day: InMemoryDay, side: str, factor: Callable[[pl.Expr], pl.Expr]) -> InMemoryDay:
    sizes = [f"{side}_{level}_size_pips" for level in range(DEPTH)]
    return replace(day, books=day.books.with_columns(factor(pl.col(name)) for name in sizes))


def _noisy(day: InMemoryDay) -> InMemoryDay:
    """Multiply all sizes by one to eight, at random."""
    random = np.random.default_rng(1)
    factors = {
        name: pl.Series(random.integers(1, 9, len(day.books)))
        for name in level_columns(DEPTH)
        if "_size_" in name
    }
    return replace(
        day, books=day.books.with_columns(pl.col(name) * series for name, series in factors.items())
    )


def _unclaimed(day: InMemoryDay) -> InMemoryDay:
    return replace(day, books=day.books.with_columns(known_ask_levels=pl.lit(0, pl.UInt8)))


def _short(day: InMemoryDay) -> InMemoryDay:
    """Cut the book to ten levels a side, which it knows."""
    claims = [pl.min_horizontal(pl.col(f"known_{side}_levels"), pl.lit(10, pl.UInt8)) for side in _SIDES]
    beyond = [name for name in level_columns(DEPTH) if int(name.split("_")[1]) >= 10]
    cut = [pl.lit(None, pl.Int64).alias(name) for name in beyond]
    return replace(day, books=day.books.with_columns(*claims, *cut))


_SWAP_STEP = 500


def _disordered(day: InMemoryDay) -> InMemoryDay:
    """Exchange every 500th row with the next one."""
    order = np.arange(len(day.books))
    first = np.arange(_SWAP_STEP, len(order) - 1, _SWAP_STEP)
    order[first], order[first + 1] = first + 1, first
    return replace(day, books=day.books[order.tolist()])


def _disorder_figures(day: InMemoryDay) -> Figures:
    return {"out_of_order_rows": float(len(range(_SWAP_STEP, len(day.books) - 1, _SWAP_STEP)))}


def _frozen(day: InMemoryDay) -> InMemoryDay:
    """Let book and snapshots stand still at the first pair of them, and the known levels too."""
    pair = snapshot_pairs(day)[0]
    held = [*level_columns(DEPTH), "known_bid_levels", "known_ask_levels"]
    values = day.books[pair.row].select(held)
    books = day.books.with_columns(
        pl.lit(values[name][0], day.books.schema[name]).alias(name) for name in held
    )
    levels = [f"{side}_{what}_pips" for side in _SIDES for what in ("price", "size")]
    first = day.snapshots.filter(pl.col("origin_time") == pair.time_ns)[0]
    repeated = pl.concat([first.select(levels)] * len(day.snapshots))
    snapshots = day.snapshots.drop(levels).hstack(repeated).select(day.snapshots.columns)
    return replace(day, books=books, snapshots=snapshots)


def _clock_shift(day: InMemoryDay) -> InMemoryDay:
    times = pl.col("origin_time", "received_time") + NS_PER_SECOND
    return replace(day, books=day.books.with_columns(times))


def _trades_off(day: InMemoryDay) -> InMemoryDay:
    return replace(day, trades=day.trades.with_columns(pl.col("price_pips") + 100_000 * day.tick_pips))


DEFECTS = (
    Defect("ghosts", "a bid that nobody has behind the third, in up to every 5th row", _ghosts,
           ("topk_ghost", "topk_exact"), _ghost_figures),
    Defect("hole", "the sixth ask missing in every 5th row", _hole,
           ("topk_missing", "topk_exact", "topk_exact_all"), _hole_figures),
    Defect("no best bid", "the best bid missing in every row", _no_best_bid,
           ("bbo_exact_seq", "bbo_rms_seq_bid", "ks_spread", "ks_log_q_bid", "ks_qi_1", "ks_qi_5"),
           _no_best_bid_figures),
    Defect("swapped", "best bid and best ask exchanged in every 20th row", _swapped,
           ("bbo_exact_seq", "bbo_rms_seq_bid", "bbo_rms_seq_ask", "crossed_tw"), _swapped_figures),
    Defect("stale", "every row shows the levels of the row before", _stale,
           ("bbo_exact_seq", "bbo_rms_seq_bid", "bbo_rms_seq_ask", "topk_exact"), _stale_figures),
    Defect("one tick", "every ask a tick too high", _one_tick_off,
           ("bbo_exact_seq", "bbo_rms_seq_ask", "topk_missing", "topk_ghost", "ks_spread"),
           lambda _: {"bbo_rms_seq_ask": 1.0, "bbo_rms_seq_bid": 0.0, "bbo_exact_seq": 0.0, "topk_exact": 0.0}),
    Defect("noise", "every size multiplied by one to eight at random", _noisy,
           ("depth_corr_pearson", "depth_corr_spearman", "topk_exact", "ks_log_q_bid", "ks_log_q_ask"),
           lambda _: {"bbo_rms_seq_bid": 0.0, "bbo_rms_seq_ask": 0.0, "topk_ghost": 0.0, "topk_missing": 0.0}),
    Defect("half bids", "every bid half as large", lambda day: _resized(day, "bid", lambda size: size // 2),
           ("bbo_exact_seq", "ks_log_q_bid", "ks_qi_1", "ks_qi_5"),
           lambda _: {"topk_exact": 0.0, "ks_log_q_ask": 0.0, "ks_spread": 0.0}),
    Defect("double asks", "every ask twice as large", lambda day: _resized(day, "ask", lambda size: size * 2),
           ("bbo_exact_seq", "ks_log_q_ask", "ks_qi_1", "ks_qi_5"),
           lambda _: {"topk_exact": 0.0, "ks_log_q_bid": 0.0, "depth_corr_spearman": 1.0}),
    Defect("unclaimed", "no ask is claimed to be known", _unclaimed,
           ("bbo_known_share", "bbo_rms_seq_ask", "topk_known_share", "topk_exact", "ks_log_q_ask"),
           lambda _: {"bbo_known_share": 0.0, "topk_known_share": 0.0, "bbo_exact_seq": 1.0}),
    Defect("short", "ten levels a side instead of twenty", _short,
           ("topk_known_share", "topk_exact_all"),
           lambda _: {"topk_known_share": 0.0, "topk_exact_all": 0.0, "topk_missing": 0.0, "topk_ghost": 0.0}),
    Defect("disorder", "every 500th row exchanged with the next", _disordered, ("out_of_order_rows",),
           _disorder_figures),
    Defect("frozen", "book and snapshots stand still all day", _frozen, ("placebo_fails", "depth_corr_pearson"),
           lambda _: {"bbo_exact_seq": 1.0}),
    Defect("clock shift", "all times of the book a second late", _clock_shift, (),
           lambda _: {"bbo_exact_seq": 1.0, "topk_exact": 1.0}),
    Defect("trades off", "all trades 100,000 ticks above their price", _trades_off),
)  # fmt: skip
