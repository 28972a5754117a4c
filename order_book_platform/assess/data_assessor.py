"""`data_assessment`: what there is, how good it is, how the book shall be rebuilt, and whether it is worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from order_book_platform.assess.report.markdown import assessment_markdown
from order_book_platform.assess.report.sections import availability_section, coverage_section, rate_section
from order_book_platform.assess.rules import (
    RULES,
    RuleFigure,
    day_coverage,
    held_against,
    median_latency,
    rules_report,
    verdict_of,
)
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.clock import iso_from_ns, ns_from_iso
from order_book_platform.errors import PartitionCorruptError
from order_book_platform.model import FixedPoint, Gate, GateResult, PartitionKey, Severity
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was published.

    Attributes:
        manifest: of `data_assessment`.
        report: content of report.json.
        gates: one per rule.
    """

    manifest: Manifest
    report: dict[str, Any]
    gates: tuple[GateResult, ...]


_ENOUGH_COMPARED = 10
"""Fewer comparisons do not condemn the deltas of a day."""


_OF_GAPS = (
    "kind",
    "gaps",
    "seq_gap_ratio",
    "inferred_gap_ratio",
    "by_cause",
    "by_class",
    "by_action",
    "distribution",
    "reconnects",
)
"""What of the gap report is told again."""


