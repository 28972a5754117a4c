"""The sections of a report on a day that was looked at by statistics and sample. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from order_book_platform.assess.gaps.gap_classification import Gap
from order_book_platform.assess.gaps.gap_distribution import distribution, reconnects
from order_book_platform.assess.lake.lake_day import PIECES, LakeDay
from order_book_platform.assess.report.sections import availability_section, coverage_section, rate_section
from order_book_platform.assess.rules import verdict_of
from order_book_platform.assess.run_estimate import RunEstimate
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.errors import OrderBookPlatformError, SourceMissingError
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.settings import Settings
from order_book_platform.sources.float_decoding import FloatBits, Pips
from order_book_platform.sources.lake_source import TABLES
from order_book_platform.sources.parquet_statistics import ParquetStatistics
from order_book_platform.sources.tick_changes import PIECE_ROWS

LISTED = 20
"""So many silences are listed, the longest ones."""


def day_report(
    day: LakeDay, gaps: list[Gap], gates: Sequence[GateResult], estimate: RunEstimate, settings: Settings
) -> dict[str, Any]:
    """Everything but the rules; each section says what it is from, and of a sample how large it was."""
    by_action = Counter(gap.action for gap in gaps)
    verdict, why = verdict_of(gates, by_action)
    ratio = next((gate.value for gate in gates if gate.name == "gap_ratio"), None)
    return {
        "symbol": day.key.instrument.key,
        "day": day.key.day.isoformat(),
        "scan": "sample",
        "verdict": verdict,
        "why": f"{why}, as far as statistics and sample show",
        "recommendation": _recommendation(day),
        "availability": {table: _availability(day.footers[table]) for table in TABLES},
        "sample": _sample(day),
        "coverage": _covered(day),
        "rate": _rate(day),
        "precision": _precision(day, settings),
        "audit": {"basis": "sample", **day.deltas.reading.described(dict(day.deltas.audit))},
        "snapshots": {
            "best_prices": {"basis": "full", **day.best.to_dict()},
            "levels": {
                "basis": "sample",
                "n": day.book.rows,
                "sound": day.book.sound,
                "defects": day.book.defects,
            },
        },
        "trades": {"basis": "sample", **day.trades},
        "gaps": _gap_report(day, gaps, ratio, settings.gaps.silence),
        "clocks": {"basis": "sample", "n": day.deltas.scan.messages, **day.deltas.scan.clocks()},
        "estimate": {"basis": "estimate", **estimate.to_dict()},
    }


def unreadable_report(key: PartitionKey, error: OrderBookPlatformError, scan: str) -> dict[str, Any]:
    """Of a day that could not be looked at: `missing` or `damaged`, and the error in its parts.

    Args:
        key: symbol and day.
        error: what ended the scan.
        scan: `full` or `sample`, which was asked for.
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
    """Class, and what the error says, in its parts."""
    return {
        "class": type(error).__name__,
        **{name: getattr(error, name) for name in ("expected", "found", "where", "remedy")},
    }


def _gap_report(day: LakeDay, gaps: list[Gap], ratio: float | None, silence_ns: int) -> dict[str, Any]:
    """Silences of the day, and what else the sample shows.

    The ids of the whole day are known from the footers, for what a pause would have brought.
    """
    scan, footers = day.deltas.scan, day.footers["book_delta_v2"]
    ids, span = footers.extremes("sequence_number"), day.silences.span
    known = ids is not None and span is not None
    first = (int(ids[0]), span[0]) if known else (scan.first_sequence, scan.first_ns)  # type: ignore[index]
    last = (int(ids[1]), span[1]) if known else (scan.last_sequence, scan.last_ns)  # type: ignore[index]
    return {
        "basis": "sample",
        "basis_of_silences": "full",
        "n": scan.messages,
        "kind": "inferred",
        "gaps": len(gaps),
        "seq_gap_ratio": None,
        "inferred_gap_ratio": ratio,
        "by_cause": dict(sorted(Counter(gap.cause for gap in gaps).items())),
        "by_class": dict(sorted(Counter(gap.gap_class for gap in gaps).items())),
        "by_action": dict(sorted(Counter(gap.action for gap in gaps).items())),
        "not_looked_for": ["crossed", "disagreement"],
        "distribution": distribution(gaps),
        "reconnects": reconnects(gaps, silence_ns=silence_ns, first=first, last=last),
    }


