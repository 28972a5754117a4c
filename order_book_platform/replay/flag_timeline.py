"""From a gap report to what a replay needs: where rows are doubtful and where the book must be rebuilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.model.flags import PROVEN_LOSS, BookFlag

NEVER = -(2**63)
"""Before every sequence number."""


@dataclass(frozen=True, slots=True)
class FlagTimeline:
    """What the gaps of a day mean for its rows.

    Attributes:
        edge_sequence: int64[e], ascending: from the first message ≥ it …
        edge_bits: int64[e]: … these bits hold (`GAP`, `CORRUPT`, `HINDSIGHT` of `BookFlag`, `PROVEN_LOSS`).
        recover_from: int64[r], ascending: the first usable snapshot ≥ it repairs without being asked.
    """

    edge_sequence: NDArray[np.int64]
    edge_bits: NDArray[np.int64]
    recover_from: NDArray[np.int64]

    @classmethod
    def none(cls) -> FlagTimeline:
        """No doubt at all."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing)

    @classmethod
    def of_gaps(cls, gaps: pa.Table) -> FlagTimeline:
        """Doubt of a table with schema `GAPS`; overlapping gaps are united."""
        rows = gaps.to_pylist()
        changes: list[tuple[int, int, int]] = []
        for row in rows:
            bits = gap_bits(row["cause"], row["action"], row["proven"])
            changes.append((row["flagged_from_sequence_number"], +1, bits))
            if row["flagged_until_sequence_number"] is not None:
                changes.append((row["flagged_until_sequence_number"], -1, bits))
        kinds = (int(BookFlag.GAP), int(BookFlag.CORRUPT), int(BookFlag.HINDSIGHT), PROVEN_LOSS)
        depth = dict.fromkeys(kinds, 0)
        edges: dict[int, int] = {}
        for sequence, step, bits in sorted(changes):
            for bit in depth:
                if bits & bit:
                    depth[bit] += step
            edges[sequence] = sum(bit for bit, count in depth.items() if count > 0)
        forced = [
            row["to_sequence_number"]
            for row in rows
            if row["action"] != "flag" and row["cause"] != "disagreement"
        ]
        return cls(
            np.array(list(edges), np.int64),
            np.array(list(edges.values()), np.int64),
            np.array(sorted(forced), np.int64),
        )


class Recoveries:
    """Which snapshots of a plan repair without being asked: the first one at or after each recovery point.

    Args:
        recover_from: of `FlagTimeline`.
        after: sequence number of the last snapshot of the plan so far; what was due up to it has been done.
    """

    def __init__(self, recover_from: NDArray[np.int64], after: int = NEVER) -> None:
        self._due = recover_from[recover_from > after]

    def add(self, recover_from: NDArray[np.int64]) -> None:
        """Losses that were found meanwhile, all behind those before; the plan has reached what came before them.

        Of points that are still open one is kept: no snapshot of the plan lay at or after any of them, so the next one
        meets them all.
        """
        self._due = np.concatenate([self._due[-1:], recover_from])

    @property
    def open(self) -> NDArray[np.int64]:
        """Recovery points that no snapshot has met."""
        return self._due

    def forced(self, snapshot_sequence: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of the plan's next snapshots, which repair.

        Args:
            snapshot_sequence: int64[m], ascending.
        """
        at = np.searchsorted(snapshot_sequence, self._due, "left")
        met = at < len(snapshot_sequence)
        forced = np.zeros(len(snapshot_sequence), np.bool_)
        forced[at[met]] = True
        self._due = self._due[~met]
        return forced


def gap_bits(cause: str, action: str, proven: bool) -> int:
    """What a gap says of its rows: bits of `BookFlag`, and `PROVEN_LOSS`.

    A disagreement and a long crossed spell are only known after the rows they cast doubt on. Those rows get a bit of
    their own and keep what they claimed at the time, so that nothing an agent sees depends on what came later.
    """
    if cause in ("disagreement", "crossed"):
        return int(BookFlag.HINDSIGHT)
    bits = int(BookFlag.GAP)
    if action == "corrupt":
        bits |= int(BookFlag.CORRUPT)
    return bits | (PROVEN_LOSS if proven else 0)
