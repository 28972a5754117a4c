"""Best prices by time: streams however cut, clocks that are there or not, and books that must fail."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.reconstructed_books.reader import BestRows
from order_book_platform.datasets.reconstructed_books.schema import books_schema, level_columns
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TickerRows
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.fidelity.metrics.clock_comparison import (
    ClockComparison,
    by_transaction_time,
    shared_clock,
    transaction_times,
)
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS
from order_book_platform.model import BookFlag, Severity
from order_book_platform.model.arrays import DEPTH
from order_book_platform.storage import DataStore, ParquetRows
from order_book_platform_tests.fidelity.damage import metrics_by_gate
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    POINT,
    exact_tickers,
    measure,
    publish,
    publish_books,
)
from order_book_platform_tests.oracle import OracleReplay

S = NS_PER_SECOND
TICK = 10

events = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-3, 3), st.integers(0, 4), st.integers(1, 2), st.booleans()),
    max_size=20,
).map(lambda drawn: sorted(drawn, key=lambda event: event[0]))
cuts = st.lists(st.integers(0, 20), max_size=3).map(sorted)


def pieces(count: int, edges: list[int]) -> Iterator[slice]:
    """Consecutive slices of `count` rows that are not empty."""
    bounds = [0, *(min(edge, count) for edge in edges), count]
    return (slice(*pair) for pair in itertools.pairwise(bounds) if pair[0] < pair[1])


def columns(drawn: list[tuple[int, int, int, int, bool]]) -> tuple[np.ndarray, ...]:
    """Clock in quarters of a second, jittered so that it goes back; arrival, price and size of both sides, claims."""
    found = np.array(drawn, dtype=np.int64).reshape(-1, 5)
    price = 1_000 + TICK * np.stack([found[:, 2], found[:, 2] + 1], 1)
    size = np.stack([found[:, 3], np.ones(len(found), np.int64)], 1)
    return (found[:, 0] + found[:, 1]) * S // 4, found[:, 0] * S // 4, price, size, found[:, 4:]


def books(drawn: list[tuple[int, int, int, int, bool]], edges: list[int]) -> Iterator[BestRows]:
    """Book rows in pieces."""
    clock, arrival, price, size, claims = columns(drawn)
    known = np.repeat(claims, 2, axis=1).astype(np.uint8)
    whole = BestRows(np.arange(len(drawn)), clock, arrival, known, price, size)
    return (whole.take(piece) for piece in pieces(len(drawn), edges))


def tickers(drawn: list[tuple[int, int, int, int, bool]], edges: list[int]) -> Iterator[TickerRows]:
    """Tickers in pieces."""
    clock, arrival, price, size, _ = columns(drawn)
    whole = TickerRows(np.arange(len(drawn)), clock, price[:, :, None], size[:, :, None], arrival)
    return (whole.take(piece) for piece in pieces(len(drawn), edges))


def raised(times: np.ndarray) -> list[int]:
    """Times that never fall."""
    return list(itertools.accumulate(times.tolist(), max))


def naive(
    ours: list[tuple[int, int, int, int, bool]],
    theirs: list[tuple[int, int, int, int, bool]],
    at: int,
    shift: int,
) -> dict[str, object]:
    """Figures by clock (0) or arrival (1), row by row."""
    book, ticker = columns(ours), columns(theirs)
    book_times, ticker_times = raised(book[at]), [time - shift for time in raised(ticker[at])]
    pairs = [
        (row, max(j for j, other in enumerate(ticker_times) if other <= time))
        for row, time in enumerate(book_times)
        if ticker_times and ticker_times[0] <= time <= ticker_times[-1]
    ]
    prices = [(book[2][i].tolist(), ticker[2][j].tolist()) for i, j in pairs]
    sizes = [(book[3][i].tolist(), ticker[3][j].tolist()) for i, j in pairs]
    errors = [(a[0] - b[0]) / TICK for (a, b), (i, _) in zip(prices, pairs, strict=True) if ours[i][4]]
    n = len(pairs)
    return {
        "n": n,
        "exact": sum(a == b for a, b in prices) / n if n else None,
        "size": sum(p[0] == p[1] and q[0] == q[1] for p, q in zip(prices, sizes, strict=True)) / n
        if n
        else None,
        "rms": math.sqrt(sum(e * e for e in errors) / len(errors)) if errors else None,
    }


@given(events, events, cuts, cuts)
def test_figures_equal_those_of_a_loop_over_all_rows(
    ours: list[tuple[int, int, int, int, bool]],
    theirs: list[tuple[int, int, int, int, bool]],
    our_cuts: list[int],
    their_cuts: list[int],
) -> None:
    """By both clocks and for both placebos, however the streams are cut."""
    evidence = ClockComparison(TICK, "transaction_time")
    evidence.run(books(ours, our_cuts), tickers(theirs, their_cuts))
    found = {metric.name: metric for metric in evidence.metrics(len(ours))}
    for at, clock in enumerate(("time", "arrival")):
        true, *late = (naive(ours, theirs, at, shift) for shift in (0, *PLACEBO_SHIFTS_NS))
        for name, figure in (
            (f"bbo_exact_{clock}", "exact"),
            (f"bbo_exact_{clock}_size", "size"),
            (f"bbo_rms_{clock}_bid", "rms"),
        ):
            assert found[name].value == pytest.approx(true[figure]), name
            assert found[name].placebos == pytest.approx(tuple(each[figure] for each in late)), name
            assert found[name].unmatched == len(ours) - true["n"]
        assert found[f"bbo_exact_{clock}"].n == true["n"]


def test_holding_a_book_is_weighed_by_time() -> None:
    """One tick off for 1 of 4 s is half a tick RMS; what the book does not claim is held like the rest."""
    theirs = TickerRows(
        np.arange(3),
        np.array([0, 3, 4]) * S,
        np.array([[[100], [110]], [[110], [120]], [[110], [120]]]),
        np.ones((3, 2, 1), np.int64),
        np.array([0, 3, 4]) * S,
    )
    ours = BestRows(
        np.arange(2),
        np.array([0, 4]) * S,
        np.array([0, 4]) * S,
        np.zeros((2, 2), np.uint8),
        np.array([[100, 110], [110, 120]]),
        np.ones((2, 2), np.int64),
    )
    evidence = ClockComparison(TICK, "origin_time")
    evidence.run(iter([ours]), iter([theirs]))
    found = {metric.name: metric for metric in evidence.metrics(2)}
    assert found["sampling_rms_tw_bid"].value == 0.5
    assert found["sampling_rms_tw_ask"].value == 0.5
    assert found["sampling_rms_tw_bid"].gate is None
    assert found["bbo_rms_time_bid"].value is None


def parquet(tmp_path: Path, name: str, table: pa.Table) -> ParquetRows:
    """A table as a file."""
    pq.write_table(table, tmp_path / name, row_group_size=3)
    return ParquetRows([tmp_path / name])


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_each_message_has_one_transaction_time(tmp_path: Path, batch: int) -> None:
    """Its first row's, wherever the batches are cut; messages without one are left out, and so are their rows."""
    table = pa.table(
        {
            "sequence_number": [1, 1, 1, 4, 4, 7, 9, 9],
            "transaction_time": pa.array([10, 10, 10, None, None, 12, 11, 11], pa.int64()),
        }
    )
    file = parquet(tmp_path, "deltas.parquet", table)
    parts = list(transaction_times(file, batch))
    numbers = [number for part in parts for number in part.sequence_number.tolist()]
    assert numbers == [1, 7, 9]
    assert [time for part in parts for time in part.time_ns.tolist()] == [10, 12, 11]
    nothing = np.zeros((4, 2), np.int64)
    rows = BestRows(
        np.array([1, 4, 5, 9]), np.arange(4), np.arange(4), nothing.astype(np.uint8), nothing, nothing
    )
    timed = BestRows.concat(list(by_transaction_time(iter([rows]), file)))
    assert timed.sequence_number.tolist() == [1, 9]
    assert timed.time_ns.tolist() == [10, 11]


