"""Sections that a report has whether a day was looked at by sample or by every row. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from order_book_platform.assess.rules import day_coverage
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model import PartitionKey

Span = tuple[int, int] | None
"""First and last time, ns; None where they are not known."""


def times_of(span: Span) -> dict[str, str | None]:
    """`first_time` and `last_time` in words."""
    first, last = span or (None, None)
    return {
        "first_time": None if first is None else iso_from_ns(first),
        "last_time": None if last is None else iso_from_ns(last),
    }


def availability_section(
    basis: str, *, available: bool, rows: int, files: int | None, size_bytes: int | None, span: Span
) -> dict[str, Any]:
    """What there is of a table.

    Args:
        basis: what it is known from.
        available: whether the source has it.
        rows: of it.
        files: of the source; None where it has none.
        size_bytes: of the files.
        span: first and last time.
    """
    sizes = {"available": available, "rows": rows, "files": files, "bytes": size_bytes}
    return {"basis": basis, **sizes, **times_of(span)}


def coverage_section(
    basis: str,
    key: PartitionKey,
    clock: str | None,
    span: Span,
    silences: Sequence[tuple[int, float]],
    count: int,
) -> dict[str, Any]:
    """What of the day the deltas cover.

    Args:
        basis: what it is known from.
        key: symbol and day.
        clock: column of the times.
        span: first and last time.
        silences: begin (ns) and seconds of those that are listed, the longest one first.
        count: of all silences.
    """
    return {
        "basis": basis,
        "clock": clock,
        **times_of(span),
        "day_coverage": span and day_coverage(key, *span),
        "silences": [{"from": iso_from_ns(begin), "seconds": seconds} for begin, seconds in silences],
        "silences_in_all": count,
    }


def rate_section(
    basis: str, *, messages: int, pairs: int, span_ns: int, rows: int, all_rows: int, day: Span
) -> dict[str, Any]:
    """How fast the deltas came.

    Args:
        basis: what it is known from.
        messages: that were looked at.
        pairs: of them, consecutive ones; span_ns is the time between these.
        span_ns: see `pairs`.
        rows: of these messages.
        all_rows: of the whole day.
        day: first and last time of the whole day.
    """
    return {
        "basis": basis,
        "n": messages,
        "messages_per_s": pairs / span_ns * NS_PER_SECOND if span_ns > 0 else None,
        "rows_per_message": rows / max(messages, 1),
        "messages_in_all": messages_in_all(messages, rows, all_rows),
        "rows_per_s": all_rows / (day[1] - day[0]) * NS_PER_SECOND if day and day[1] > day[0] else None,
    }


def messages_in_all(messages: int, rows: int, all_rows: int) -> int | None:
    """Of a day, if those that were not looked at have as many rows as the others; None where none were looked at.

    Args:
        messages: that were looked at.
        rows: of these messages.
        all_rows: of the whole day.
    """
    return round(all_rows * messages / rows) if rows else None
