"""Trades as a reference, however the streams are cut, and what has to fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TRADES_SCHEMA, TradeRows
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.fidelity.metrics.trades_in_range import WINDOW_NS, TradeRange
from order_book_platform.model import Severity
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import KEY, exact_tickers, measure, publish
from order_book_platform_tests.oracle import OracleReplay

S = NS_PER_SECOND
STEP = S // 4

times = st.lists(st.integers(0, 80), max_size=25).map(sorted)
cuts = st.lists(st.integers(0, 25), max_size=4).map(sorted)


def parts(count: int, edges: list[int]) -> Iterator[slice]:
    """Consecutive slices of `count` rows; some are empty."""
    return (slice(*pair) for pair in itertools.pairwise([0, *(min(edge, count) for edge in edges), count]))


def naive(
    books: list[int], traded: list[int], window: int, next_too: bool, step: int
) -> list[tuple[int, int]]:
    """Counted and inside, row by row; prices are functions of the place."""
    found = [[0, 0], [0, 0], [0, 0]]
    for place, time in enumerate(traded):
        before = [at for at, row in enumerate(books) if row <= time - window]
        if not before or time + window > books[-1]:
            continue
        chosen = [at for at, row in enumerate(books) if at >= before[-1] and row <= time + window]
        after = [at for at, row in enumerate(books) if row >= time + window]
        if next_too and after[0] not in chosen:
            chosen.append(after[0])
        lowest, highest = min(bid(at) for at in chosen), max(bid(at) + 2 for at in chosen)
        for column, shift in enumerate((0, S, 10 * S)):
            if shift and place % step:
                continue
            later = (
                place if not shift else next((at for at, t in enumerate(traded) if t >= time + shift), None)
            )
            if later is not None:
                found[column][0] += 1
                found[column][1] += lowest <= price(later) <= highest
    return [tuple(pair) for pair in found]


def bid(place: int) -> int:
    """Best bid of a book row; the best ask is 2 above."""
    return 10 + place * 7 % 11


def price(place: int) -> int:
    """Of a trade."""
    return 10 + place * 5 % 13


@given(times, times, cuts, cuts, st.booleans(), st.integers(1, 4))
def test_counts_do_not_depend_on_how_the_streams_are_cut(
    books: list[int],
    traded: list[int],
    book_cuts: list[int],
    trade_cuts: list[int],
    next_too: bool,
    step: int,
) -> None:
    """All trades are read; those with best prices before and after are judged, as a loop over all of them does."""
    time = np.array(traded, dtype=np.int64) * STEP
    prices = np.array([price(place) for place in range(len(traded))], dtype=np.int64)
    stream = (TradeRows(time[part], prices[part]) for part in parts(len(traded), trade_cuts))
    found = TradeRange(stream, next_too=next_too, window_ns=STEP, step=step)
    row_time = np.array(books, dtype=np.int64) * STEP
    best = np.array([(bid(at), bid(at) + 2) for at in range(len(books))], dtype=np.int64).reshape(-1, 2)
    for part in parts(len(books), book_cuts):
        found.add(row_time[part], best[part])
    found.end()
    assert found.trades == len(traded)
    expected = naive([time * STEP for time in books], [time * STEP for time in traded], STEP, next_too, step)
    assert list(zip(found.counted.tolist(), found.inside.tolist(), strict=True)) == expected


def test_time_that_goes_back_is_raised() -> None:
    """A row told later stands on what was told before, so it counts from then on."""
    trades = TradeRows(np.array([5, 5 + S]), np.array([100, 100]))
    found = TradeRange(iter([trades]), next_too=False, window_ns=0)
    found.add(np.array([0, 5, 3]), np.array([[1, 2], [1, 2], [99, 101]]))
    found.add(np.array([10]), np.array([[1, 2]]))
    found.end()
    assert (found.counted[0], found.inside[0]) == (1, 1)


def trades_at_best(replayed: OracleReplay, *, shift_ns: int = 0, wrong_every: int = 0) -> pa.Table:
    """A trade at the best bid with every row of a book; some at a price far below."""
    rows = pl.from_arrow(replayed.rows)
    off = (
        pl.when(pl.int_range(pl.len()) % wrong_every == 0).then(900).otherwise(0)
        if wrong_every
        else pl.lit(0)
    )
    return (
        rows.select(
            pl.col("origin_time") + shift_ns,
            pl.col("received_time"),
            trade_id=pl.int_range(pl.len()),
            is_buy=pl.lit(value=False),
            price_pips=pl.col("bid_0_price_pips") - off,
            size_pips=pl.lit(1),
        )
        .cast({"trade_id": pl.Int64, "size_pips": pl.Int64})
        .to_arrow()
        .cast(TRADES_SCHEMA)
    )


def measure_trades(
    store: DataStore, replayed: OracleReplay, trades: pa.Table, *, clock: bool = True
) -> FidelityResult:
    """With tickers that carry the book's times as T, or only as E."""
    tickers = exact_tickers(replayed)
    if clock:
        column = tickers.schema.get_field_index("transaction_time")
        tickers = tickers.set_column(column, "transaction_time", tickers["origin_time"]).cast(TICKERS_SCHEMA)
        deltas = store.table("raw_deltas", KEY)
        at = deltas.schema.get_field_index("transaction_time")
        deltas = deltas.set_column(at, deltas.schema.field(at), deltas["origin_time"])
        publish(store, "raw_deltas", {"deltas.parquet": deltas})
    publish(store, "tickers", {"tickers.parquet": tickers})
    publish(store, "trades", {"trades.parquet": trades})
    return measure(store)


