"""Classifies gap candidates, says what will be done about each gap, and summarises the gaps of a day. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, iso_from_ns
from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings

NS_PER_HOUR = 3_600 * NS_PER_SECOND
LONGEST = 10
"""Gaps that are named in the report, the longest ones; all of them are in gaps.parquet."""
_JUMPED = 0.5
"""The market went on during a pause if the ids jumped by this share of what the day's average would have brought."""


@dataclass(frozen=True, slots=True)
class ClassifiedGap:
    """One row of gaps.parquet, whose columns docs/formats/datasets.md describes; times are in ns.

    Around the gap are the last message known to be good and the first one after it. Rows are flagged from the first one
    that is doubtful until one that is not; None if the doubt lasts to the end of the day.
    """

    kind: str
    cause: str
    gap_class: str
    action: str
    from_sequence_number: int
    to_sequence_number: int
    from_origin_time: int
    to_origin_time: int
    missing_ids: int | None
    proven: bool
    flagged_from_sequence_number: int
    flagged_until_sequence_number: int | None
    detail: str

    @property
    def duration_ns(self) -> int:
        """Time from the last message known to be good to the first one after the gap, ns."""
        return self.to_origin_time - self.from_origin_time


@dataclass(frozen=True, slots=True)
class RecoverySnapshots:
    """Snapshots to recover from: sequence numbers, int64[m] ascending, and origin times, int64[m] ns.

    Behind a loss that ids prove they are those of `behind_chain`, if that is given.
    """

    sequence: Int64Array
    origin_time: Int64Array
    behind_chain: RecoverySnapshots | None = None

    def next_after(self, sequence: int) -> tuple[int, int] | None:
        """Return sequence number and origin time of the first one at or after a message; None if there is none."""
        at = int(np.searchsorted(self.sequence, sequence, "left"))
        return (int(self.sequence[at]), int(self.origin_time[at])) if at < len(self.sequence) else None


def classify(candidate: GapCandidate, snapshots: RecoverySnapshots, settings: GapSettings) -> ClassifiedGap:
    """Decide what a gap candidate means and what will be done about it, by the thresholds of the settings."""
    if candidate.cause == "chain" and snapshots.behind_chain is not None:
        snapshots = snapshots.behind_chain
    recovery = snapshots.next_after(candidate.recover_from)
    if candidate.is_small(settings.recover_after):
        gap_class, action = "small", "flag"
    elif recovery is None or recovery[1] - candidate.after_ns > settings.snapshot_reach:
        gap_class, action = "unrecoverable", "corrupt"
    else:
        gap_class, action = "large", "recover"
    return _gap(candidate, gap_class, action, recovery[0] if recovery else None)


def _gap(candidate: GapCandidate, gap_class: str, action: str, flagged_until: int | None) -> ClassifiedGap:
    return ClassifiedGap(
        kind="exact" if candidate.cause == "chain" else "inferred",
        cause=candidate.cause,
        gap_class=gap_class,
        action=action,
        from_sequence_number=candidate.before,
        to_sequence_number=candidate.after,
        from_origin_time=candidate.before_ns,
        to_origin_time=candidate.after_ns,
        missing_ids=candidate.missing_ids,
        proven=candidate.proven,
        flagged_from_sequence_number=candidate.recover_from,
        flagged_until_sequence_number=flagged_until,
        detail=candidate.detail,
    )


def disagreement(
    agreed: tuple[int, int], snapshot: tuple[int, int], wrong: int, compared: int
) -> ClassifiedGap:
    """Return the gap between the last snapshot that agreed with the book and one that contradicts it and repairs it.

    Both are given by sequence number and origin time, ns. Of the levels that both claim to know, `compared`, some are
    wrong.
    """
    detail = f"{wrong} of {compared} levels differ from the snapshot"
    found = GapCandidate("disagreement", agreed[0], snapshot[0], agreed[1], snapshot[1], None, detail)
    gap = _gap(found, "large", "recover", snapshot[0])
    return replace(gap, proven=True, flagged_from_sequence_number=agreed[0] + 1)


def gaps_table(gaps: Iterable[ClassifiedGap]) -> pa.Table:
    """Return the gaps as a table with schema `GAPS_SCHEMA`, in order of time."""
    ordered = sorted(gaps, key=lambda gap: (gap.from_sequence_number, gap.to_sequence_number, gap.cause))
    return pa.Table.from_pylist([asdict(gap) for gap in ordered], schema=GAPS_SCHEMA)


def gap_summary(
    gaps: Sequence[ClassifiedGap], *, silence_ns: int, first: tuple[int, int], last: tuple[int, int]
) -> dict[str, Any]:
    """Return the entries of a report that say how many gaps there are, of which kind, and how they are spread.

    A pause longer than `silence_ns` is a silence; the first and last message are numbers and origin times, ns.
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
    """Return durations, hours and missing ids of the gaps, and where the longest are; see docs/formats/datasets.md."""
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
    """Return how often the recorder was away, as far as its messages show it; for the arguments see `gap_summary`.

    A connection that is lost leaves a pause, and the exchange's ids go on meanwhile; in a quiet market, or one that
    stands still, they do not. So a silence, or a broken chain with as long a pause, counts where the ids jumped by at
    least half of what the pause would have brought at the day's average.
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
