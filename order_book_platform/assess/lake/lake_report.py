"""The report on a day that was looked at by footers and sample, section by section. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from order_book_platform.assess.gaps.gap_classification import ClassifiedGap
from order_book_platform.assess.gaps.gap_distribution import gap_summary
from order_book_platform.assess.lake.lake_day import PIECES, LakeDay
from order_book_platform.assess.report.sections import (
    availability_section,
    coverage_section,
    precision_section,
    rate_section,
    report_head,
    tick_change,
)
from order_book_platform.assess.rules import verdict_of
from order_book_platform.assess.run_estimate import RunEstimate
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.errors import OrderBookPlatformError, SourceMissingError
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.sources.delta_reader import PIECE_ROWS
from order_book_platform.sources.lake_source import TABLES
from order_book_platform.sources.parquet_statistics import ParquetStatistics
from order_book_platform.sources.price_grid import configured_text

LISTED = 20
"""Silences that are listed, the longest ones; all are counted."""


def day_report(
    day: LakeDay,
    gaps: list[ClassifiedGap],
    gates: Sequence[GateResult],
    estimate: RunEstimate,
    settings: Settings,
) -> dict[str, Any]:
    """Return everything but the rules; each section says what it is from, and of a sample how large it was."""
    gap_section = _gap_section(day, gaps, gates, settings)
    verdict, why = verdict_of(gates, gap_section["by_action"])
    deltas, messages = day.deltas, day.deltas.scan.messages
    snapshots = {
        "best_prices": {"basis": "full", **day.best.to_dict()},
        "levels": {
            "basis": "sample",
            "n": day.book.rows,
            "sound": day.book.sound,
            "defects": day.book.defects,
        },
    }
    why = f"{why}, as far as statistics and sample show"
    return {
        **report_head(day.key, "sample", (verdict, why), _strategy(day), day.point),
        "availability": {table: _availability(day.footers[table]) for table in TABLES},
        "sample": _sample(day),
        "coverage": _coverage(day),
        "rate": _rate(day),
        "precision": _precision(day, settings),
        "audit": {"basis": "sample", **deltas.decoder.readable_audit(dict(deltas.audit))},
        "snapshots": snapshots,
        "trades": {"basis": "sample", **day.trades},
        "gaps": gap_section,
        "clocks": {"basis": "sample", "n": messages, **deltas.scan.clocks()},
        "estimate": {"basis": "estimate", **estimate.to_dict()},
    }


def unreadable_report(key: PartitionKey, error: OrderBookPlatformError, scan: str) -> dict[str, Any]:
    """Return the report on a day that could not be looked at: `missing` or `damaged`, and the error in its parts.

    Args:
        key: Symbol and day.
        error: Error that ended the scan.
        scan: `full` or `sample`, whichever was asked for.
    """
    return {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "scan": scan,
        "verdict": "missing" if isinstance(error, SourceMissingError) else "damaged",
        "why": f"{type(error).__name__}: {error}",
        "error": error_parts(error),
    }


def error_parts(error: OrderBookPlatformError) -> dict[str, str]:
    """Return the class of an error and the parts of its message."""
    return {
        "class": type(error).__name__,
        **{name: getattr(error, name) for name in ("expected", "found", "where", "remedy")},
    }


def _gap_section(
    day: LakeDay, gaps: list[ClassifiedGap], gates: Sequence[GateResult], settings: Settings
) -> dict[str, Any]:
    """Return the silences of the day and the other gaps of the sample.

    The ids of the whole day are known from the footers; they say how many ids a pause would have brought.
    """
    scan, footers = day.deltas.scan, day.footers["book_delta_v2"]
    first, last = (scan.first_sequence, scan.first_ns), (scan.last_sequence, scan.last_ns)
    ids, span = footers.extremes("sequence_number"), day.silences.span
    if ids is not None and span is not None:
        first, last = (int(ids[0]), span[0]), (int(ids[1]), span[1])
    return {
        "basis": "sample",
        "basis_of_silences": "full",
        "n": scan.messages,
        "kind": "inferred",
        "seq_gap_ratio": None,
        "inferred_gap_ratio": next((gate.value for gate in gates if gate.name == "gap_ratio"), None),
        "not_looked_for": ["crossed", "disagreement"],
        **gap_summary(gaps, silence_ns=settings.gaps.silence, first=first, last=last),
    }


def _precision(day: LakeDay, settings: Settings) -> dict[str, Any]:
    instrument, decoder = settings.instrument(day.key.instrument), day.deltas.decoder
    hold = "hold every value of" if decoder.precision == "int64" else "do not hold"
    audit = {
        "basis": "sample",
        "n": day.deltas.audit["rows"],
        "wanted": instrument.precision,
        "chosen": decoder.precision,
        "why": f"pips {hold} the sample",
        **decoder.overflow_audit(),
    }
    return precision_section(
        audit,
        day.point,
        tick_changes=tick_changes(day),
        configured=configured_text(instrument),
        contradicted=day.contradicted,
    )


def _strategy(day: LakeDay) -> dict[str, str]:
    return {
        "strategy": "full_event",
        "seeding": "snapshot" if day.book.sound else "cold",
        "rule": f"there are deltas, and {day.book.sound:,} of {day.book.rows:,} snapshots of the sample can seed; "
        "whether snapshots contradict the deltas takes the full scan",
    }


def _availability(footers: ParquetStatistics) -> dict[str, Any]:
    known = availability_section(
        "statistics",
        available=footers.files > 0,
        rows=footers.rows,
        files=footers.files,
        size_bytes=footers.size_bytes,
        span=footers.span,
    )
    return {**known, "row_groups": len(footers.group_rows), "nulls": sum(footers.nulls.values())}


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


def _rate(day: LakeDay) -> dict[str, Any]:
    audit = day.deltas.audit
    rate = rate_section(
        "sample",
        messages=audit["messages"],
        pairs=day.deltas.scan.pairs,
        span_ns=day.deltas.scan.span_ns,
        rows=audit["rows"],
        all_rows=day.footers["book_delta_v2"].rows,
        day=day.silences.span,
    )
    return {**rate, "n": day.deltas.scan.messages}


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