class DataAssessor:
    """Judges one symbol and day from the audit of the files and the gap report.

    Args:
        store: has `raw_deltas`, `snapshots`, `trades` and `sequence_gap_report`; gets `data_assessment`.
        settings: `reconstruct`, which a recommendation has to respect.
    """

    GATES = tuple(RULES)

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> Assessment:
        """Publish the assessment of one symbol and day.

        Raises:
            PartitionMissingError: an input has not been published.
            PartitionCorruptError: the gap report is of an earlier version.
        """
        names = ("raw_deltas", "snapshots", "trades", "sequence_gap_report")
        inputs = {name: self._store.manifest(name, key) for name in names}
        gap_report = self._gap_report(key)
        point = inputs["raw_deltas"].fixed_point
        audit = inputs["raw_deltas"].metadata["audit"]
        estimate = estimate_run(
            deltas=inputs["raw_deltas"].rows["deltas.parquet"],
            snapshots=inputs["snapshots"].rows["snapshots.parquet"],
            batch_rows=self._settings.sources.batch_rows,
            decimal_sizes=inputs["raw_deltas"].metadata["precision_audit"].get("sizes"),
            day_share=day_coverage(key, audit["first_origin_time"], audit["last_origin_time"]),
        )
        figures = self._figures(key, inputs, gap_report, estimate)
        forced = inputs["raw_deltas"].metadata["precision_audit"] if figures["decimals"].value else None
        gates = held_against(_rules(inputs["snapshots"], forced), figures)
        report = {
            **self._report(key, inputs, gap_report, point, estimate, gates),
            **rules_report(gates, figures),
        }
        progress("assess", 1, 1)
        with self._store.write("data_assessment", key) as writer:
            writer.inputs.update({name: manifest.fingerprint for name, manifest in inputs.items()})
            writer.json("report.json", report)
            writer.text("report.md", assessment_markdown(report))
            writer.metadata.update({name: report[name] for name in ("verdict", "recommendation")})
        return Assessment(self._store.manifest("data_assessment", key), report, gates)

    def _gap_report(self, key: PartitionKey) -> dict[str, Any]:
        report = self._store.report("sequence_gap_report", key)
        lacking = [name for name in (*_OF_GAPS, "clocks", "snapshots_crossed") if name not in report]
        if lacking:
            raise PartitionCorruptError(
                expected="a gap report as this version makes it",
                found=f"one without {', '.join(lacking)}",
                where=str(self._store.folder("sequence_gap_report", key)),
                remedy="Make sequence_gap_report of this day anew.",
            )
        return report

    def _figures(
        self,
        key: PartitionKey,
        inputs: dict[str, Manifest],
        gap_report: dict[str, Any],
        estimate: RunEstimate,
    ) -> dict[str, RuleFigure]:
        metadata = inputs["raw_deltas"].metadata
        audit, traded = metadata["audit"], inputs["trades"].metadata["audit"]
        rows = inputs["raw_deltas"].rows["deltas.parquet"]
        snapshots = inputs["snapshots"].rows["snapshots.parquet"]
        clocks, messages = gap_report["clocks"], gap_report["messages"]
        exact = gap_report["kind"] == "exact"
        proven = sum(
            gap_report["by_cause"].get(cause, 0) for cause in ("chain", "unseen_snapshot", "disagreement")
        )
        sound = _sound(inputs["snapshots"], gap_report)
        off_grid = sum(
            each[name] for each in (audit, traded) for name in ("off_grid_prices", "off_grid_sizes")
        )
        configured = sum(value is not None for value in metadata["configured"].values())
        precision = metadata["precision_audit"]
        crossed = gap_report["snapshot_defects"].get("crossed", 0)
        return {
            "deltas": RuleFigure(rows, max(rows, 1)),
            "impossible": RuleFigure(0, max(rows, 1)),  # every row was looked at before it was published
            "messages": RuleFigure(messages, max(messages, 1)),
            "seed": RuleFigure(sound, max(snapshots, 1)),
            "gap_ratio": RuleFigure(gap_report["seq_gap_ratio" if exact else "inferred_gap_ratio"], messages),
            "origin_coverage": RuleFigure(clocks["origin_coverage"], messages),
            "origin_valid": RuleFigure(clocks["origin_valid"], messages),
            "off_grid": RuleFigure(off_grid, rows + traded["rows"]),
            "decimals": RuleFigure(_forcing_decimals(precision), rows + traded["rows"]),
            "increments": RuleFigure(len(metadata["contradicted"]), max(configured, 1)),
            "tick_changes": RuleFigure(len(metadata.get("tick_changes", ())), max(rows, 1)),
            "memory": RuleFigure(estimate.peak_bytes, max(rows, 1), "estimate"),
            "day_coverage": RuleFigure(
                day_coverage(key, audit["first_origin_time"], audit["last_origin_time"]), messages
            ),
            "proven_losses": RuleFigure(proven, messages),
            "snapshots_sound": RuleFigure(sound / snapshots if snapshots else None, snapshots),
            "book_crossed": RuleFigure(crossed / snapshots if snapshots else None, snapshots),
            "duplicates": RuleFigure(audit["duplicate_rows"] / rows if rows else None, rows),
            "unsorted": RuleFigure(audit["unsorted_rows"], rows),
            "latency_p50_ms": median_latency(clocks, messages),
            "latency_negative": RuleFigure(clocks["latency_negative"], messages),
        }

    def _strategy(self, sound: int, gap_report: dict[str, Any]) -> dict[str, str]:
        """The strategy, what seeds it, and the rule that decided."""
        seeding = "snapshot" if sound else "cold"
        compared = gap_report["snapshots_compared"]
        contradicted = gap_report["by_cause"].get("disagreement", 0)
        limit = self._settings.gaps.unusable_share
        said = f"{contradicted} of {compared} compared snapshots contradict the deltas, limit {limit:g}"
        if compared >= _ENOUGH_COMPARED and contradicted / compared >= limit:
            return {"strategy": "snapshot", "seeding": seeding, "rule": said}
        return {"strategy": "full_event", "seeding": seeding, "rule": said}

    def _report(
        self,
        key: PartitionKey,
        inputs: dict[str, Manifest],
        gap_report: dict[str, Any],
        point: FixedPoint,
        estimate: RunEstimate,
        gates: tuple[GateResult, ...],
    ) -> dict[str, Any]:
        sound = _sound(inputs["snapshots"], gap_report)
        verdict, why = verdict_of(gates, gap_report["by_action"])
        return {
            "symbol": key.instrument.key,
            "day": key.day.isoformat(),
            "scan": "full",
            "verdict": verdict,
            "why": why,
            "recommendation": {
                **self._strategy(sound, gap_report),
                "price_decimals": point.price_decimals,
                "size_decimals": point.size_decimals,
            },
            "availability": _availability(inputs, gap_report),
            "coverage": _coverage(key, gap_report),
            "rate": _rate(inputs["raw_deltas"], gap_report),
            "precision": {"basis": "full", **_precision(inputs["raw_deltas"])},
            "audit": {"basis": "full", **inputs["raw_deltas"].metadata["audit"]},
            "snapshots": {
                "basis": "full",
                **inputs["snapshots"].metadata["audit"],
                "defects": gap_report["snapshot_defects"],
                "best_prices": {"basis": "full", **gap_report["snapshots_crossed"]},
            },
            "trades": {"basis": "full", **inputs["trades"].metadata["audit"]},
            "gaps": {"basis": "full", **{name: gap_report[name] for name in _OF_GAPS}},
            "clocks": {"basis": "full", **gap_report["clocks"]},
            "estimate": {"basis": "estimate", **estimate.to_dict()},
        }


