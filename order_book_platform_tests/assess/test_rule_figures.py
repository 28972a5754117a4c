"""Figures of rules: the median latency, the share of the day, and what full scans and samples have in common."""

from __future__ import annotations

import pytest

from order_book_platform.assess.rule_figures import RuleFigure, day_coverage, median_latency, message_figures
from order_book_platform_tests.lake import KEY, START_NS

DAY = 86_400 * 10**9


@pytest.mark.parametrize(
    ("first", "last", "share"), [(0, DAY, 1), (-DAY, 2 * DAY, 1), (DAY // 2, DAY, 0.5), (2 * DAY, 3 * DAY, 0)]
)
def test_coverage_of_the_day(first: int, last: int, share: float) -> None:
    """What lies outside the UTC day does not count."""
    assert day_coverage(KEY, START_NS + first, START_NS + last) == share


@pytest.mark.parametrize(
    ("median", "skew", "value"),
    [(4.0, 3.0, 4.0), (4.0, None, 4.0), (-1_200.0, -1_270.0, 70.0), (60.0, -1.0, 61.0), (-3.0, None, None)],
)
def test_a_clock_that_is_behind_hides_no_latency(
    median: float, skew: float | None, value: float | None
) -> None:
    """What the skew is below 0 is added; a median below 0 without a known skew says nothing, and holds nothing."""
    clocks = {"latency_ms": {"p50": median}, "skew_ms": skew}
    assert median_latency(clocks, 10, "sample") == RuleFigure(value, 10, "sample")


def test_no_messages_have_no_latency() -> None:
    """There is no value, which fails."""
    assert median_latency({"latency_ms": {}, "skew_ms": None}, 0) == RuleFigure(None, 0)


@pytest.mark.parametrize("basis", ["full", "sample"])
def test_figures_of_messages_have_the_observations_that_they_are_of(basis: str) -> None:
    """Off-grid values are those of deltas and trades; rows and messages are not mixed up; no rows have no share."""
    audit = {"off_grid_prices": 1, "off_grid_sizes": 2, "duplicate_rows": 5}
    trades = {"off_grid_prices": 10, "off_grid_sizes": 20, "rows": 7}
    clocks = {"origin_valid": 0.75, "latency_ms": {"p50": 3.0}, "skew_ms": 1.0, "latency_negative": 0.25}

    def figures(rows: int) -> dict[str, RuleFigure]:
        return message_figures(
            basis, audit=audit, rows=rows, trades=trades, clocks=clocks, messages=40, proven_losses=2
        )

    assert figures(100) == {
        "origin_valid": RuleFigure(0.75, 40, basis),
        "off_grid": RuleFigure(33, 107, basis),
        "proven_losses": RuleFigure(2, 40, basis),
        "duplicates": RuleFigure(0.05, 100, basis),
        "latency_p50_ms": RuleFigure(3.0, 40, basis),
        "latency_negative": RuleFigure(0.25, 40, basis),
    }
    assert figures(0)["duplicates"] == RuleFigure(None, 0, basis)
