"""Sections of reports, which full scans and samples make in the same way."""

from __future__ import annotations

import pytest

from order_book_platform.assess.report.sections import (
    availability_section,
    coverage_section,
    messages_in_all,
    precision_section,
    rate_section,
    report_head,
    tick_change,
    times_of,
)
from order_book_platform.model import FixedPoint
from order_book_platform_tests.lake import KEY, START_NS

SECOND = 10**9
HALF_DAY = 43_200 * SECOND


def test_unknown_times_have_no_text() -> None:
    """Both ends are known or neither is."""
    assert times_of(None) == {"first_time": None, "last_time": None}
    assert times_of((START_NS, START_NS + SECOND))["last_time"] == "2024-01-02T00:00:01.000000000Z"


def test_the_head_says_day_verdict_and_recommendation() -> None:
    """The decimals of the day are part of the recommendation."""
    head = report_head(KEY, "full", ("go", "because"), {"strategy": "full_event"}, FixedPoint(3, 2))
    assert (head["symbol"], head["day"], head["scan"]) == (KEY.instrument.key, "2024-01-02", "full")
    assert (head["verdict"], head["why"]) == ("go", "because")
    assert head["recommendation"] == {"strategy": "full_event", "price_decimals": 3, "size_decimals": 2}


def test_coverage_counts_silences_that_are_not_listed() -> None:
    """Share of the day, the listed silences with their begin, and the number of all."""
    span = (START_NS, START_NS + HALF_DAY)
    section = coverage_section(KEY, span, [(START_NS + SECOND, 2.5)], 7)
    assert (section["day_coverage"], section["silences_in_all"]) == (0.5, 7)
    assert section["silences"] == [{"from": "2024-01-02T00:00:01.000000000Z", "seconds": 2.5}]
    assert coverage_section(KEY, None, [], 0)["day_coverage"] is None


def test_rates_of_a_sample_are_those_of_its_pairs() -> None:
    """Messages a second by the time between neighbours, rows a second by the whole day."""
    rate = rate_section(
        "sample", messages=10, pairs=8, span_ns=4 * SECOND, rows=30, all_rows=600, day=(0, 20 * SECOND)
    )
    assert (rate["messages_per_s"], rate["rows_per_message"]) == (2, 3)
    assert rate["rows_per_s"] == pytest.approx(30)
    assert (rate["messages_in_all"], rate["n"]) == (200, 10)
    still = rate_section("sample", messages=0, pairs=0, span_ns=0, rows=0, all_rows=600, day=None)
    assert [still[name] for name in ("messages_per_s", "messages_in_all", "rows_per_s")] == [None] * 3


@pytest.mark.parametrize(("rows", "wanted"), [(30, 200), (0, None)])
def test_messages_of_the_whole_day(rows: int, wanted: int | None) -> None:
    """As if all messages were as long as those looked at."""
    assert messages_in_all(10, rows, 600) == wanted


def test_tick_and_lot_are_decimals_of_the_day() -> None:
    """Without trailing zeros, beside what is configured and contradicted; changes of the tick as text."""
    point = FixedPoint(3, 2, 500, 25)
    change = tick_change(point, START_NS, 500, 100)
    assert change == {"at": "2024-01-02T00:00:00.000000000Z", "from": "0.5", "to": "0.1"}
    configured = {"tick": "1", "lot": None}
    section = precision_section(
        {"chosen": "int64"}, point, tick_changes=[change], configured=configured, contradicted=["tick"]
    )
    assert (section["tick"], section["lot"], section["chosen"]) == ("0.5", "0.25", "int64")
    assert (section["tick_changes"], section["contradicted"]) == ([change], ["tick"])
    assert section["price_decimals"] == 3


def test_availability_of_a_source_without_files() -> None:
    """What is not known is None, not 0."""
    section = availability_section("full", available=True, rows=5, files=None, size_bytes=None, span=None)
    assert (section["rows"], section["files"], section["bytes"], section["first_time"]) == (
        5,
        None,
        None,
        None,
    )
