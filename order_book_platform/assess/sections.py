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
    holes: Sequence[tuple[int, float]],
    count: int,
) -> dict[str, Any]:
    """What of the day the deltas cover.

    Args:
        basis: what it is known from.
        key: symbol and day.
        clock: column of the times.
        span: first and last time.
        holes: begin (ns) and seconds of those that are listed.
        count: of all holes.
    """
    return {
        "basis": basis,
        "clock": clock,
        **times_of(span),
        "day_coverage": span and day_coverage(key, *span),
        "holes": [{"from": iso_from_ns(begin), "seconds": seconds} for begin, seconds in holes],
        "holes_in_all": count,
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
    per_message = rows / max(messages, 1)
    return {
        "basis": basis,
        "n": messages,
        "messages_per_s": pairs / span_ns * NS_PER_SECOND if span_ns > 0 else None,
        "rows_per_message": per_message,
        "messages_in_all": round(all_rows / per_message) if per_message else None,
        "rows_per_s": all_rows / (day[1] - day[0]) * NS_PER_SECOND if day and day[1] > day[0] else None,
    }
