"""The sections of a report on a day that was looked at by statistics and sample. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from order_book_platform.assess.distribution import distribution, reconnects
from order_book_platform.assess.estimate import RunEstimate
from order_book_platform.assess.gaps import Gap
from order_book_platform.assess.lake_day import LakeDay
from order_book_platform.assess.rules import verdict_of
from order_book_platform.assess.sections import availability_section, coverage_section, rate_section
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.errors import OrderBookPlatformError, SourceMissingError
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.sources.footers import Footers
from order_book_platform.sources.lake import TABLES
from order_book_platform.sources.numbers import FloatBits, Pips

LISTED = 20
"""So many holes are listed."""
THIN = 0.2
"""Share of the usual rows a second below which a row group may lack something."""


def day_report(
    day: LakeDay, gaps: list[Gap], gates: Sequence[GateResult], estimate: RunEstimate, settings: Settings
) -> dict[str, Any]:
    """Everything but the rules; each section says what it is from, and of a sample how large it was."""
    by_action = Counter(gap.action for gap in gaps)
    verdict, why = verdict_of(gates, by_action)
    return {
        "symbol": day.key.instrument.key,
        "day": day.key.day.isoformat(),
        "scan": "sample",
        "verdict": verdict,
        "why": f"{why}, as far as statistics and sample show",
        "recommendation": _recommendation(day),
        "availability": {table: _availability(day.footers[table]) for table in TABLES},
        "coverage": _covered(day, settings.gaps.silence),
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
        "gaps": _gap_report(day, gaps, settings.gaps.silence),
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


def _gap_report(day: LakeDay, gaps: list[Gap], silence_ns: int) -> dict[str, Any]:
    """Of the sample; the ids of the whole day are known from the footers, for what a pause would have brought."""
    scan, footers = day.deltas.scan, day.footers["book_delta_v2"]
    ids, span = footers.extremes("sequence_number"), footers.span
    known = ids is not None and span is not None
    first = (int(ids[0]), span[0]) if known else (scan.first_sequence, scan.first_ns)  # type: ignore[index]
    last = (int(ids[1]), span[1]) if known else (scan.last_sequence, scan.last_ns)  # type: ignore[index]
    return {
        "basis": "sample",
        "n": scan.messages,
        "kind": "inferred",
        "gaps": len(gaps),
        "seq_gap_ratio": None,
        "inferred_gap_ratio": len(gaps) / scan.messages if scan.messages else None,
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


def _availability(footers: Footers) -> dict[str, Any]:
    known = availability_section(
        "statistics",
        available=footers.files > 0,
        rows=footers.rows,
        files=footers.files,
        size_bytes=footers.size_bytes,
        span=footers.span,
    )
    return {**known, "row_groups": len(footers.group_rows), "nulls": sum(footers.nulls.values())}


def _covered(day: LakeDay, silence_ns: int) -> dict[str, Any]:
    """Of the deltas, from their footers: span, holes between row groups, groups that are thinner than the others."""
    footers = day.footers["book_delta_v2"]
    holes, thin = footers.holes(silence_ns), footers.thin(THIN)
    listed = [(begin, (end - begin) / NS_PER_SECOND) for begin, end in holes[:LISTED]]
    return {
        **coverage_section("statistics", day.key, footers.clock, footers.span, listed, len(holes)),
        "thin_groups": [
            {"from": iso_from_ns(begin), "to": iso_from_ns(end), "missing_s": over / NS_PER_SECOND}
            for begin, end, over in thin[:LISTED]
        ],
        "groups_back_in_time": None if footers.clock is None else footers.groups_back(footers.clock),
        "groups_back_in_sequence": footers.groups_back("sequence_number"),
    }


def _rate(day: LakeDay) -> dict[str, Any]:
    scan, footers, audit = day.deltas.scan, day.footers["book_delta_v2"], day.deltas.audit
    rate = rate_section(
        "sample",
        messages=audit["messages"],
        pairs=scan.pairs,
        span_ns=scan.span_ns,
        rows=audit["rows"],
        all_rows=footers.rows,
        day=footers.span,
    )
    return {**rate, "n": scan.messages}


def tick_changes(day: LakeDay) -> list[dict[str, Any]]:
    """Pieces from which on all have another step than all before."""
    steps = [(begin, step) for begin, step in day.deltas.ticks if step]
    found = []
    for i in range(1, len(steps)):
        before, after = ({step for _, step in part} for part in (steps[:i], steps[i:]))
        if len(before) == len(after) == 1 and before != after:
            pips = [day.point.price(next(iter(part))).normalize() for part in (before, after)]
            found.append({"at": iso_from_ns(steps[i][0]), "from": f"{pips[0]:f}", "to": f"{pips[1]:f}"})
    return found