@pytest.mark.parametrize(
    ("deltas", "transaction", "origin", "clock"),
    [
        ([5, None], [6, 7], [6, 7], "transaction_time"),
        ([None, None], [6, 7], [6, 7], "origin_time"),
        ([5, 5], [6, None], [6, 7], "origin_time"),
        ([5, 5], [None, None], [None, 7], None),
    ],
)
def test_the_best_clock_that_both_streams_carry(
    tmp_path: Path,
    deltas: list[int | None],
    transaction: list[int | None],
    origin: list[int | None],
    clock: str | None,
) -> None:
    """T where both have it, else E, else none."""
    ours = parquet(tmp_path, "d.parquet", pa.table({"transaction_time": pa.array(deltas, pa.int64())}))
    theirs = pa.table(
        {"transaction_time": pa.array(transaction, pa.int64()), "origin_time": pa.array(origin, pa.int64())}
    )
    assert shared_clock(parquet(tmp_path, "t.parquet", theirs), ours) == clock


def with_clock(store: DataStore, replayed: OracleReplay, clock: str | None) -> FidelityResult:
    """Tickers that carry T, E only, or no time of the exchange."""
    table = pl.from_arrow(exact_tickers(replayed))
    if clock == "transaction_time":
        table = table.with_columns(transaction_time="origin_time")
        deltas = pl.from_arrow(store.table("raw_deltas", KEY)).with_columns(transaction_time="origin_time")
        publish(store, "raw_deltas", {"deltas.parquet": deltas.to_arrow().cast(RAW_DELTAS_SCHEMA)})
    elif clock is None:
        table = table.with_columns(origin_time=pl.lit(None, pl.Int64))
    publish(store, "tickers", {"tickers.parquet": table.to_arrow().cast(TICKERS_SCHEMA)})
    return measure(store)