def _precision(deltas: Manifest) -> dict[str, Any]:
    """How the day's numbers are held, and where tick and lot are from."""
    metadata, point = deltas.metadata, deltas.fixed_point
    return {
        **metadata["precision_audit"],
        "tick": f"{point.tick:f}",
        "lot": f"{point.lot:f}",
        "tick_changes": [_tick_change(point, change) for change in metadata.get("tick_changes", ())],
        "configured": metadata["configured"],
        "contradicted": metadata["contradicted"],
        **point.to_metadata(),
    }


def _tick_change(point: FixedPoint, change: dict[str, int]) -> dict[str, Any]:
    """A change of the tick in words: when, from what, to what."""
    return {
        "at": iso_from_ns(change["origin_time"]),
        "sequence_number": change["sequence_number"],
        "from": f"{point.price(change['from_pips']).normalize(EXACT):f}",
        "to": f"{point.price(change['to_pips']).normalize(EXACT):f}",
    }


def _forcing_decimals(precision: dict[str, Any]) -> int:
    """Values for which a day was moved to decimals; none if it was not, or had been set to them."""
    if (precision["wanted"], precision["chosen"]) != ("auto", "decimal128"):
        return 0
    return int(precision["prices_beyond_pips"] + precision["sizes_beyond_pips"])


_TABLES = {
    "book_delta_v2": ("raw_deltas", "deltas.parquet"),
    "book": ("snapshots", "snapshots.parquet"),
    "trades": ("trades", "trades.parquet"),
}
"""Table of the source to dataset and file."""


def _availability(inputs: Mapping[str, Manifest], gap_report: Mapping[str, Any]) -> dict[str, Any]:
    """Of each table; times are known of the deltas, files and bytes where the source keeps files."""
    found = {}
    for table, (dataset, file) in _TABLES.items():
        metadata = inputs[dataset].metadata
        found[table] = availability_section(
            "full",
            available=metadata["audit"].get("available", True),
            rows=inputs[dataset].rows[file],
            files=metadata["audit"].get("files"),
            size_bytes=metadata.get("source_bytes"),
            span=_span(gap_report) if table == "book_delta_v2" else None,
        )
    return found


def _span(gap_report: Mapping[str, Any]) -> tuple[int, int]:
    return gap_report["first_origin_time"], gap_report["last_origin_time"]


def _coverage(key: PartitionKey, gap_report: Mapping[str, Any]) -> dict[str, Any]:
    """Silences are listed where they are among the longest gaps."""
    longest = [gap for gap in gap_report["distribution"]["longest"] if gap["cause"] == "silence"]
    silences = [(ns_from_iso(gap["from"]), gap["seconds"]) for gap in longest]
    count = gap_report["by_cause"].get("silence", 0)
    return coverage_section("full", key, "origin_time", _span(gap_report), silences, count)


def _rate(deltas: Manifest, gap_report: Mapping[str, Any]) -> dict[str, Any]:
    rows, messages, span = deltas.rows["deltas.parquet"], gap_report["messages"], _span(gap_report)
    return rate_section(
        "full",
        messages=messages,
        pairs=max(messages - 1, 0),
        span_ns=span[1] - span[0],
        rows=rows,
        all_rows=rows,
        day=span,
    )


def _rules(snapshots: Manifest, forced: Mapping[str, Any] | None) -> dict[str, tuple[Gate, str]]:
    """The rules for a day: without a `book` table no seed is to be expected, and what forces decimals is named.

    Args:
        snapshots: of the day.
        forced: its precision audit, if values force decimals.
    """
    rules = dict(RULES)
    if not snapshots.metadata["audit"]["available"]:
        gate, note = rules["seed"]
        rules["seed"] = replace(gate, severity=Severity.WARN), note
    if forced:
        gate, note = rules["decimals"]
        rules["decimals"] = gate, f"{note}; the first: {forced['first_beyond_pips']}"
    return rules


def _sound(snapshots: Manifest, gap_report: dict[str, Any]) -> int:
    """Snapshots that pass the quality gate of a seed."""
    defective: int = sum(gap_report["snapshot_defects"].values())
    return snapshots.rows["snapshots.parquet"] - defective
