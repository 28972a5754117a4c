"""Judges a day straight from its files, before anything is published: from footers and a sample, or from every row."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from order_book_platform.assess.data_assessor import DataAssessor
from order_book_platform.assess.day_report import (
    coverage_section,
    messages_in_all,
    precision_section,
    rate_section,
    report_head,
    tick_change,
    times_of,
)
from order_book_platform.assess.gap_classification import (
    ClassifiedGap,
    RecoverySnapshots,
    classify,
    gap_summary,
)
from order_book_platform.assess.gap_reporter import GapReporter
from order_book_platform.assess.lake_day import PIECES, LakeDay, read_day
from order_book_platform.assess.lake_range import impossible_values
from order_book_platform.assess.rules import (
    Judgement,
    RuleFigure,
    day_coverage,
    forcing_decimals,
    judge,
    message_figures,
)
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.errors import OrderBookPlatformError, SourceMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.snapshot_scheduler import EveryNthSnapshot
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest, LakeSource
from order_book_platform.sources.day_survey import ParquetStatistics
from order_book_platform.sources.lake_source import TABLES
from order_book_platform.sources.price_grid import configured_text
from order_book_platform.sources.table_reader import PIECE_ROWS
from order_book_platform.storage import DataStore

SAMPLED_GAPS = " (silences and unseen snapshots only: crossed books and disagreement need --full)"
"""Text behind the notes of the rules on gaps, which a sample looks at in part."""
LISTED = 20
"""Silences that are listed, the longest ones; all are counted."""


class LakeAssessor:
    """Judges a symbol and day of the lake, by its settings, and publishes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def full(self, key: PartitionKey, progress: Progress = silent) -> dict[str, Any]:
        """Return the report that `data_assessment` would have, from every row; errors are those of `LakeIngest`.

        The components that make the assets are run over a store of their own, which is removed afterwards, so that this
        report and one that is published later cannot differ. Meanwhile `raw_deltas`, `snapshots` and `trades` take disk
        space in the folder of temporary files.
        """
        with tempfile.TemporaryDirectory(prefix="obp-assess-") as folder:
            store = DataStore(Path(folder))
            LakeIngest(store, self._settings).run(key, progress)
            GapReporter(store, self._settings).run(key, progress)
            return DataAssessor(store, self._settings).run(key, progress).report

    def sampled(self, key: PartitionKey) -> dict[str, Any]:
        """Return a report from footers, the best prices of `book` and a sample; each figure says which it is from."""
        day = read_day(self._source, self._settings, key)
        estimate = estimate_run(
            deltas=day.footers["book_delta_v2"].rows,
            snapshots=day.footers["book"].rows,
            batch_rows=self._settings.sources.batch_rows,
            decimal_sizes=day.deltas.decoder.size_count,
            day_share=day.silences.span and day_coverage(key, *day.silences.span),
        )
        gaps = _gaps(day, self._settings)
        _, impossible, notes = impossible_values(key.day, day.footers)
        figures = _figures(day, gaps, estimate, self._settings) | impossible
        ratio = figures["gap_ratio"].value if "gap_ratio" in figures else None
        gap_section = _gap_section(day, gaps, ratio, self._settings)
        notes |= dict.fromkeys(("gap_ratio", "proven_losses"), SAMPLED_GAPS)
        judgement = judge(figures, gap_section["by_action"], notes, has_book=bool(day.files["book"]))
        return {
            **_day_report(day, gap_section, judgement, self._settings),
            "estimate": {"basis": "estimate", **asdict(estimate)},
            **judgement.report,
        }


def _gaps(day: LakeDay, settings: Settings) -> list[ClassifiedGap]:
    """Classify the silences of the whole day, and the other gaps of the sample, by the snapshots to recover from."""
    best = day.best
    order = np.argsort(best.sequence_number, kind="stable")
    bad = (best.crossed | best.one_sided)[order].astype(np.uint8)
    rows = EveryNthSnapshot(settings.reconstruct.extend_every).rows(bad)
    usable = order[rows[bad[rows] == 0]]
    recovery = RecoverySnapshots(best.sequence_number[usable], best.origin_time[usable])
    others = [item for item in day.deltas.scan.candidates if item.cause != "silence" and day.in_order]
    candidates = sorted((*day.silences.candidates, *others), key=lambda item: item.after)
    return [classify(item, recovery, settings.gaps) for item in candidates]


def _gap_ratio(day: LakeDay, gaps: list[ClassifiedGap]) -> float | None:
    """Add the silences by all messages of the day and the other gaps by the messages of the sample."""
    messages, audit = day.deltas.scan.detector.messages, day.deltas.audit
    in_all = messages_in_all(audit["messages"], audit["rows"], day.footers["book_delta_v2"].rows)
    if not messages or not in_all or not day.in_order:
        return None
    silences = len(day.silences.candidates)
    return silences / in_all + (len(gaps) - silences) / messages