GATED = ("bbo_exact_time_tickers", "bbo_rms_time_bid_tickers", "bbo_rms_time_ask_tickers")


@pytest.mark.parametrize("clock", ["transaction_time", "origin_time"])
def test_a_faithful_book_passes_by_time(store: DataStore, replayed: OracleReplay, clock: str) -> None:
    """Prices and sizes are equal by the exchange's clock and by arrival; the gates count, and their placebos fail."""
    found = metrics_by_gate(with_clock(store, replayed, clock))
    for name in GATED:
        assert found[name].result is not None
        assert found[name].result.passed
        assert found[name].placebo_fails
        assert found[name].alignment == clock
        assert found[name].gate.severity is (Severity.ERROR if clock == "transaction_time" else Severity.WARN)
    assert found["bbo_exact_time_size_tickers"].value == 1.0
    assert found["bbo_exact_arrival_tickers"].value == 1.0
    assert found["bbo_exact_arrival_tickers"].alignment == "received_time"
    assert found["bbo_exact_arrival_tickers"].gate is None
    assert found["placebo_fails"].value == 1.0


@pytest.mark.parametrize("clock", ["transaction_time", "origin_time"])
def test_a_book_that_lags_fails_by_time(store: DataStore, replayed: OracleReplay, clock: str) -> None:
    """Each row shows the prices of 50 messages before: by number and by time it is wrong."""
    levels = pl.col(level_columns(DEPTH)).shift(50).fill_null(strategy="backward")
    rows = pl.from_arrow(replayed.rows).with_columns(levels).to_arrow().cast(books_schema())
    publish_books(store, rows, replayed.used)
    measured = with_clock(store, replayed, clock)
    failed = {gate.name for gate in measured.gates if not gate.passed}
    assert {"bbo_exact_time_tickers", "bbo_exact_seq_tickers"} <= failed


