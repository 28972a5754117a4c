"""Correlations against their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from order_book_platform.fidelity.metrics.size_correlation import (
    SAMPLE_ROWS,
    CorrelationSample,
    LevelCorrelations,
    Sizes,
    correlate_levels,
    sample_step,
)
from order_book_platform.model.arrays import MISSING_PIPS

values = st.lists(st.integers(0, 6), max_size=25)


def plain_ranks(numbers: Sequence[float]) -> list[float]:
    """Position among the sorted, averaged over equals."""
    ordered = sorted(numbers)
    places = {number: [at + 1 for at, other in enumerate(ordered) if other == number] for number in numbers}
    return [sum(places[number]) / len(places[number]) for number in numbers]


def plain_pearson(x: list[float], y: list[float]) -> float | None:
    """Covariance over the product of the deviations."""
    if len(x) < 2 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def correlate(ours: Any, theirs: Any, both: Any) -> LevelCorrelations:
    """Of sizes in pips."""
    return correlate_levels(*(Sizes.of(np.ascontiguousarray(sizes)) for sizes in (ours, theirs)), both)


def test_levels_are_correlated_where_both_have_them() -> None:
    """Each side and level stands alone; Pearson is taken of log1p(size)."""
    random = np.random.default_rng(5)
    ours, theirs = random.integers(1, 1_000, (2, 50, 2, 3))
    both = random.random((50, 2, 3)) < 0.7
    both[:, 1, 2] = False
    found = correlate(ours, theirs, both)
    for side in range(2):
        for level in range(3):
            rows = both[:, side, level]
            x, y = ours[rows, side, level].tolist(), theirs[rows, side, level].tolist()
            assert found.pairs[side, level] == len(x)
            if not x:
                assert math.isnan(found.pearson[side, level])
                continue
            logs = [math.log1p(v) for v in x], [math.log1p(v) for v in y]
            assert found.pearson[side, level] == pytest.approx(plain_pearson(*logs))
            assert found.spearman[side, level] == pytest.approx(plain_pearson(plain_ranks(x), plain_ranks(y)))
            assert found.l1[side, level] == pytest.approx(
                sum(abs(a - b) for a, b in zip(x, y, strict=True)) / sum(y)
            )


def test_differences_are_correlated_from_a_row_to_the_next() -> None:
    """Only where both rows have the level; a trend that both share does not count."""
    random = np.random.default_rng(6)
    trend = 10_000 * np.arange(1, 81)[:, None, None]
    ours, theirs = trend + random.integers(1, 1_000, (2, 80, 2, 2))
    both = random.random((80, 2, 2)) < 0.7
    both[1::2, 0, 1] = False
    found = correlate(ours, theirs, both)
    for side in range(2):
        for level in range(2):
            rows = [at for at in range(79) if both[at, side, level] and both[at + 1, side, level]]
            assert found.steps[side, level] == len(rows)
            if not rows:
                assert math.isnan(found.pearson_detrended[side, level])
                continue
            x, y = (
                [int(sizes[at + 1, side, level] - sizes[at, side, level]) for at in rows]
                for sizes in (ours, theirs)
            )
            logs = [
                [math.log1p(sizes[at + 1, side, level]) - math.log1p(sizes[at, side, level]) for at in rows]
                for sizes in (ours, theirs)
            ]
            assert found.pearson_detrended[side, level] == pytest.approx(plain_pearson(*logs))
            assert found.spearman_detrended[side, level] == pytest.approx(
                plain_pearson(plain_ranks(x), plain_ranks(y))
            )
            assert found.pearson[side, level] > 0.99 > found.spearman_detrended[side, level]


def test_equal_sizes_correlate_fully_if_they_change_at_all() -> None:
    """A level of equal sizes in book and reference is 1 without being worked out; one that never changes has none."""
    sizes = np.random.default_rng(7).integers(1, 9, (40, 2, 2))
    sizes[:, 1, 1] = 5
    found = correlate(sizes, sizes.copy(), np.ones((40, 2, 2), dtype=np.bool_))
    for kind in ("pearson", "spearman", "pearson_detrended", "spearman_detrended"):
        values = getattr(found, kind)
        assert values[0].tolist() == [1.0, 1.0]
        assert math.isnan(values[1, 1])
    assert found.l1.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert found.worst("l1") == 0.0


def test_the_worst_level_of_differences_is_the_highest() -> None:
    """A level twice as large as it should be shows, whatever the others do."""
    sizes = np.arange(1, 41).reshape(10, 2, 2)
    book = sizes.copy()
    book[:, 0, 1] *= 2
    assert correlate(book, sizes, np.ones((10, 2, 2), dtype=np.bool_)).worst("l1") == pytest.approx(1.0)


def test_the_lowest_level_counts_and_one_without_pairs_voids_it() -> None:
    """A level that cannot be measured must not hide behind the others."""
    sizes = np.arange(1, 41).reshape(10, 2, 2)
    both = np.ones((10, 2, 2), dtype=np.bool_)
    assert correlate(sizes, sizes, both).worst("pearson") == pytest.approx(1.0)
    both[:, 1, 1] = False
    assert correlate(sizes, sizes, both).worst("pearson") is None
    assert correlate(sizes, sizes, both).worst("spearman") is None


@pytest.mark.parametrize("batch", [1, 3, 50, 1000])
def test_rows_are_kept_wherever_the_batches_are_cut(batch: int) -> None:
    """All that come."""
    rows = 1_000
    price = np.full((rows, 2, 1), 100)
    size = np.tile(np.arange(rows)[:, None, None], (1, 2, 1)) + 1
    known = np.ones((rows, 2), dtype=np.uint8)
    whole = CorrelationSample(rows)
    for start in range(0, rows, batch):
        cut = slice(start, start + batch)
        references = size[cut, None]
        whole.add(
            price[cut],
            size[cut],
            known[cut],
            price[cut, None],
            references,
            np.ones((len(known[cut]), 1), bool),
        )
    (found,) = whole.correlate()
    assert found.pairs.tolist() == [[1_000], [1_000]]
    assert found.worst("pearson") == pytest.approx(1.0)


def test_unknown_missing_and_ended_rows_are_no_pairs() -> None:
    """A level counts where the book claims it and has it, and the reference has it and has not ended."""
    price = np.array([[[10], [20]], [[MISSING_PIPS], [20]], [[10], [20]], [[10], [20]]])
    known = np.array([[0, 1], [1, 1], [1, 1], [1, 1]], dtype=np.uint8)
    reference = np.where(np.arange(4)[:, None, None] == 2, MISSING_PIPS, 10)[:, None]
    reference = np.broadcast_to(reference, (4, 1, 2, 1))
    valid = np.array([[True], [True], [True], [False]])
    sample = CorrelationSample(4)
    sample.add(price, np.ones_like(price), known, reference, np.ones_like(reference), valid)
    assert sample.correlate()[0].pairs.tolist() == [[0], [2]]


def test_without_rows_there_are_no_correlations() -> None:
    """Nothing sampled gives nothing, not zeros."""
    assert CorrelationSample(10).correlate() == ()


@pytest.mark.parametrize("rows", [0, 1, SAMPLE_ROWS, SAMPLE_ROWS + 1, 50 * SAMPLE_ROWS])
def test_a_long_day_is_sampled_evenly(rows: int) -> None:
    """Every m-th row is taken, never more than there is room for, and no fewer than half as many."""
    step = sample_step(rows)
    assert len(range(0, rows, step)) <= SAMPLE_ROWS
    assert step == 1 or len(range(0, rows, step)) > SAMPLE_ROWS // 2
