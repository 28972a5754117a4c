"""`sequence_gap_report`: every gap of a day, found from ids, silences, snapshots and a replay of the best prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.assess.book_quality import crossed_facts
from order_book_platform.assess.gaps.crossed_spells import CrossedSpells
from order_book_platform.assess.gaps.gap_classification import Gap, Reach, classify, disagreement, gaps_table
from order_book_platform.assess.gaps.gap_distribution import distribution, reconnects
from order_book_platform.assess.gaps.message_scan import MessageScan
from order_book_platform.assess.rules import RULES
from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.datasets.sequence_gap_report import GAPS_SCHEMA
from order_book_platform.datasets.snapshots import read_snapshots
from order_book_platform.kernels.book.replay_arrays import (
    OUTCOME_COMPARED,
    OUTCOME_USE,
    OUTCOME_WRONG,
    USE_REPAIRED,
)
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.snapshot_scheduler import SnapshotScheduler
from order_book_platform.replay.snapshot_selection import EveryNthSnapshot, defect_counts, snapshot_defects
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest


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
        deltas = PublishedDeltas(self._store, key)
        encoding = deltas.encoding
        heads, times, defects, reach = self._heads(key, encoding)

        scan = MessageScan(self._settings.gaps.silence, heads)
        choice, nothing = EveryNthSnapshot(self._settings.reconstruct.extend_every), np.empty(0, np.int64)
        planner = SnapshotScheduler(
            read_snapshots(self._store, key, encoding), choice, nothing, encoding.tick
        )
        batches = deltas.batches(self._settings.sources.batch_rows, progress, "replay")
        gaps, compared = self._found(scan, planner, batches, encoding.tick, reach)

        report = self._report(scan, gaps, compared, defect_counts(defects))
        report["snapshots_crossed"] = crossed_facts(times, defects == SnapshotDefect.CROSSED)
        kind = "exact" if scan.has_ids else "inferred"
        ratio = report["seq_gap_ratio"] if scan.has_ids else report["inferred_gap_ratio"]
        gate = GateResult.of(
            "gap_ratio", ratio, RULES["gap_ratio"][0], n=scan.messages, note=f"{kind}: {len(gaps)} gap(s)"
        )
        with self._store.write("sequence_gap_report", key) as writer:
            writer.inputs.update(
                {name: self._store.manifest(name, key).fingerprint for name in ("raw_deltas", "snapshots")}
            )
            writer.parquet("gaps.parquet", GAPS_SCHEMA).write(gaps_table(gaps))
            writer.json("report.json", {**report, "gates": [gate.to_dict()]})
            writer.metadata.update({name: report[name] for name in ("kind", "messages", "gaps", "by_cause")})
        return GapReport(self._store.manifest("sequence_gap_report", key), report, (gate,))

    def _heads(
        self, key: PartitionKey, encoding: PartitionEncoding
    ) -> tuple[Int64Array, Int64Array, NDArray[np.uint8], Reach]:
        """Of all snapshots: sequence numbers, origin times, defects, and those from which a book can recover."""
        choice = EveryNthSnapshot(self._settings.reconstruct.extend_every)
        sequences, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        defects = [np.empty(0, np.uint8)]
        reach = [np.empty((0, 2), np.int64)]
        for batch in read_snapshots(self._store, key, encoding):
            found = snapshot_defects(batch, encoding.tick)
            rows = choice.rows(found)
            rows = rows[found[rows] == SnapshotDefect.NONE]
            sequences.append(batch.sequence_number)
            times.append(batch.origin_time)
            defects.append(found)
            reach.append(np.stack([batch.sequence_number[rows], batch.origin_time[rows]], 1))
        usable = np.concatenate(reach)
        reach_of = Reach(usable[:, 0], usable[:, 1])
        return np.concatenate(sequences), np.concatenate(times), np.concatenate(defects), reach_of

    def _found(
        self,
        scan: MessageScan,
        planner: SnapshotScheduler,
        batches: Iterator[DeltaBatch],
        tick: int,
        reach: Reach,
    ) -> tuple[list[Gap], int]:
        """All gaps, and how many snapshots could be compared with the book.

        One pass: what the messages show by themselves tells the plan from where on a snapshot repairs, in time for the
        book that is built from the same messages. Compared are those snapshots of which the book claims to know at
        least one level.
        """
        settings = self._settings.gaps
        book, crossed = (
            Book(tick, depth=1, crossed_after_ns=settings.crossed_after),
            CrossedSpells(settings.crossed_after),
        )
        heads, gaps = [np.empty((0, 2), np.int64)], list[Gap]()
        for batch in batches:
            scan.feed(batch)
            more = [classify(item, reach, settings) for item in scan.breaks[len(gaps) :]]
            if more:
                planner.recover(FlagTimeline.of_gaps(gaps_table(more)).recover_from)
                gaps += more
            due = planner.until(int(batch.sequence_number[-1]))
            heads.append(np.stack([due.used.sequence_number, due.used.origin_time], 1))
            book.add_snapshots(due.used, due.forced)
            for rows in book.feed(batch):
                crossed.feed(rows)
        crossed.end(book.last_origin_time, book.last_sequence_number)
        outcome, taken = book.outcome, np.concatenate(heads)
        wrong = (outcome[:, OUTCOME_USE] == USE_REPAIRED) & (outcome[:, OUTCOME_WRONG] > 0)
        for i in np.flatnonzero(wrong).tolist():
            agreed, found = taken[max(i - 1, 0)].tolist(), taken[i].tolist()
            levels = int(outcome[i, OUTCOME_WRONG]), int(outcome[i, OUTCOME_COMPARED])
            gaps.append(disagreement((agreed[0], agreed[1]), (found[0], found[1]), *levels))
        gaps += [
            replace(classify(item, reach, settings), flagged_from_sequence_number=item.before)
            for item in crossed.breaks
        ]
        return gaps, int((outcome[:, OUTCOME_COMPARED] > 0).sum())

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
            "distribution": distribution(gaps),
            "reconnects": reconnects(
                gaps,
                silence_ns=self._settings.gaps.silence,
                first=(scan.first_sequence, scan.first_ns),
                last=(scan.last_sequence, scan.last_ns),
            ),
            "first_origin_time": scan.first_ns,
            "last_origin_time": scan.last_ns,
            "first_sequence_number": scan.first_sequence,
            "last_sequence_number": scan.last_sequence,
            "clocks": scan.clocks(),
            "thresholds": self._settings.gaps.model_dump(),
        }
