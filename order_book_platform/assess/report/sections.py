"""The parts of a report that are made in the same way from every row of a day and from a sample. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from order_book_platform.assess.rule_figures import day_coverage
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.fixed_point import EXACT

Span = tuple[int, int] | None
"""First and last time, ns; None where they are not known."""


def report_head(
    key: PartitionKey, scan: str, verdict: tuple[str, str], strategy: Mapping[str, str], point: FixedPoint
) -> dict[str, Any]:
    """Return which day a report is of, the verdict and the recommendation.

    Args:
        key: Symbol and day.
        scan: `full` or `sample`.
        verdict: Verdict, and what decided.
        strategy: Recommended `strategy` and `seeding`, and the `rule` that decided.
        point: Decimals of the day.
    """
    decimals = {"price_decimals": point.price_decimals, "size_decimals": point.size_decimals}
    return {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "scan": scan,
        "verdict": verdict[0],
        "why": verdict[1],
        "recommendation": {**strategy, **decimals},
    }


def times_of(span: Span) -> dict[str, str | None]:
    """Return `first_time` and `last_time` as text."""
    first, last = span or (None, None)
    return {
        "first_time": None if first is None else iso_from_ns(first),
        "last_time": None if last is None else iso_from_ns(last),
    }


def availability_section(
    basis: str, *, available: bool, rows: int, files: int | None, size_bytes: int | None, span: Span
) -> dict[str, Any]:
    """Return what there is of a table.

    Args:
        basis: What it is known from.
        available: Whether the source has the table.
        rows: Rows of the table.
        files: Files of the source; None where it has none.
        size_bytes: Bytes of the files.
        span: First and last time.
    """
    sizes = {"available": available, "rows": rows, "files": files, "bytes": size_bytes}
    return {"basis": basis, **sizes, **times_of(span)}


def coverage_section(
    key: PartitionKey, span: Span, silences: Sequence[tuple[int, float]], count: int
) -> dict[str, Any]:
    """Return how much of the day the deltas cover, from the origin times of all of them.

    Args:
        key: Symbol and day.
        span: First and last time.
        silences: Begin (ns) and seconds of the silences that are listed, the longest one first.
        count: Number of all silences.
    """
    return {
        "basis": "full",
        "clock": "origin_time",
        **times_of(span),
        "day_coverage": span and day_coverage(key, *span),
        "silences": [{"from": iso_from_ns(begin), "seconds": seconds} for begin, seconds in silences],
        "silences_in_all": count,
    }


def rate_section(
    basis: str, *, messages: int, pairs: int, span_ns: int, rows: int, all_rows: int, day: Span
) -> dict[str, Any]:
    """Return how fast the deltas came.

    Args:
        basis: What it is known from.
        messages: Messages that were looked at.
        pairs: Consecutive ones among them.
        span_ns: Time between the messages of these pairs, summed.
        rows: Rows of the messages that were looked at.
        all_rows: Rows of the whole day.
        day: First and last time of the whole day.
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
    """Estimate the messages of a day, as if all messages had as many rows as those that were looked at.

    Args:
        messages: Messages that were looked at.
        rows: Rows of these messages; with none there is no estimate.
        all_rows: Rows of the whole day.
    """
    return round(all_rows * messages / rows) if rows else None


def precision_section(
    audit: Mapping[str, Any],
    point: FixedPoint,
    *,
    tick_changes: Sequence[Mapping[str, Any]],
    configured: Mapping[str, str | None],
    contradicted: Sequence[str],
) -> dict[str, Any]:
    """Return how the numbers of a day are held, and where its tick and lot are from.

    Args:
        audit: What the section is known from, and which precision was wanted and chosen, and why.
        point: Decimals, tick and lot.
        tick_changes: Changes of the tick; see `tick_change`.
        configured: Configured `tick` and `lot`; None for one that is not configured.
        contradicted: Names of those that the data contradict.
    """
    return {
        **audit,
        "tick": f"{point.tick:f}",
        "lot": f"{point.lot:f}",
        "tick_changes": list(tick_changes),
        "configured": configured,
        "contradicted": contradicted,
        **point.to_metadata(),
    }


def tick_change(point: FixedPoint, at_ns: int, from_pips: int, to_pips: int) -> dict[str, Any]:
    """Return a change of the tick as text: when, from what, to what."""
    before, after = (f"{point.price(pips).normalize(EXACT):f}" for pips in (from_pips, to_pips))
    return {"at": iso_from_ns(at_ns), "from": before, "to": after}
