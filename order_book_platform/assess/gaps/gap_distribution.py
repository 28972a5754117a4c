"""Summarises the gaps of a day: how long, when, how many ids, and how often the recorder reconnected. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from order_book_platform.assess.gaps.gap_classification import ClassifiedGap
from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, iso_from_ns

NS_PER_HOUR = 3_600 * NS_PER_SECOND
LONGEST = 10
"""Gaps that are named in the report, the longest ones; all of them are in gaps.parquet."""
_JUMPED = 0.5
"""The market went on during a pause if the ids jumped by this share of what the day's average would have brought."""


def gap_summary(
    gaps: Sequence[ClassifiedGap], *, silence_ns: int, first: tuple[int, int], last: tuple[int, int]
) -> dict[str, Any]:
    """Return the entries of a report that say how many gaps there are, of which kind, and how they are spread.

    Args:
        gaps: Gaps of the day.
        silence_ns: A pause longer than this is a silence.
        first: Sequence number and origin time, ns, of the first message.
        last: Sequence number and origin time, ns, of the last message.
    """
    return {
        "gaps": len(gaps),
        "by_cause": dict(sorted(Counter(gap.cause for gap in gaps).items())),
        "by_class": dict(sorted(Counter(gap.gap_class for gap in gaps).items())),
        "by_action": dict(sorted(Counter(gap.action for gap in gaps).items())),
        "distribution": distribution(gaps),
        "reconnects": reconnects(gaps, silence_ns=silence_ns, first=first, last=last),
    }


def distribution(gaps: Sequence[ClassifiedGap]) -> dict[str, Any]:
    """Return durations, hours and missing ids of the gaps, and where the longest are.

    Returns:
        `duration_s` with p50, p95, p99, longest and total (None where there are no gaps; overlaps count twice),
        `by_hour`, 24 counts by the UTC hour of a gap's begin, `missing_ids` (None where ids are not contiguous), and
        `longest`.
    """
    lasted = np.array([gap.duration_ns for gap in gaps]) / NS_PER_SECOND
    hours = np.array([gap.from_origin_time % NS_PER_DAY // NS_PER_HOUR for gap in gaps], np.int64)
    missing = [gap.missing_ids for gap in gaps if gap.missing_ids is not None]
    return {
        "duration_s": {
            **{f"p{p}": float(np.percentile(lasted, p)) if len(gaps) else None for p in (50, 95, 99)},
            "longest": float(lasted.max()) if len(gaps) else None,
            "total": float(lasted.sum()) if len(gaps) else None,
        },
        "by_hour": np.bincount(hours, minlength=24).tolist(),
        "missing_ids": {"gaps": len(missing), "total": sum(missing), "most": max(missing)}
        if missing
        else None,
        "longest": [_named(gaps[at]) for at in np.argsort(-lasted, kind="stable")[:LONGEST].tolist()],
    }


def _named(gap: ClassifiedGap) -> dict[str, Any]:
    return {
        "cause": gap.cause,
        "class": gap.gap_class,
        "action": gap.action,
        "from": iso_from_ns(gap.from_origin_time),
        "seconds": gap.duration_ns / NS_PER_SECOND,
        "from_sequence_number": gap.from_sequence_number,
        "to_sequence_number": gap.to_sequence_number,
        "detail": gap.detail,
    }


def reconnects(
    gaps: Sequence[ClassifiedGap], *, silence_ns: int, first: tuple[int, int], last: tuple[int, int]
) -> dict[str, Any]:
    """Return how often the recorder was away, as far as its messages show it.

    A connection that is lost leaves a pause, and the exchange's ids go on meanwhile; in a quiet market, or one that
    stands still, they do not. So a silence, or a broken chain with as long a pause, counts where the ids jumped by at
    least half of what the pause would have brought at the day's average.

    Args:
        gaps: Gaps of the day.
        silence_ns: A pause longer than this is a silence.
        first: Sequence number and origin time, ns, of the first message.
        last: Sequence number and origin time, ns, of the last message.

    Returns:
        `count`, `kind` (`inferred`: files keep no record of connections), `how`, and `at`: the pauses' begins.
    """
    ids, span_ns = last[0] - first[0], max(last[1] - first[1], 1)
    found = [
        gap
        for gap in gaps
        if gap.cause in ("silence", "chain")
        and gap.duration_ns > silence_ns
        and (gap.to_sequence_number - gap.from_sequence_number) * span_ns >= _JUMPED * ids * gap.duration_ns
    ]
    return {
        "count": len(found),
        "kind": "inferred",
        "how": f"pauses of more than {silence_ns / NS_PER_SECOND:g} s in which the ids went on",
        "at": [iso_from_ns(gap.from_origin_time) for gap in found[:LONGEST]],
    }
