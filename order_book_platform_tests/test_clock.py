"""Clocks, days, durations and time as text."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import (
    NS_PER_DAY,
    NS_PER_SECOND,
    Clock,
    day_start_ns,
    duration_ns,
    duration_text,
    iso_from_ns,
    ns_from_iso,
    parse_day,
)
from order_book_platform.errors import SettingsError
from order_book_platform_tests.manual_clock import ManualClock

TIMES_NS = st.integers(-(2**62), 2**63 - 1)


def test_manual_clock_moves_only_when_told() -> None:
    """Both readings stand still until advanced, then move by the same amount."""
    clock: Clock = ManualClock(start_ns=1_000)
    assert (clock.now_ns(), clock.monotonic_ns()) == (1_000, 0)
    assert isinstance(clock, ManualClock)
    clock.advance(5)
    assert (clock.now_ns(), clock.monotonic_ns()) == (1_005, 5)


def test_system_clock_reads_the_machine() -> None:
    """The wall clock is past 2024, and the monotonic one does not go back."""
    clock: Clock = Clock()
    assert clock.now_ns() > day_start_ns(date(2024, 1, 1))
    assert clock.monotonic_ns() <= clock.monotonic_ns()


def test_day_start() -> None:
    """Days begin at midnight UTC, and follow each other by 86,400 s."""
    assert day_start_ns(date(1970, 1, 1)) == 0
    assert day_start_ns(date(2024, 8, 9)) - day_start_ns(date(2024, 8, 8)) == NS_PER_DAY
    assert iso_from_ns(day_start_ns(date(2024, 8, 8))) == "2024-08-08T00:00:00.000000000Z"


@given(TIMES_NS)
def test_iso_text_keeps_every_nanosecond(ns: int) -> None:
    """Text and back gives the same integer, also before 1970 and in the last digit."""
    assert ns_from_iso(iso_from_ns(ns)) == ns


@given(TIMES_NS, TIMES_NS)
def test_iso_text_sorts_like_time(one: int, other: int) -> None:
    """Texts compare as the times do."""
    assert (iso_from_ns(one) < iso_from_ns(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-08-08", "2024-08-08T00:00:00.000000000Z"),
        ("2024-08-08T23:54", "2024-08-08T23:54:00.000000000Z"),
        ("2024-08-08 23:54:15", "2024-08-08T23:54:15.000000000Z"),
        ("2024-08-08T23:54:15.2Z", "2024-08-08T23:54:15.200000000Z"),
        ("2024-08-08T23:54:15.208000001+00:00", "2024-08-08T23:54:15.208000001Z"),
        ("1723161255208000001", "2024-08-08T23:54:15.208000001Z"),
    ],
)
def test_shorter_spellings_of_a_time(text: str, expected: str) -> None:
    """Fewer digits, a blank for the T, no Z and integer nanoseconds are all understood."""
    assert iso_from_ns(ns_from_iso(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-13-01",
        "2024-08-08T25:00",
        "2024-08-08T23:54:15+02:00",
        "2024-08-08T23:54:15.1234567890",
        "1723161255",
        "99999999999999999999",
        "2024-08-08\n",
        "٢٠٢٤-08-08",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    """A zone, a tenth digit, seconds since the epoch or another script are not guessed at."""
    with pytest.raises(ValueError, match=r"."):
        ns_from_iso(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ns", 1),
        ("100us", 100_000),
        ("100ms", 100_000_000),
        ("0.1s", 100_000_000),
        ("5m", 300 * NS_PER_SECOND),
        (" 2 h ", 7_200 * NS_PER_SECOND),
        ("1.000000001s", 1_000_000_001),
        (250, 250),
    ],
)
def test_durations(text: str | int, ns: int) -> None:
    """A number and its unit, or an integer of nanoseconds."""
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "1", "s", "1.5ns", "-1s", "1 day", "1e3ms", "1s\n1s", True, 1.5, None])
def test_other_durations_are_refused(text: str) -> None:
    """No unit, a fraction of a nanosecond, a sign, or no text at all: nothing is rounded or guessed."""
    with pytest.raises(ValueError, match="expected"):
        duration_ns(text)


@given(st.integers(0, 2**62))
def test_duration_text_is_exact(ns: int) -> None:
    """The short text of a duration reads back as the same duration."""
    assert duration_ns(duration_text(ns)) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0ns"), (NS_PER_SECOND, "1s"), (90 * NS_PER_SECOND, "90s"), (3_600 * NS_PER_SECOND, "1h")],
)
def test_duration_text_is_short(ns: int, text: str) -> None:
    """The largest unit that divides it is used."""
    assert duration_text(ns) == text


@given(st.dates())
def test_days_read_back(day: date) -> None:
    """A day's ISO text gives the day."""
    assert parse_day(day.isoformat()) == day


@pytest.mark.parametrize(
    "text", ["", "20240808", "2024-W32-4", "2024-8-8", "2024-02-30", "2024-08-08 ", "today"]
)
def test_other_days_are_refused(text: str) -> None:
    """One spelling only, so that a day and its folder have the same name."""
    with pytest.raises(
        SettingsError, match=r"^day: expected a UTC day such as 2024-08-08, found '"
    ) as caught:
        parse_day(text)
    assert caught.value.remedy == "Write it as YYYY-MM-DD."


def test_a_day_has_no_leap_second() -> None:
    """The constants agree with the calendar."""
    assert timedelta(days=1).total_seconds() * NS_PER_SECOND == NS_PER_DAY
