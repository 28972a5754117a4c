"""Publishes `sequence_gap_report`: every gap of a day, from ids, silences, snapshots and a replay of the book."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from order_book_platform.assess.book_quality import crossed_statistics
from order_book_platform.assess.gaps.crossed_spells import CrossedSpells
from order_book_platform.assess.gaps.gap_classification import (
    ClassifiedGap,
    RecoverySnapshots,
    classify,
    disagreement,
    gaps_table,
)
from order_book_platform.assess.gaps.gap_distribution import gap_summary
from order_book_platform.assess.gaps.message_scan import MessageScan
from order_book_platform.assess.report.published_report import PublishedReport
from order_book_platform.assess.rules import RULES
from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.datasets.snapshots import read_snapshots
from order_book_platform.kernels.book.replay_arrays import (
    OUTCOME_COMPARED,
    OUTCOME_USE,
    OUTCOME_WRONG,
    USE_REPAIRED,
)
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.model.arrays import Int64Array, UInt8Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.snapshot_scheduler import (
    EveryNthSnapshot,
    SnapshotScheduler,
    defect_counts,
    snapshot_defects,
)
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore


class GapReporter:
    """Finds the gaps of one symbol and day.

    Where the source kept `U` or `pu`, the chain of ids proves each loss (kind `exact`). Crypto Lake keeps neither. Then
    a silence, a snapshot of a message that never came, a snapshot that contradicts the book, and a book that is crossed
    for long are taken as signs of one (kind `inferred`).

    Args:
        store: Has `raw_deltas` and `snapshots`; gets `sequence_gap_report`.
        settings: Settings `gaps`, `sources.batch_rows`, and `reconstruct.extend_every`, which says which snapshots may
            be compared with the book.
    """

    GATES = ("gap_ratio",)

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> PublishedReport:
        """Publish the gap report of one symbol and day; its gate is `gap_ratio`.

        Raises:
            PartitionMissingError: `raw_deltas` or `snapshots` has not been published.
        """
        deltas = PublishedDeltas(self._store, key)
        encoding = deltas.encoding
        numbers, times, defects, recovery = self._look_at_snapshots(key, encoding)

        scan = MessageScan(self._settings.gaps.silence, numbers)
        every_nth, no_recoveries = (
            EveryNthSnapshot(self._settings.reconstruct.extend_every),
            np.empty(0, np.int64),
        )
        scheduler = SnapshotScheduler(
            read_snapshots(self._store, key, encoding), every_nth, no_recoveries, encoding.tick
        )
        batches = deltas.batches(self._settings.sources.batch_rows, progress, "replay")
        gaps, compared = self._find_gaps(scan, scheduler, batches, encoding.tick, recovery)

        report = self._report(scan, gaps, compared, defect_counts(defects))
        report["snapshots_crossed"] = crossed_statistics(times, defects == SnapshotDefect.CROSSED)
        ratio = report["seq_gap_ratio"] if scan.has_ids else report["inferred_gap_ratio"]
        note = f"{report['kind']}: {len(gaps)} gap(s)"
        gate = GateResult.of("gap_ratio", ratio, RULES["gap_ratio"].gate, n=scan.messages, note=note)
        with self._store.write("sequence_gap_report", key) as writer:
            writer.inputs.update(
                {name: self._store.manifest(name, key).fingerprint for name in ("raw_deltas", "snapshots")}
            )
            writer.parquet("gaps.parquet", GAPS_SCHEMA).write(gaps_table(gaps))
            writer.json("report.json", {**report, "gates": [gate.to_dict()]})
            writer.metadata.update({name: report[name] for name in ("kind", "messages", "gaps", "by_cause")})
        return PublishedReport(self._store.manifest("sequence_gap_report", key), report, (gate,))

    def _look_at_snapshots(
        self, key: PartitionKey, encoding: PartitionEncoding
    ) -> tuple[Int64Array, Int64Array, UInt8Array, RecoverySnapshots]:
        """Read all snapshots of the day once.

        Returns:
            Sequence numbers int64[m], origin times int64[m] ns and defects uint8[m] of all snapshots, and those from
            which a book can recover.
        """
        every_nth = EveryNthSnapshot(self._settings.reconstruct.extend_every)
        numbers, times = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        defects, usable = [np.empty(0, np.uint8)], [np.empty(0, np.bool_)]
        for batch in read_snapshots(self._store, key, encoding):
            found = snapshot_defects(batch, encoding.tick)
            chosen = np.zeros(len(batch), np.bool_)
            chosen[every_nth.rows(found)] = True
            numbers.append(batch.sequence_number)
            times.append(batch.origin_time)
            defects.append(found)
            usable.append(chosen & (found == SnapshotDefect.NONE))
        all_numbers, all_times, sound = np.concatenate(numbers), np.concatenate(times), np.concatenate(usable)
        recovery = RecoverySnapshots(all_numbers[sound], all_times[sound])
        return all_numbers, all_times, np.concatenate(defects), recovery

    def _find_gaps(
        self,
        scan: MessageScan,
        scheduler: SnapshotScheduler,
        batches: Iterator[DeltaBatch],
        tick: int,
        recovery: RecoverySnapshots,
    ) -> tuple[list[ClassifiedGap], int]:
        """Find all gaps in one pass, and count the snapshots that could be compared with the book.

        The gaps that messages show by themselves tell the scheduler from where on a snapshot repairs, in time for the
        book that is built from the same messages. A snapshot can be compared if the book claims to know at least one of
        its levels.
        """
        settings = self._settings.gaps
        book = Book(tick, depth=1, crossed_after_ns=settings.crossed_after)
        crossed = CrossedSpells(settings.crossed_after)
        used, gaps = [np.empty((0, 2), np.int64)], list[ClassifiedGap]()
        for batch in batches:
            scan.feed(batch)
            more = [classify(candidate, recovery, settings) for candidate in scan.candidates[len(gaps) :]]
            if more:
                scheduler.recovery_points.add(FlagTimeline.from_gaps(gaps_table(more)).recover_from)
                gaps += more
            due = scheduler.due_by(int(batch.sequence_number[-1]))
            used.append(np.stack([due.used.sequence_number, due.used.origin_time], 1))
            book.add_snapshots(due.used, due.forced)
            for rows in book.feed(batch):
                crossed.feed(rows)
        crossed.end(book.last_origin_time, book.last_sequence_number)
        outcome, taken = book.outcomes, np.concatenate(used)
        wrong = (outcome[:, OUTCOME_USE] == USE_REPAIRED) & (outcome[:, OUTCOME_WRONG] > 0)
        for i in np.flatnonzero(wrong).tolist():
            agreed, contradicts = taken[max(i - 1, 0)].tolist(), taken[i].tolist()
            levels = int(outcome[i, OUTCOME_WRONG]), int(outcome[i, OUTCOME_COMPARED])
            gaps.append(disagreement((agreed[0], agreed[1]), (contradicts[0], contradicts[1]), *levels))
        gaps += [
            replace(classify(candidate, recovery, settings), flagged_from_sequence_number=candidate.before)
            for candidate in crossed.candidates
        ]
        return gaps, int((outcome[:, OUTCOME_COMPARED] > 0).sum())

    def _report(
        self, scan: MessageScan, gaps: list[ClassifiedGap], compared: int, defects: dict[str, int]
    ) -> dict[str, Any]:
        first, last = (scan.first_sequence, scan.first_ns), (scan.last_sequence, scan.last_ns)
        summary = gap_summary(gaps, silence_ns=self._settings.gaps.silence, first=first, last=last)
        broken = summary["by_cause"].get("chain", 0)
        return {
            "kind": "exact" if scan.has_ids else "inferred",
            "messages": scan.messages,
            **summary,
            "seq_gap_ratio": broken / max(scan.messages - 1, 1) if scan.has_ids else None,
            "inferred_gap_ratio": (len(gaps) - broken) / max(scan.messages, 1),
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
