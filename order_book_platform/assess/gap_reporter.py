"""`sequence_gap_report`: every gap of a day, found from ids, silences, snapshots and a replay of the best prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from order_book_platform.assess.gaps import Gap, Reach, classify, disagreement, gaps_table
from order_book_platform.assess.message_scan import Break, MessageScan
from order_book_platform.kernels.book import Book, Plan
from order_book_platform.kernels.replay import OUTCOME_COMPARED, OUTCOME_USE, OUTCOME_WRONG, USE_REPAIRED
from order_book_platform.model import (
    BookFlag,
    Codes,
    DeltaBatch,
    Gate,
    GateResult,
    PartitionKey,
    SnapshotBatch,
)
from order_book_platform.model.doubt import Doubt
from order_book_platform.model.schemas import GAPS
from order_book_platform.model.snapshots import (
    SnapshotDefect,
    candidate_rows,
    defect_counts,
    snapshot_defects,
)
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources import delta_batches
from order_book_platform.storage import DataStore, Manifest

GAP_RATIO = Gate("<", 0.001)


@dataclass(frozen=True, slots=True)
class GapReport:
    """What was published.

    Attributes:
        manifest: of `sequence_gap_report`.
        report: content of report.json.
        gates: `gap_ratio`.
    """

    manifest: Manifest
    report: dict[str, Any]
    gates: tuple[GateResult, ...]


class GapReporter:
    """Finds the gaps of one symbol and day.

    Where the source kept `U` or `pu`, the chain of ids proves each loss (kind `exact`). Crypto Lake keeps neither:
    then a pause, a snapshot of a message that never came, a snapshot that contradicts the book, and a book crossed for
    long are taken as signs (kind `inferred`).

    Args:
        store: has `raw_deltas` and `snapshots`; gets `sequence_gap_report`.
        settings: `gaps`, and `reconstruct.extend_every`, which says which snapshots may be compared with the book.
    """

    GATES = ("gap_ratio",)

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> GapReport:
        """Publish the gap report of one symbol and day.

        Raises:
            PartitionMissingError: `raw_deltas` or `snapshots` has not been published.
        """
        manifest = self._store.manifest("raw_deltas", key)
        codes = Codes.of(manifest.metadata)
        tick = codes.tick_codes if codes else manifest.fixed_point.tick_pips
        snapshots = SnapshotBatch.from_arrow(self._store.table("snapshots", key), codes)
        defects = snapshot_defects(snapshots, tick)
        rows = candidate_rows(defects, self._settings.reconstruct.extend_every)
        candidates = snapshots.take(rows[defects[rows] == SnapshotDefect.NONE])
        reach = Reach(candidates.sequence_number, candidates.origin_time)

        scan = MessageScan(self._settings.gaps.silence, snapshots.sequence_number)
        for batch in self._batches(key, codes, "scan", progress):
            scan.feed(batch)
        gaps = [classify(item, reach, self._settings.gaps) for item in scan.breaks]
        doubt = Doubt.of_gaps(gaps_table(gaps))
        found, compared = self._replayed(key, codes, candidates, doubt, reach, tick, progress)
        gaps += found

        report = self._report(scan, gaps, compared, defect_counts(defects))
        kind = "exact" if scan.has_ids else "inferred"
        ratio = report["seq_gap_ratio"] if scan.has_ids else report["inferred_gap_ratio"]
        gate = GateResult.of(
            "gap_ratio", ratio, GAP_RATIO, n=scan.messages, note=f"{kind}: {len(gaps)} gap(s)"
        )
        with self._store.write("sequence_gap_report", key) as writer:
            writer.inputs.update(
                {name: self._store.manifest(name, key).fingerprint for name in ("raw_deltas", "snapshots")}
            )
            writer.parquet("gaps.parquet", GAPS).write(gaps_table(gaps))
            writer.json("report.json", {**report, "gates": [gate.to_dict()]})
            writer.metadata.update({name: report[name] for name in ("kind", "messages", "gaps", "by_cause")})
        return GapReport(self._store.manifest("sequence_gap_report", key), report, (gate,))

    def _batches(
        self, key: PartitionKey, codes: Codes | None, stage: str, progress: Progress
    ) -> Iterator[DeltaBatch]:
        return delta_batches(self._store, key, self._settings.sources.batch_rows, stage, progress, codes)

    def _replayed(
        self,
        key: PartitionKey,
        codes: Codes | None,
        candidates: SnapshotBatch,
        doubt: Doubt,
        reach: Reach,
        tick: int,
        progress: Progress,
    ) -> tuple[list[Gap], int]:
        """Gaps that only show once a book is built, and how many snapshots could be compared with it.

        Compared are those of which the book claims to know at least one level.
        """
        plan = Plan(candidates, doubt.forced(candidates.sequence_number))
        book = Book(tick, depth=1, plan=plan, crossed_after_ns=self._settings.gaps.crossed_after)
        crossed: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        for batch in self._batches(key, codes, "replay", progress):
            crossed += [rows[:, :4].copy() for rows in book.feed(batch)]
        gaps = []
        agreed = compared = 0
        for i, outcome in enumerate(book.outcome):
            if outcome[OUTCOME_USE] == USE_REPAIRED and outcome[OUTCOME_WRONG] > 0:
                ends = [
                    (int(candidates.sequence_number[j]), int(candidates.origin_time[j])) for j in (agreed, i)
                ]
                gaps.append(
                    disagreement(
                        ends[0], ends[1], int(outcome[OUTCOME_WRONG]), int(outcome[OUTCOME_COMPARED])
                    )
                )
            compared += int(outcome[OUTCOME_COMPARED] > 0)
            agreed = i
        rows = np.concatenate(crossed) if crossed else np.empty((0, 4), np.int64)
        return gaps + self._crossed(rows, book, reach), compared

    def _crossed(self, rows: np.ndarray[Any, np.dtype[np.int64]], book: Book, reach: Reach) -> list[Gap]:
        """Spells during which the best bid stood above the best ask for longer than the threshold."""
        if not len(rows):
            return []
        state = np.concatenate([[0], (rows[:, 3] & BookFlag.CROSSED != 0).astype(np.int8), [0]])
        starts, ends = np.flatnonzero(np.diff(state) == 1), np.flatnonzero(np.diff(state) == -1)
        last = np.array([[book.last_origin_time, 0, book.last_sequence_number, 0]])
        rows = np.concatenate([rows, last])
        gaps = []
        for start, end in zip(starts, ends, strict=True):
            lasted = int(rows[end, 0] - rows[start, 0])
            if lasted <= self._settings.gaps.crossed_after:
                continue
            item = Break(
                "crossed",
                int(rows[start, 2]),
                int(rows[end, 2]),
                int(rows[start, 0]),
                int(rows[end, 0]),
                None,
                f"crossed for {lasted / 1e9:.3f} s",
            )
            gap = classify(item, reach, self._settings.gaps)
            gaps.append(replace(gap, flagged_from_sequence_number=item.before))
        return gaps

    def _report(
        self, scan: MessageScan, gaps: list[Gap], compared: int, defects: dict[str, int]
    ) -> dict[str, Any]:
        causes = Counter(gap.cause for gap in gaps)
        steps = max(scan.messages - 1, 1)
        return {
            "kind": "exact" if scan.has_ids else "inferred",
            "messages": scan.messages,
            "gaps": len(gaps),
            "by_cause": dict(sorted(causes.items())),
            "by_class": dict(sorted(Counter(gap.gap_class for gap in gaps).items())),
            "by_action": dict(sorted(Counter(gap.action for gap in gaps).items())),
            "seq_gap_ratio": causes["chain"] / steps if scan.has_ids else None,
            "inferred_gap_ratio": (len(gaps) - causes["chain"]) / max(scan.messages, 1),
            "unseen_snapshots": scan.unseen_snapshots,
            "snapshots_compared": compared,
            "snapshot_defects": defects,
            "first_origin_time": scan.first_ns,
            "last_origin_time": scan.last_ns,
            "first_sequence_number": scan.first_sequence,
            "last_sequence_number": scan.last_sequence,
            "clocks": scan.clocks(),
            "thresholds": self._settings.gaps.model_dump(),
        }
