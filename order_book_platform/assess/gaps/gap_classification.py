"""Classifies gap candidates: kind, class, what will be done, and which rows are doubtful. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings


@dataclass(frozen=True, slots=True)
class ClassifiedGap:
    """One row of gaps.parquet.

    Attributes:
        kind: `exact` (ids prove it and say where) or `inferred`.
        cause: `chain`, `silence`, `unseen_snapshot`, `disagreement` (a snapshot contradicts the book) or `crossed`.
        gap_class: `small`, `large` or `unrecoverable` (no snapshot in reach).
        action: `flag`, `recover` (repair from the next usable snapshot) or `corrupt`.
        from_sequence_number: Sequence number of the last message known to be good.
        to_sequence_number: Sequence number of the first message after the gap.
        from_origin_time: Origin time of the last message known to be good, ns.
        to_origin_time: Origin time of the first message after the gap, ns.
        missing_ids: Number of ids that are missing where ids are contiguous; else None.
        proven: Whether a loss is shown, not only suggested.
        flagged_from_sequence_number: First message whose row is doubtful.
        flagged_until_sequence_number: First message whose row is no longer doubtful; None if the doubt lasts to the end
            of the day.
        detail: One sentence for people.
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
    """The snapshots from which a book can recover.

    Attributes:
        sequence: Sequence numbers, int64[m], ascending.
        origin_time: Origin times, int64[m] ns.
    """

    sequence: Int64Array
    origin_time: Int64Array

    def next_after(self, sequence: int) -> tuple[int, int] | None:
        """Return sequence number and origin time of the first one at or after a message; None if there is none."""
        at = int(np.searchsorted(self.sequence, sequence, "left"))
        return (int(self.sequence[at]), int(self.origin_time[at])) if at < len(self.sequence) else None


def classify(candidate: GapCandidate, snapshots: RecoverySnapshots, settings: GapSettings) -> ClassifiedGap:
    """Decide what a gap candidate means and what will be done about it.

    Args:
        candidate: Candidate that the messages show.
        snapshots: Snapshots from which a book can recover.
        settings: Thresholds `recover_after` and `snapshot_reach`.
    """
    recovery = snapshots.next_after(candidate.after)
    if candidate.is_small(settings.recover_after):
        gap_class, action = "small", "flag"
    elif recovery is None or recovery[1] - candidate.after_ns > settings.snapshot_reach:
        gap_class, action = "unrecoverable", "corrupt"
    else:
        gap_class, action = "large", "recover"
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
        flagged_from_sequence_number=candidate.after,
        flagged_until_sequence_number=recovery[0] if recovery else None,
        detail=candidate.detail,
    )


def disagreement(
    agreed: tuple[int, int], snapshot: tuple[int, int], wrong: int, compared: int
) -> ClassifiedGap:
    """Return the gap between the last snapshot that agreed with the book and one that contradicts it and repairs it.

    Args:
        agreed: Sequence number and origin time, ns, of the last snapshot that agreed.
        snapshot: Sequence number and origin time, ns, of the snapshot that contradicts.
        wrong: Levels that differ.
        compared: Levels that both claim to know.
    """
    return ClassifiedGap(
        kind="inferred",
        cause="disagreement",
        gap_class="large",
        action="recover",
        from_sequence_number=agreed[0],
        to_sequence_number=snapshot[0],
        from_origin_time=agreed[1],
        to_origin_time=snapshot[1],
        missing_ids=None,
        proven=True,
        flagged_from_sequence_number=agreed[0] + 1,
        flagged_until_sequence_number=snapshot[0],
        detail=f"{wrong} of {compared} levels differ from the snapshot",
    )


def gaps_table(gaps: Iterable[ClassifiedGap]) -> pa.Table:
    """Return the gaps as a table with schema `GAPS_SCHEMA`, in order of time."""
    ordered = sorted(gaps, key=lambda gap: (gap.from_sequence_number, gap.to_sequence_number, gap.cause))
    return pa.Table.from_pylist([asdict(gap) for gap in ordered], schema=GAPS_SCHEMA)
