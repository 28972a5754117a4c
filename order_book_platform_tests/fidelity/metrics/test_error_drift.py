"""Ages of a book's knowledge: buckets, shares and the slope."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_SCHEMA
from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA, MESSAGE_EDGES, TIME_EDGES_NS, Drift
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity.level_comparison import (
    ALL_EQUAL,
    ALL_KNOWN,
    GHOST_LEVELS,
    MISSING_LEVELS,
    ROW_COUNTS,
)


def used(*snapshots: tuple[int, float, str]) -> pa.Table:
    """Used snapshots: number, seconds, use."""
    return pa.Table.from_pylist(
        [
            {
                **dict.fromkeys(USED_SNAPSHOTS_SCHEMA.names, 0),
                "sequence_number": number,
                "origin_time": int(seconds * NS_PER_SECOND),
                "use": use,
            }
            for number, seconds, use in snapshots
        ],
        schema=USED_SNAPSHOTS_SCHEMA,
    )


def at(numbers: list[int], seconds: list[float]) -> ShiftedReferences:
    """References with numbers and times; their levels play no part."""
    n = len(numbers)
    number = np.array(numbers, np.int64)
    none = np.zeros((n, 2, 0), np.int64)
    rows = ReferenceRows(number, (np.array(seconds) * NS_PER_SECOND).astype(np.int64), none, none)
    return ShiftedReferences(
        *(rows.sequence_number, rows.time_ns, none, none),
        *(np.zeros((n, 2), np.int64), np.ones((n, 2), np.bool_), rows),
    )


def counts(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Levels compared: all equal, all known, missing, ghosts."""
    found = np.zeros((len(rows), ROW_COUNTS), np.int64)
    found[:, [ALL_EQUAL, ALL_KNOWN, MISSING_LEVELS, GHOST_LEVELS]] = rows
    return found


def test_shares_by_age_and_the_slope() -> None:
    """Seeded at 0 s, extended at 2 s, a rejected candidate at 3 s that shapes nothing."""
    numbers = np.array([50, 10, 20, 30, 40, 35])
    places = np.array([9, 1, 2, 5, 0, 6])  # that of number 40 is not a message: taken for the one before it
    drift = Drift(numbers, places, used((10, 0.0, "seeded"), (30, 2.0, "extended"), (35, 3.0, "rejected")))
    rows = counts([(1, 1, 0, 0), (0, 1, 2, 1), (1, 0, 0, 0)])
    drift.add(at([20], [0.05]), np.array([True]), rows[:1])
    drift.add(at([40, 50], [3.5, 62.0]), np.array([False, True]), rows[1:])
    frame = drift.frame()
    assert frame.schema == DRIFT_SCHEMA
    by_time = frame.filter(age="time").drop("age").rows()
    assert by_time == [
        (0, 1, 1.0, 1, 1.0, 0.0, 0.0),
        (1_000_000_000, 1, 0.0, 1, 0.0, 2.0, 1.0),
        (60_000_000_000, 1, 1.0, 0, None, 0.0, 0.0),
    ]
    by_messages = frame.filter(age="messages").drop("age").rows()
    assert [row[:3] for row in by_messages] == [(1, 2, 0.5), (2, 1, 1.0)]
    first, last, slope = drift.metrics(3, "sequence")
    assert (first.name, first.value, first.n, first.unmatched) == ("drift_exact_first", 1.0, 1, 3)
    assert (last.name, last.value, last.n) == ("drift_exact_last", 0.0, 1)
    assert "0 s to 0.1 s" in first.note
    assert "1 s to 2 s" in last.note
    assert (slope.value, slope.n) == (pytest.approx(np.polyfit([0.05, 1.5], [1, 0], 1)[0]), 2)


def test_a_slope_is_that_of_least_squares() -> None:
    """Of many rows, right or wrong at any age, in pieces."""
    random = np.random.default_rng(4)
    ages = np.sort(random.uniform(0, 400, 300))
    right = random.random(300) < np.exp(-ages / 200)
    numbers = np.arange(1, 301)
    drift = Drift(np.append(numbers, 0), np.append(numbers, 0) + 1, used((0, 0.0, "seeded")))
    rows = counts([(int(value), 1, 0, 0) for value in right])
    for part in (slice(0, 100), slice(100, 100), slice(100, 300)):
        drift.add(
            at(numbers[part].tolist(), ages[part].tolist()), right[part], rows[part]
        )  # an empty part, too
    first, last, slope = drift.metrics(0, "sequence")
    assert slope.value == pytest.approx(np.polyfit(ages, right.astype(float), 1)[0])
    assert slope.value < 0
    assert first.value > last.value
    assert last.value == right[ages >= 300].mean()
    assert "300 s and more" in last.note


def test_nothing_used_is_no_age() -> None:
    """A cold book, and one without references, have no figures."""
    for table in (used(), used((90, 0.0, "rejected")), used((90, 0.0, "seeded"))):
        drift = Drift(np.array([20]), np.array([4]), table)
        drift.add(at([20], [1.0]), np.array([True]), counts([(1, 1, 0, 0)]))
        assert drift.frame().is_empty()
        assert [(metric.value, metric.n) for metric in drift.metrics(0, "sequence")] == [(None, 0)] * 3
    assert Drift(np.zeros(0, np.int64), np.zeros(0, np.int64), used((1, 0.0, "seeded"))).frame().is_empty()


def test_buckets_begin_at_nothing_and_rise() -> None:
    """Every age has one bucket."""
    for edges in (TIME_EDGES_NS, MESSAGE_EDGES):
        assert edges[0] == 0
        assert (np.diff(edges) > 0).all()