def _figures(
    day: LakeDay, gaps: list[ClassifiedGap], estimate: RunEstimate, settings: Settings
) -> dict[str, RuleFigure]:
    scan, audit, footers = day.deltas.scan, day.deltas.audit, day.footers["book_delta_v2"]
    messages, rows = scan.detector.messages, audit["rows"]
    first, last = day.silences.span or (0, 0)
    figures = {
        "deltas": RuleFigure(footers.rows, footers.rows, "statistics"),
        "messages": RuleFigure(messages, messages, "sample"),
        "seed": RuleFigure(day.book.sound, day.book.rows, "sample"),
        "gap_ratio": RuleFigure(_gap_ratio(day, gaps), messages, "sample"),
        "origin_coverage": RuleFigure(day.silences.coverage, footers.rows, "full"),
        "decimals": RuleFigure(forcing_decimals(_precision(day, settings)), rows, "sample"),
        "increments": RuleFigure(len(day.contradicted), rows, "sample"),
        "tick_changes": RuleFigure(len(tick_changes(day)), len(day.deltas.ticks), "sample"),
        "memory": RuleFigure(estimate.peak_bytes, footers.rows, "estimate"),
        "day_coverage": RuleFigure(day_coverage(day.key, first, last), footers.rows, "full"),
        "unsorted": _unsorted(day),
        **message_figures(
            "sample",
            audit=audit,
            rows=rows,
            trades=day.trades,
            clocks=scan.clocks(),
            messages=messages,
            proven_losses=sum(gap.proven for gap in gaps),
        ),
    }
    if not day.in_order:  # a message that seems lost may lie in rows that were not looked at
        del figures["gap_ratio"], figures["proven_losses"]
    if day.book.rows:
        share, crossed = day.book.sound / day.book.rows, float(day.best.crossed.mean())
        figures["snapshots_sound"] = RuleFigure(share, day.book.rows, "sample")
        figures["book_crossed"] = RuleFigure(crossed, len(day.best.bid), "full")
    return figures


def _unsorted(day: LakeDay) -> RuleFigure:
    """Count the row groups that go back in sequence, if the footers show any; else the rows of the sample that do."""
    footers = day.footers["book_delta_v2"]
    back = 0 if day.deltas.whole else footers.groups_back("sequence_number")
    if back:
        return RuleFigure(back, len(footers.group_rows), "statistics")
    return RuleFigure(day.deltas.audit["unsorted_rows"], day.deltas.audit["rows"], "sample")


def _day_report(
    day: LakeDay, gap_section: dict[str, Any], judgement: Judgement, settings: Settings
) -> dict[str, Any]:
    """Return all but rules and estimate; each section says what it is from, and of a sample how large it was."""
    deltas, book = day.deltas, day.book
    why = f"{judgement.why}, as far as statistics and sample show"
    strategy = {
        "strategy": "full_event",
        "seeding": "snapshot" if book.sound else "cold",
        "rule": f"there are deltas, and {book.sound:,} of {book.rows:,} snapshots of the sample can seed; "
        "whether snapshots contradict the deltas takes the full scan",
    }
    rate = rate_section(
        "sample",
        messages=deltas.audit["messages"],
        pairs=deltas.scan.pairs,
        span_ns=deltas.scan.span_ns,
        rows=deltas.audit["rows"],
        all_rows=day.footers["book_delta_v2"].rows,
        day=day.silences.span,
    )
    levels = {"n": book.rows, "sound": book.sound, "defects": book.defects}
    return {
        **report_head(day.key, "sample", judgement.verdict, why, strategy, day.point),
        "availability": {table: _availability(day.footers[table]) for table in TABLES},
        "sample": _sample(day),
        "coverage": _coverage(day),
        "rate": {**rate, "n": deltas.scan.detector.messages},
        "precision": _precision(day, settings),
        "audit": {"basis": "sample", **deltas.decoder.readable_audit(dict(deltas.audit))},
        "snapshots": {
            "best_prices": {"basis": "full", **day.best.to_dict()},
            "levels": {"basis": "sample", **levels},
        },
        "trades": {"basis": "sample", **day.trades},
        "gaps": gap_section,
        "clocks": {"basis": "sample", "n": deltas.scan.detector.messages, **deltas.scan.clocks()},
    }


def unreadable_report(key: PartitionKey, error: OrderBookPlatformError, scan: str) -> dict[str, Any]:
    """Return the report on a day whose scan, `full` or `sample`, was ended by an error: `missing` or `damaged`."""
    return {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "scan": scan,
        "verdict": "missing" if isinstance(error, SourceMissingError) else "damaged",
        "why": f"{type(error).__name__}: {error}",
        "error": {"class": type(error).__name__, **vars(error)},
    }


