"""Errors by age of the book."""

from __future__ import annotations

import polars as pl

from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA
from order_book_platform.plots.drift_chart import drift_chart
from order_book_platform_tests.plots.frames import SECOND, hints, words


def drift(wrong: float = 0.0) -> pl.DataFrame:
    """Make three buckets of time and two of messages; the oldest in time is `wrong` and knows no row in full."""
    rows = [
        ("time", 0, 100, 1.0, 90, 1.0, 0.0, 0.0),
        ("time", SECOND // 10, 200, 1.0, 180, 1.0, 0.0, 0.0),
        ("time", 300 * SECOND, 1_500, 1.0 - wrong, 0, None, 0.0, 0.0),
        ("messages", 0, 100, 1.0, 90, 1.0, 0.0, 0.0),
        ("messages", 1_000, 1_700, 1.0, 90, 1.0, 0.0, 0.0),
    ]
    return pl.DataFrame(rows, schema=DRIFT_SCHEMA, orient="row")


def test_the_worst_age_is_told() -> None:
    """The pointer tells it with its number of rows; a book that stays right is at 0 %."""
    assert "best bid and ask: at most 25 % wrong, of 1,500 rows" in hints(drift_chart(drift(0.25)))
    assert "best bid and ask: at most 0 % wrong, of 100 rows" in hints(drift_chart(drift()))


def test_ages_are_written_as_people_count_them() -> None:
    """Ages are seconds, minutes or messages."""
    assert {"0 s", "0.1 s", "5 min", "1,000"} <= set(words(drift_chart(drift())))


def test_nothing_after_a_used_snapshot_is_said() -> None:
    """Each panel that is empty says so."""
    told = words(drift_chart(drift().clear()))
    assert told.count("Nothing to show: no held-out snapshot follows a used one.") == 2
    only_time = words(drift_chart(drift().filter(pl.col("age") == "time")))
    assert only_time.count("Nothing to show: no held-out snapshot follows a used one.") == 1