def test_a_size_that_is_wrong_fails_no_gate_by_time(store: DataStore, replayed: OracleReplay) -> None:
    """Sizes are reported by time, as streams of one exchange differ in them; by number they fail."""
    rows = pl.from_arrow(replayed.rows).with_columns(pl.col("bid_0_size_pips") + 1)
    publish_books(store, rows.to_arrow().cast(books_schema()), replayed.used)
    found = metrics_by_gate(with_clock(store, replayed, "transaction_time"))
    assert found["bbo_exact_time_tickers"].value == 1.0
    assert found["bbo_exact_time_size_tickers"].value == 0.0
    assert not found["bbo_exact_seq_tickers"].result.passed


def test_prices_off_by_three_ticks_fail_the_root_mean_square(
    store: DataStore, replayed: OracleReplay
) -> None:
    """One side off: that side's gate fails, the other's holds."""
    rows = pl.from_arrow(replayed.rows).with_columns(pl.col("ask_0_price_pips") + 3 * POINT.tick_pips)
    publish_books(store, rows.to_arrow().cast(books_schema()), replayed.used)
    found = metrics_by_gate(with_clock(store, replayed, "transaction_time"))
    assert found["bbo_rms_time_ask_tickers"].value == 3.0
    assert not found["bbo_rms_time_ask_tickers"].result.passed
    assert found["bbo_rms_time_bid_tickers"].result.passed


def test_without_any_clock_only_arrival_is_measured(store: DataStore, replayed: OracleReplay) -> None:
    """Spot tickers carry no time: the figure is null, says so, and no gate hangs on it."""
    measured = with_clock(store, replayed, None)
    found = metrics_by_gate(measured)
    for name in GATED:
        assert (found[name].value, found[name].n, found[name].gate, found[name].alignment) == (
            None,
            0,
            None,
            "none",
        )
    assert "none of the exchange's times" in found["bbo_exact_time_tickers"].note
    assert found["bbo_exact_arrival_tickers"].value == 1.0
    assert found["sampling_rms_tw_bid_tickers"].alignment == "received_time"
    assert all(gate.passed for gate in measured.gates)


BATCH = 50


def quoted(times: np.ndarray) -> TickerRows:
    """Tickers of one price at these times, by both clocks."""
    levels = np.full((len(times), 2, 1), 100)
    return TickerRows(np.arange(len(times)), times, levels, levels, times)


def booked(times: np.ndarray) -> BestRows:
    """Book rows of one price at these times, by both clocks."""
    levels = np.full((len(times), 2), 100)
    known = np.ones((len(times), 2), np.uint8)
    return BestRows(np.arange(len(times)), times, times, known, levels, levels)


GAP = np.concatenate([np.arange(100), np.arange(4_900, 5_000)])
EVEN = np.arange(5_000)


@pytest.mark.parametrize(
    ("ours", "theirs", "compared"),
    [
        (EVEN[4_900:], EVEN, 100),
        (EVEN, EVEN[4_900:], 100),
        (GAP, EVEN, 200),
        (EVEN, GAP, 5_000),
        (EVEN[:100], EVEN, 100),
        (EVEN, EVEN[:100], 100),
    ],
    ids=["late book", "late tickers", "silent book", "silent tickers", "short book", "short tickers"],
)
def test_no_more_is_held_than_the_streams_differ_by(
    ours: np.ndarray, theirs: np.ndarray, compared: int
) -> None:
    """Where one stream begins late or falls silent, the other one runs past it: a few batches a comparison wait."""
    evidence = ClockComparison(TICK, "transaction_time")
    held = []

    def watched(rows: BestRows | TickerRows) -> Iterator[BestRows | TickerRows]:
        for start in range(0, len(rows), BATCH):
            held.append(evidence.held)
            yield rows.take(slice(start, start + BATCH))

    evidence.run(watched(booked(ours * S)), watched(quoted(theirs * S)))
    found = {metric.name: metric for metric in evidence.metrics(len(ours))}
    assert found["bbo_exact_time"].n == compared
    comparisons = 2 * (1 + len(PLACEBO_SHIFTS_NS))
    assert max(held) <= comparisons * 2 * BATCH


