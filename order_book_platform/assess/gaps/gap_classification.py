"""From findings to gaps: kind, class, action, and which rows are doubtful. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.sequence_gap_report import GAPS_SCHEMA
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings


@dataclass(frozen=True, slots=True)
class Gap:
    """One row of gaps.parquet.

    Attributes:
        kind: `exact` (ids prove it and say where) or `inferred`.
        cause: `chain`, `silence`, `unseen_snapshot`, `disagreement` (a snapshot contradicts the book) or `crossed`.
        gap_class: `small`, `large` or `unrecoverable` (no snapshot in reach).
        action: `flag`, `recover` (repair from the next snapshot of the plan) or `corrupt`.
        from_sequence_number, to_sequence_number: last message known good, first one after the gap.
        from_origin_time, to_origin_time: theirs, ns.
        missing_ids: where ids are contiguous; else None.
        proven: whether a loss is shown, not only suggested.
        flagged_from_sequence_number: first message whose row is doubtful.
        flagged_until_sequence_number: first message no longer so; None if the doubt lasts to the end of the day.
        detail: one sentence.
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


@dataclass(frozen=True, slots=True)
class Reach:
    """The snapshots from which a book can recover.

    Attributes:
        sequence: int64[m], ascending.
        origin_time: int64[m], ns.
    """

    sequence: NDArray[np.int64]
    origin_time: NDArray[np.int64]

    def next_after(self, sequence: int) -> tuple[int, int] | None:
        """Sequence number and origin time of the first one at or after a message; None if there is none."""
        at = int(np.searchsorted(self.sequence, sequence, "left"))
        return (int(self.sequence[at]), int(self.origin_time[at])) if at < len(self.sequence) else None


def classify(item: GapCandidate, reach: Reach, settings: GapSettings) -> Gap:
    """What one break means and what will be done about it."""
    recovery = reach.next_after(item.after)
    if item.is_small(settings.recover_after):
        gap_class, action = "small", "flag"
    elif recovery is None or recovery[1] - item.after_ns > settings.snapshot_reach:
        gap_class, action = "unrecoverable", "corrupt"
    else:
        gap_class, action = "large", "recover"
    return Gap(
        kind="exact" if item.cause == "chain" else "inferred",
        cause=item.cause,
        gap_class=gap_class,
        action=action,
        from_sequence_number=item.before,
        to_sequence_number=item.after,
        from_origin_time=item.before_ns,
        to_origin_time=item.after_ns,
        missing_ids=item.missing_ids,
        proven=item.proven,
        flagged_from_sequence_number=item.after,
        flagged_until_sequence_number=recovery[0] if recovery else None,
        detail=item.detail,
    )


def disagreement(agreed: tuple[int, int], snapshot: tuple[int, int], wrong: int, compared: int) -> Gap:
    """The gap between the last snapshot that agreed with the book and one that does not; repaired at the latter.

    Args:
        agreed: sequence number and origin time, ns, of the last proof.
        snapshot: the same of the snapshot that contradicts.
        wrong: levels that differ.
        compared: levels that both claim to know.
    """
    return Gap(
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


def gaps_table(gaps: Iterable[Gap]) -> pa.Table:
    """Arrow table with schema `GAPS_SCHEMA`, in order of time."""
    ordered = sorted(gaps, key=lambda gap: (gap.from_sequence_number, gap.to_sequence_number, gap.cause))
    return pa.Table.from_pylist([asdict(gap) for gap in ordered], schema=GAPS_SCHEMA)