def test_trades_inside_pass_and_their_placebos_fail(store: DataStore, replayed: OracleReplay) -> None:
    """Trades at the best price are inside; the prices of 1 s and 10 s later are not, and that is judged."""
    measured = measure_trades(store, replayed, trades_at_best(replayed))
    metrics = {metric.gate_name: metric for metric in measured.metrics}
    of_tickers, of_book = metrics["trade_in_range_tickers"], metrics["trade_in_range"]
    assert (of_tickers.value, of_tickers.alignment) == (1.0, "transaction_time")
    assert of_tickers.n + of_tickers.unmatched == replayed.rows.num_rows
    assert of_tickers.placebo_fails
    assert of_tickers.result is not None
    assert of_tickers.result.passed
    assert (of_book.value, of_book.alignment, of_book.gate) == (1.0, "transaction_time", None)
    assert all(placebo < 0.99 for placebo in of_book.placebos)
    assert metrics["placebo_fails"].value == 1.0


@pytest.mark.parametrize("change", [{"wrong_every": 50}, {"shift_ns": 2 * S}], ids=["far below", "2 s off"])
def test_trades_outside_fail(store: DataStore, replayed: OracleReplay, change: dict[str, int]) -> None:
    """Trades of another market, or of another time, fail the gate."""
    measured = measure_trades(store, replayed, trades_at_best(replayed, **change))
    failed = {gate.name for gate in measured.gates if not gate.passed}
    assert failed == {"trade_in_range_tickers"}


def test_without_transaction_times_the_gate_warns(store: DataStore, replayed: OracleReplay) -> None:
    """By E the bar is no proof against a book; it says so."""
    measured = measure_trades(store, replayed, trades_at_best(replayed, shift_ns=2 * S), clock=False)
    gates = {gate.name: gate for gate in measured.gates}
    assert not gates["trade_in_range_tickers"].passed
    assert gates["trade_in_range_tickers"].severity is Severity.WARN
    assert next(m for m in measured.metrics if m.name == "trade_in_range").alignment == "origin_time"


def test_without_tickers_trades_are_only_reported(store: DataStore, replayed: OracleReplay) -> None:
    """A book made of messages 50 ms apart does not know what was between them, so no gate hangs on it."""
    publish(store, "trades", {"trades.parquet": trades_at_best(replayed, wrong_every=2)})
    measured = measure(store)
    found = next(metric for metric in measured.metrics if metric.name == "trade_in_range")
    assert found.gate is None
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.n + found.unmatched == replayed.rows.num_rows
    assert all(gate.passed for gate in measured.gates)


def test_trades_before_the_seed_have_no_partner(store: DataStore, replayed: OracleReplay) -> None:
    """Before the book is seeded there is nothing to hold them against."""
    publish(store, "trades", {"trades.parquet": trades_at_best(replayed, shift_ns=-20 * S)})
    found = next(m for m in measure(store).metrics if m.name == "trade_in_range")
    first = int(replayed.rows["origin_time"][0].as_py())
    shifted = np.array(replayed.rows["origin_time"]) - 20 * S
    assert found.unmatched == int((shifted < first + WINDOW_NS).sum())