def test_what_is_held_has_its_rows_without_partner_counted() -> None:
    """The weighed figures say as the others do how many book rows no ticker belongs to."""
    evidence = ClockComparison(TICK, "transaction_time")
    evidence.run(iter([booked(EVEN[:10] * S)]), iter([quoted(EVEN[4:8] * S)]))
    found = {metric.name: metric for metric in evidence.metrics(25)}
    for name in ("sampling_rms_tw_bid", "sampling_rms_tw_ask", "bbo_exact_time"):
        assert (found[name].n, found[name].unmatched) == (4, 21)


@pytest.mark.parametrize(
    ("without", "clock"), [(1, "transaction_time"), (10, "transaction_time"), (11, "origin_time")]
)
def test_few_tickers_without_t_do_not_cost_the_clock(tmp_path: Path, without: int, clock: str) -> None:
    """Up to 1 % are left out; more of them, and the streams are compared by E."""
    times = pa.array([None] * without + [5] * (1_000 - without), pa.int64())
    table = pa.table({"transaction_time": times, "origin_time": pa.array([5] * 1_000)})
    deltas = parquet(tmp_path, "d.parquet", pa.table({"transaction_time": [5]}))
    assert shared_clock(parquet(tmp_path, "t.parquet", table), deltas) == clock


def test_one_ticker_without_t_is_left_out_and_counted(store: DataStore, replayed: OracleReplay) -> None:
    """The gates stay errors, pass, and say how many tickers they do without."""
    without = pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("origin_time"))
    with_clock(store, replayed, "transaction_time")
    table = pl.from_arrow(store.table("tickers", KEY)).with_columns(transaction_time=without)
    publish(store, "tickers", {"tickers.parquet": table.to_arrow().cast(TICKERS_SCHEMA)})
    found = metrics_by_gate(measure(store))
    for name in GATED:
        assert found[name].result.passed
        assert found[name].alignment == "transaction_time"
        assert found[name].gate.severity is Severity.ERROR
        assert found[name].note.endswith("Tickers without T, left out: 1.")


def test_one_ticker_with_an_impossible_number_costs_one_ticker(
    store: DataStore, replayed: OracleReplay
) -> None:
    """The perfect book stays faithful, and all its rows after that ticker are still compared."""
    with_clock(store, replayed, "transaction_time")
    table = pl.from_arrow(store.table("tickers", KEY))
    rows = metrics_by_gate(measure(store))["bbo_exact_seq_tickers"].n
    spoiled = pl.when(pl.int_range(pl.len()) == 301).then(2**61).otherwise(pl.col("sequence_number"))
    table = table.with_columns(sequence_number=spoiled)
    publish(store, "tickers", {"tickers.parquet": table.to_arrow().cast(TICKERS_SCHEMA)})
    measured = measure(store)
    assert (measured.references["tickers"].far_off, measured.references["tickers"].bad) == (1, 1)
    assert all(gate.passed for gate in measured.gates)
    assert metrics_by_gate(measured)["bbo_exact_seq_tickers"].n == rows


def test_a_time_before_the_seed_stands_for_those_that_cannot_be(
    store: DataStore, replayed: OracleReplay
) -> None:
    """The first judged rows have no time of the exchange: they have the book's first, maybe before the seed."""
    place = pl.int_range(pl.len())
    rows = pl.from_arrow(replayed.rows).with_columns(
        flags=pl.when(place < 10)
        .then(pl.col("flags") & ~int(BookFlag.SEEDED))
        .otherwise("flags")
        .cast(pl.UInt8)
    )
    found = []
    for stand_in in (0, rows["origin_time"][0]):
        times = pl.when(place.is_between(10, 12)).then(stand_in).otherwise("origin_time")
        books = rows.with_columns(origin_time=times).to_arrow().cast(replayed.rows.schema)
        publish_books(store, books, replayed.used)
        measured = metrics_by_gate(with_clock(store, replayed, "origin_time"))
        found.append([(measured[name].value, measured[name].n, measured[name].placebos) for name in GATED])
    assert found[0] == found[1]