def _gap_section(
    day: LakeDay, gaps: list[ClassifiedGap], ratio: float | None, settings: Settings
) -> dict[str, Any]:
    """Return the silences of the day and the other gaps of the sample.

    The ids of the whole day are known from the footers; they say how many ids a pause would have brought.
    """
    scan, footers = day.deltas.scan, day.footers["book_delta_v2"]
    first, last = (scan.first_sequence, scan.first_ns), (scan.detector.last_sequence, scan.detector.last_ns)
    ids, span = footers.extremes("sequence_number"), day.silences.span
    if ids is not None and span is not None:
        first, last = (int(ids[0]), span[0]), (int(ids[1]), span[1])
    return {
        "basis": "sample",
        "basis_of_silences": "full",
        "n": scan.detector.messages,
        "kind": "inferred",
        "seq_gap_ratio": None,
        "inferred_gap_ratio": ratio,
        "not_looked_for": ["crossed", "disagreement"],
        **gap_summary(gaps, silence_ns=settings.gaps.silence, first=first, last=last),
    }


def _precision(day: LakeDay, settings: Settings) -> dict[str, Any]:
    instrument, decoder = settings.instrument(day.key.instrument), day.deltas.decoder
    hold = "hold every value of" if decoder.precision == "int64" else "do not hold"
    return precision_section(
        day.point,
        basis="sample",
        n=day.deltas.audit["rows"],
        wanted=instrument.precision,
        chosen=decoder.precision,
        why=f"pips {hold} the sample",
        **decoder.overflow_audit(),
        tick_changes=tick_changes(day),
        configured=configured_text(instrument),
        contradicted=day.contradicted,
    )


def _availability(footers: ParquetStatistics) -> dict[str, Any]:
    return {
        "basis": "statistics",
        "available": footers.files > 0,
        "rows": footers.rows,
        "files": footers.files,
        "bytes": footers.size_bytes,
        **times_of(footers.span),
        "row_groups": len(footers.group_rows),
        "nulls": sum(footers.nulls.values()),
    }


def _coverage(day: LakeDay) -> dict[str, Any]:
    """Return span and silences of the deltas, from the times of all of them, and their order, from the footers."""
    footers, candidates = day.footers["book_delta_v2"], day.silences.candidates
    longest = sorted(candidates, key=lambda each: each.before_ns - each.after_ns)[:LISTED]
    silences = [(each.before_ns, (each.after_ns - each.before_ns) / NS_PER_SECOND) for each in longest]
    return {
        **coverage_section(day.key, day.silences.span, silences, len(candidates)),
        "silent_s": day.silences.silent_ns / NS_PER_SECOND,
        "groups_back_in_time": None if footers.clock is None else footers.groups_back(footers.clock),
        "groups_back_in_sequence": footers.groups_back("sequence_number"),
    }


def _sample(day: LakeDay) -> dict[str, Any]:
    """Return how many deltas were looked at, from when to when, and whether that reaches the end of the day."""
    rows, span = day.footers["book_delta_v2"].rows, day.silences.span
    known = [run for run in day.deltas.ticks if run.first_ns]
    stretches = [[iso_from_ns(run.first_ns), iso_from_ns(run.last_ns)] for run in known]
    unseen_ns = span[1] - max(run.last_ns for run in known) if span and known else 0
    return {
        "basis": "sample",
        "n": day.deltas.audit["rows"],
        "share_of_rows": day.deltas.audit["rows"] / rows if rows else None,
        "whole": day.deltas.whole,
        "stretches": stretches,
        "unseen_at_end_s": unseen_ns / NS_PER_SECOND,
        "reaches_end": day.deltas.whole or not span or unseen_ns * PIECES <= span[1] - span[0],
    }


def tick_changes(day: LakeDay) -> list[dict[str, Any]]:
    """Return the changes of the tick that the sample shows.

    In a sample that is one run of rows they are found as in the whole day. Of several runs, a change is one from which
    on all runs have another step than all runs before. A run of few rows may share a coarser step by chance and is left
    out.
    """
    deltas, point = day.deltas, day.point
    if len(deltas.ticks) == 1:
        return [tick_change(point, each.origin_time, each.from_pips, each.to_pips) for each in deltas.changes]
    steps = [
        (run.first_ns, run.tick_pips) for run in deltas.ticks if run.rows >= PIECE_ROWS and run.tick_pips
    ]
    found = []
    for i in range(1, len(steps)):
        before, after = ({step for _, step in part} for part in (steps[:i], steps[i:]))
        if len(before) == len(after) == 1 and before != after:
            found.append(tick_change(point, steps[i][0], next(iter(before)), next(iter(after))))
    return found