def _precision(day: LakeDay, settings: Settings) -> dict[str, Any]:
    instrument, reading, point = settings.instrument(day.key.instrument), day.deltas.reading, day.point
    what = (
        "pips hold every value of the sample"
        if reading.precision == "int64"
        else "pips do not hold the sample"
    )
    return {
        "basis": "sample",
        "n": day.deltas.audit["rows"],
        "wanted": instrument.precision,
        "chosen": reading.precision,
        "why": what,
        "tick": f"{point.tick:f}",
        "lot": f"{point.lot:f}",
        "tick_changes": tick_changes(day),
        "configured": {
            name: None if value is None else str(value)
            for name, value in (("tick", instrument.tick), ("lot", instrument.lot))
        },
        "contradicted": day.contradicted,
        **_beyond(reading),
        **point.to_metadata(),
    }


def _beyond(reading: Pips | FloatBits) -> dict[str, Any]:
    """Values of the sample that need decimals, where it is read as such."""
    if isinstance(reading, Pips):
        return {}
    (prices, first_price), (sizes, first_size) = reading.prices_beyond.fewest, reading.sizes_beyond.fewest
    return {
        "prices_beyond_pips": prices,
        "sizes_beyond_pips": sizes,
        "first_beyond_pips": first_price or first_size,
    }


def _recommendation(day: LakeDay) -> dict[str, Any]:
    return {
        "strategy": "full_event",
        "seeding": "snapshot" if day.book.sound else "cold",
        "price_decimals": day.point.price_decimals,
        "size_decimals": day.point.size_decimals,
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


def _covered(day: LakeDay) -> dict[str, Any]:
    """Of the deltas: span and silences, from the times of all of them; order, from their footers."""
    footers, breaks = day.footers["book_delta_v2"], day.silences.breaks
    longest = sorted(breaks, key=lambda each: each.before_ns - each.after_ns)[:LISTED]
    silences = [(each.before_ns, (each.after_ns - each.before_ns) / NS_PER_SECOND) for each in longest]
    return {
        **coverage_section("full", day.key, "origin_time", day.silences.span, silences, len(breaks)),
        "silent_s": day.silences.silent_ns / NS_PER_SECOND,
        "groups_back_in_time": None if footers.clock is None else footers.groups_back(footers.clock),
        "groups_back_in_sequence": footers.groups_back("sequence_number"),
    }


def _sample(day: LakeDay) -> dict[str, Any]:
    """Which rows of the deltas were looked at: how many, from when to when, and whether that reaches the day's end."""
    runs, rows, span = day.deltas.ticks, day.footers["book_delta_v2"].rows, day.silences.span
    known = [run for run in runs if run.first_ns]
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
    """In one run of pieces as the whole is looked at; else runs from which on all have another step than all before.

    A run of few rows may share a coarser step by chance and says nothing.
    """
    deltas = day.deltas
    if len(deltas.ticks) == 1:
        return [_tick_change(day, each.origin_time, each.from_pips, each.to_pips) for each in deltas.changes]
    steps = [
        (run.first_ns, run.tick_pips) for run in deltas.ticks if run.rows >= PIECE_ROWS and run.tick_pips
    ]
    found = []
    for i in range(1, len(steps)):
        before, after = ({step for _, step in part} for part in (steps[:i], steps[i:]))
        if len(before) == len(after) == 1 and before != after:
            found.append(_tick_change(day, steps[i][0], next(iter(before)), next(iter(after))))
    return found


def _tick_change(day: LakeDay, at_ns: int, *pips: int) -> dict[str, Any]:
    before, after = (day.point.price(each).normalize(EXACT) for each in pips)
    return {"at": iso_from_ns(at_ns), "from": f"{before:f}", "to": f"{after:f}"}
