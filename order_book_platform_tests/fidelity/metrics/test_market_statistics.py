"""The statistics of returns and trade sizes against their definitions in plain Python."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.reader import BookHeads, from_seed
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.fidelity.metrics.market_statistics import (
    SecondClock,
    autocorrelation,
    hill,
    kurtosis,
    largest_sizes,
    return_metrics,
    trade_metrics,
)
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.decimal128 import decimal_array, multiply
from order_book_platform.storage import ParquetRows

floats = st.lists(st.floats(-5, 5).map(lambda value: round(value, 3)), max_size=25)


@given(floats)
def test_kurtosis_is_its_definition(values: list[float]) -> None:
    """The mean fourth power of the deviations over the square of the mean second one."""
    found = kurtosis(np.array(values))
    if len(set(values)) < 2:
        assert found is None
        return
    mean = statistics.fmean(values)
    second, fourth = (statistics.fmean((value - mean) ** power for value in values) for power in (2, 4))
    assert found == pytest.approx(fourth / second**2)


def test_kurtosis_of_a_normal_law_is_three() -> None:
    """And that of a coin is one."""
    assert kurtosis(np.random.default_rng(2).normal(size=200_000)) == pytest.approx(3.0, abs=0.05)
    assert kurtosis(np.array([1.0, -1.0] * 50)) == 1.0


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=20), st.integers(1, 4))
def test_autocorrelation_is_its_definition(values: list[int | None], lag: int) -> None:
    """Pairs that are both known, deviations from the mean of all that are known, over their variance."""
    found, n = autocorrelation(np.array([np.nan if v is None else v for v in values], float), lag)
    known = [value for value in values if value is not None]
    pairs = [(a, b) for a, b in zip(values, values[lag:], strict=False) if a is not None and b is not None]
    assert n == len(pairs)
    if len(set(known)) < 2 or not pairs:
        assert found is None
        return
    mean = statistics.fmean(known)
    wanted = statistics.fmean((a - mean) * (b - mean) for a, b in pairs) / statistics.pvariance(known)
    assert found == pytest.approx(wanted, abs=1e-12)


def test_clustered_volatility_shows() -> None:
    """Calm and wild minutes in turn correlate; the same returns shuffled do not."""
    random = np.random.default_rng(5)
    scale = np.repeat(np.tile([0.1, 3.0], 40), 60)
    returns = random.normal(size=len(scale)) * scale
    assert autocorrelation(returns**2, 1)[0] > 0.15
    assert abs(autocorrelation(random.permutation(returns) ** 2, 1)[0]) < 0.06


@given(st.lists(st.integers(1, 1_000), min_size=2, max_size=30))
def test_the_tail_index_is_its_definition(values: list[int]) -> None:
    """K over the sum of logs of the k largest over the next one."""
    found = hill(np.array(values, float))
    smallest = min(values)
    logs = sum(math.log(value / smallest) for value in values)
    assert found == (None if len(set(values)) == 1 else pytest.approx((len(values) - 1) / logs))


@given(st.lists(st.integers(1, 10**10), min_size=2, max_size=40), st.integers(1, 10**5), st.randoms())
def test_the_tail_index_is_the_same_in_any_unit(values: list[int], unit: int, random: random.Random) -> None:
    """To the last bit, and in any order: pips and decimals of a day have one index."""
    shuffled = random.sample(values, len(values))
    assert hill(np.array(values, float)) == hill(np.array(shuffled, float) * unit)


def test_a_pareto_tail_is_found(tmp_path: Path) -> None:
    """Sizes drawn with index 1.5, in pips or in decimals, in whatever batches: the estimate is near; n is the tail."""
    sizes = (1_000 * np.random.default_rng(6).pareto(1.5, 60_000) + 1_000).astype(np.int64)
    files, found = {}, []
    for name, column in (
        ("size_pips", pa.array(sizes)),
        ("size", decimal_array(multiply(sizes, 10**10))),
    ):
        pq.write_table(pa.table({name: column}), tmp_path / name, row_group_size=7_000)
        files[name] = ParquetRows([tmp_path / name])
        (metric,) = trade_metrics(files[name])
        assert metric.n == 600
        assert metric.value == pytest.approx(1.5, abs=0.15)
        assert metric.gate is None
        found.append(metric.value)
    assert found[0] == found[1]
    largest = np.sort(largest_sizes(files["size_pips"], 601))
    assert largest.tolist() == sorted(sizes.tolist())[-601:]


def test_too_few_trades_have_no_tail(tmp_path: Path) -> None:
    """Below ten trades in the tail there is no figure, and n says how many there are."""
    pq.write_table(pa.table({"size_pips": pa.array(range(1, 900))}), tmp_path / "t")
    (metric,) = trade_metrics(ParquetRows([tmp_path / "t"]))
    assert (metric.value, metric.n) == (None, 8)
    assert {field.name for field in TRADES_SCHEMA if field.name.startswith("size")} == {"size_pips"}


book_rows = st.lists(
    st.tuples(
        st.integers(-700, 1_500),
        st.sampled_from([0, int(BookFlag.SEEDED)]),
        st.one_of(st.just(MISSING_PIPS), st.integers(10, 13)),
        st.one_of(st.just(MISSING_PIPS), st.integers(12, 15)),
    ),
    max_size=15,
)


@given(book_rows, st.integers(0, 15))
def test_returns_are_those_of_a_clock_that_ticks(rows: list[tuple[int, int, int, int]], cut: int) -> None:
    """At each second's end the last row's mid, from the first seeded row on; crossed or one-sided is unknown.

    Time that runs backwards stands still.
    """
    times = list(itertools.accumulate((row[0] for row in rows), initial=9_000))[1:]
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [
        np.zeros(0, np.int64)
    ] * 4
    heads = BookHeads(
        *(np.arange(len(rows)), np.array(times, np.int64) * (NS_PER_SECOND // 1_000)),
        *(columns[1].astype(np.uint8), np.stack(columns[2:], 1)),
    )
    clock = SecondClock()
    for part in from_seed(heads.take(part) for part in (slice(0, cut), slice(cut, None))):
        clock.add(part)
    first = next((at for at, row in enumerate(rows) if row[1]), None)
    mids: list[float | None] = []
    if first is not None:
        held = list(itertools.accumulate(times[first:], max))
        for second in range(held[0] // 1_000, held[-1] // 1_000 + 1):
            last = max(first + at for at, time in enumerate(held) if time < (second + 1) * 1_000)
            _, _, bid, ask = rows[last]
            mids.append((bid + ask) / 2 if MISSING_PIPS not in (bid, ask) and bid <= ask else None)
    wanted = [None if None in pair else math.log(pair[1] / pair[0]) for pair in itertools.pairwise(mids)]
    found = [None if math.isnan(value) else value for value in clock.returns().tolist()]
    assert found == [value if value is None else pytest.approx(value, abs=1e-12) for value in wanted]


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10)), max_size=20), st.integers(1, 10**6))
def test_returns_are_the_same_in_any_unit(prices: list[tuple[int, int]], unit: int) -> None:
    """To the last bit: pips and decimals of a day have one kurtosis."""
    rows = np.array(prices, np.int64).reshape(-1, 2).cumsum(axis=1)
    seconds = np.arange(len(rows)) * NS_PER_SECOND
    flags = np.full(len(rows), int(BookFlag.SEEDED), np.uint8)
    found = []
    for factor in (1, unit):
        clock = SecondClock()
        clock.add(BookHeads(seconds, seconds, flags, rows * factor))
        found.append(clock.returns().tolist())
    assert found[0] == found[1]


def test_returns_make_metrics_without_gates() -> None:
    """Kurtosis and ten lags, each with how many stand behind it; an empty book has none."""
    clock = SecondClock()
    empty = {metric.name: metric for metric in return_metrics(clock)}
    assert list(empty) == ["kurtosis", *(f"vol_clustering_{lag}" for lag in range(1, 11))]
    assert {(metric.value, metric.n, metric.gate) for metric in empty.values()} == {(None, 0, None)}
    times = np.arange(60) * NS_PER_SECOND
    bid = 1_000 + np.random.default_rng(1).integers(0, 9, 60)
    flags = np.full(60, int(BookFlag.SEEDED), np.uint8)
    clock.add(BookHeads(np.arange(60), times, flags, np.stack([bid, bid + 2], 1)))
    full = {metric.name: metric for metric in return_metrics(clock)}
    assert (full["kurtosis"].n, full["vol_clustering_1"].n, full["vol_clustering_10"].n) == (59, 58, 49)
    assert full["kurtosis"].value == pytest.approx(kurtosis(clock.returns()))
