"""The clocks, and conversions between UTC days, ISO 8601 text and int64 nanoseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from order_book_platform.errors import SettingsError

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h)\s*", re.ASCII)
_INTEGER_NS = re.compile(r"\d{16,19}", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(?:Z|\+00:00)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Clock:
    """The clocks of the operating system; tests put others in their place."""

    def now_ns(self) -> int:
        """Return the wall-clock time, int64 ns since the epoch, UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return the time of a clock that never goes back, int64 ns since an arbitrary zero."""
        return time.monotonic_ns()


def day_start_ns(day: date) -> int:
    """Return the first nanosecond of a UTC day, int64 ns since the epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_SECOND


def iso_from_ns(ns: int) -> str:
    """Format int64 ns since the epoch as ISO 8601 text with nanoseconds, `2024-08-08T23:54:15.208000000Z`."""
    seconds, fraction = divmod(int(ns), NS_PER_SECOND)
    moment = datetime.fromtimestamp(0, tz=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def ns_from_iso(text: str) -> int:
    """Parse the text of `iso_from_ns` into int64 ns since the epoch.

    Fewer fraction digits, a missing `Z` and an integer of 16 to 19 digits, which are ns, are accepted, too.

    Raises:
        ValueError: the text is none of these.
    """
    if _INTEGER_NS.fullmatch(text):
        return int(text)
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 UTC time or an integer of nanoseconds: {text!r}")
    moment = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}+00:00")
    return int(moment.timestamp()) * NS_PER_SECOND + int((match[3] or "").ljust(9, "0"))


def duration_ns(text: str | int) -> int:
    """Convert a duration such as `"100ms"` or `"1s"`, or an integer of nanoseconds, to int64 ns.

    Raises:
        ValueError: the text has no number, an unknown unit (not ns, us, ms, s, m, h) or a fraction of a nanosecond.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a duration such as '100ms', '1s' or '5m'")
    exact_ns = Decimal(match[1]) * _UNITS_NS[match[2]]
    if exact_ns % 1:
        raise ValueError("expected a whole number of nanoseconds")
    return int(exact_ns)


def duration_text(ns: int) -> str:
    """Format a duration in ns as its shortest exact text: `100ms`, `1s`, `5m`."""
    for unit in ("h", "m", "s", "ms", "us"):
        if ns % _UNITS_NS[unit] == 0 and ns:
            return f"{ns // _UNITS_NS[unit]}{unit}"
    return f"{ns}ns"


def parse_day(text: str) -> date:
    """Parse a UTC day `YYYY-MM-DD`.

    Raises:
        SettingsError: the text is not such a day.
    """
    try:
        if _DAY.fullmatch(text) is None:
            raise ValueError(f"another spelling than YYYY-MM-DD: {text!r}")
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            expected="a UTC day such as 2024-08-08",
            found=repr(text),
            where="day",
            remedy="Write it as YYYY-MM-DD.",
        ) from error
