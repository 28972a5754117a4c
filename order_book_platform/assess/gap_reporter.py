"""Publishes `sequence_gap_report`: every gap of a day, from ids, silences, snapshots and a replay of the book."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from order_book_platform.assess.day_report import PublishedReport
from order_book_platform.assess.gap_classification import (
    ClassifiedGap,
    RecoverySnapshots,
    classify,
    disagreement,
    gap_summary,
    gaps_table,
)
from order_book_platform.assess.message_scan import MessageScan
from order_book_platform.assess.rules import RULES
from order_book_platform.clock import NS_PER_SECOND
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
from order_book_platform.model import BookFlag, GateResult, PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array, UInt8Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.replay.snapshot_scheduler import (
    EveryNthSnapshot,
    SnapshotScheduler,
    defect_counts,
    snapshot_defects,
)
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore

ORIGIN, SEQUENCE, FLAGS = 0, 2, 3
"""Columns of a row of the replay: origin time, sequence number, flags."""


def crossed_statistics(origin_time: Int64Array, crossed: BoolArray) -> dict[str, Any]:
    """Return how many rows of `book` are crossed, bool[n], their share of rows and of time, and their longest spell.

    A row holds from its origin time, int64[n] ns, until the next one.
    """
    n = len(crossed)
    if not n:
        shares = dict.fromkeys(("crossed_share", "crossed_time_share", "longest_crossed_s"))
        return {"rows": 0, "crossed_rows": 0, **shares}
    held = np.maximum(np.diff(origin_time, append=origin_time[-1]), 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], crossed, [False]]).astype(np.int8)))
    spells = [
        int(origin_time[min(end, n - 1)] - origin_time[start]) for start, end in edges.reshape(-1, 2).tolist()
    ]
    return {
        "rows": n,
        "crossed_rows": int(crossed.sum()),
        "crossed_share": float(crossed.mean()),
        "crossed_time_share": float(held[crossed].sum() / held.sum()) if held.sum() else None,
        "longest_crossed_s": max(spells, default=0) / NS_PER_SECOND,
    }


class CrossedSpells:
    """Finds spells of a crossed book that last longer than is tolerated, in the rows of a replay in order."""

    def __init__(self, tolerated_ns: int) -> None:
        self._tolerated_ns = tolerated_ns
        self._since: tuple[int, int] | None = None
        self.candidates: list[GapCandidate] = []

    def feed(self, rows: Int64Array) -> None:
        """Take the next rows, int64[n, ≥ 4], of a replay that shows at least every change of the best prices."""
        crossed = rows[:, FLAGS] & BookFlag.CROSSED != 0
        before = np.concatenate([[self._since is not None], crossed[:-1]])
        for at in np.flatnonzero(crossed != before):
            place = int(rows[at, ORIGIN]), int(rows[at, SEQUENCE])
            if crossed[at]:
                self._since = place
            else:
                self.end(*place)

    def end(self, origin_time: int, sequence_number: int) -> None:
        """End a spell, if there is one, with a message from which on the book is not crossed, or the day's last."""
        if self._since is None:
            return
        (since_ns, since), self._since = self._since, None
        lasted = origin_time - since_ns
        if lasted > self._tolerated_ns:
            detail = f"crossed for {lasted / NS_PER_SECOND:.3f} s"
            self.candidates.append(
                GapCandidate("crossed", since, sequence_number, since_ns, origin_time, None, detail)
            )


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
        """Publish the gap report of one symbol and day from `raw_deltas` and `snapshots`; its gate is `gap_ratio`."""
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
        ratio = report["seq_gap_ratio"] if scan.detector.has_ids else report["inferred_gap_ratio"]
        note = f"{report['kind']}: {len(gaps)} gap(s)"
        gate = GateResult.of("gap_ratio", ratio, RULES["gap_ratio"].gate, n=scan.detector.messages, note=note)
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

        Returns sequence numbers int64[m], origin times int64[m] ns and defects uint8[m] of all, and those to recover
        from.
        """
        every_nth = EveryNthSnapshot(self._settings.reconstruct.extend_every)
        parts = [tuple(np.empty(0, kind) for kind in (np.int64, np.int64, np.uint8, np.bool_))]
        for batch in read_snapshots(self._store, key, encoding):
            found = snapshot_defects(batch, encoding.tick)
            chosen = np.zeros(len(batch), np.bool_)
            chosen[every_nth.rows(found)] = True
            usable = chosen & (found == SnapshotDefect.NONE)
            parts.append((batch.sequence_number, batch.origin_time, found, usable))
        numbers, times, defects, in_turn = (np.concatenate(each) for each in zip(*parts, strict=True))
        sound = defects == SnapshotDefect.NONE
        behind_chain = RecoverySnapshots(numbers[sound], times[sound]) if every_nth.recovers else None
        return numbers, times, defects, RecoverySnapshots(numbers[in_turn], times[in_turn], behind_chain)

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
        explained = [np.empty(0, np.bool_)]
        for batch in batches:
            scan.feed(batch)
            more = [classify(candidate, recovery, settings) for candidate in scan.candidates[len(gaps) :]]
            if more:
                scheduler.recovery_points.proven_by_ids = scan.detector.has_ids
                scheduler.recovery_points.add(FlagTimeline.from_gaps(gaps_table(more)).recover_from)
                gaps += more
            due = scheduler.due_by(batch)
            used.append(np.stack([due.used.sequence_number, due.used.origin_time], 1))
            # Behind a loss that ids prove, the book differs because of that loss, which has its own row.
            explained.append(due.forced & scan.detector.has_ids)
            book.add_snapshots(due.merged, due.forced)
            for rows in book.feed(batch):
                crossed.feed(rows)
        crossed.end(book.last_origin_time, book.last_sequence_number)
        outcome, taken = book.outcomes, np.concatenate(used)
        wrong = (outcome[:, OUTCOME_USE] == USE_REPAIRED) & (outcome[:, OUTCOME_WRONG] > 0)
        wrong &= ~np.concatenate(explained)[: len(wrong)]
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
        first, last = (
            (scan.first_sequence, scan.first_ns),
            (scan.detector.last_sequence, scan.detector.last_ns),
        )
        summary = gap_summary(gaps, silence_ns=self._settings.gaps.silence, first=first, last=last)
        broken = summary["by_cause"].get("chain", 0)
        return {
            "kind": "exact" if scan.detector.has_ids else "inferred",
            "messages": scan.detector.messages,
            **summary,
            "seq_gap_ratio": broken / max(scan.detector.messages - 1, 1) if scan.detector.has_ids else None,
            "inferred_gap_ratio": (len(gaps) - broken) / max(scan.detector.messages, 1),
            "unseen_snapshots": scan.unseen_snapshots,
            "snapshots_compared": compared,
            "snapshot_defects": defects,
            "first_origin_time": scan.first_ns,
            "last_origin_time": scan.detector.last_ns,
            "first_sequence_number": scan.first_sequence,
            "last_sequence_number": scan.detector.last_sequence,
            "clocks": scan.clocks(),
            "thresholds": self._settings.gaps.model_dump(),
        }
