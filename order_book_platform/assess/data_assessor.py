"""Publishes `data_assessment`: what there is of a day, how good it is, and how its book shall be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from order_book_platform.assess.day_report import (
    PublishedReport,
    assessment_markdown,
    coverage_section,
    precision_section,
    rate_section,
    report_head,
    tick_change,
    times_of,
)
from order_book_platform.assess.rules import (
    RULES,
    RuleFigure,
    day_coverage,
    forcing_decimals,
    judge,
    message_figures,
)
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.clock import ns_from_iso
from order_book_platform.errors import PartitionCorruptError
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.lake_source import DATASET_OF_TABLE
from order_book_platform.storage import DataStore, Manifest

ENOUGH_COMPARED = 10
"""Fewer snapshots that could be compared with the book do not condemn the deltas of a day."""

_REPEATED = (
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
"""Entries of the gap report that the assessment repeats."""

_SHOWS_LOSS = ("chain", "unseen_snapshot", "disagreement")
"""Causes of gaps that show a loss."""


class DataAssessor:
    """Judges one symbol and day from the audit of the files and from the gap report.

    Args:
        store: Has `raw_deltas`, `snapshots`, `trades` and `sequence_gap_report`; gets `data_assessment`.
        settings: Settings `sources.batch_rows` and `gaps.unusable_share`.
    """

    GATES = tuple(RULES)

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> PublishedReport:
        """Publish the assessment of one symbol and day.

        Raises:
            PartitionMissingError: An input has not been published.
            PartitionCorruptError: The gap report is of an earlier version.
        """
        names = (*DATASET_OF_TABLE.values(), "sequence_gap_report")
        inputs = {name: self._store.manifest(name, key) for name in names}
        day = _PublishedDay(key, inputs, self._gap_report(key), self._settings)
        report, gates = day.report()
        progress("assess", 1, 1)
        with self._store.write("data_assessment", key) as writer:
            writer.inputs.update({name: manifest.fingerprint for name, manifest in inputs.items()})
            writer.json("report.json", report)
            writer.text("report.md", assessment_markdown(report))
            writer.metadata.update({name: report[name] for name in ("verdict", "recommendation")})
        return PublishedReport(self._store.manifest("data_assessment", key), report, gates)

    def _gap_report(self, key: PartitionKey) -> dict[str, Any]:
        report = self._store.report("sequence_gap_report", key)
        lacking = [name for name in (*_REPEATED, "clocks", "snapshots_crossed") if name not in report]
        if lacking:
            raise PartitionCorruptError(
                expected="a gap report as this version makes it",
                found=f"one without {', '.join(lacking)}",
                where=str(self._store.folder("sequence_gap_report", key)),
                remedy="Make sequence_gap_report of this day anew.",
            )
        return report


class _PublishedDay:
    """Manifests by dataset and the gap report of one day, from which its assessment is made."""

    def __init__(
        self,
        key: PartitionKey,
        inputs: Mapping[str, Manifest],
        gap_report: Mapping[str, Any],
        settings: Settings,
    ) -> None:
        self._key, self._inputs, self._gaps, self._settings = key, inputs, gap_report, settings
        self._metadata = inputs["raw_deltas"].metadata
        self._audits = {name: inputs[name].metadata["audit"] for name in DATASET_OF_TABLE.values()}
        self._rows = {
            name: inputs[name].rows[DATASETS[name].table_file] for name in DATASET_OF_TABLE.values()
        }
        self._sound = self._rows["snapshots"] - sum(gap_report["snapshot_defects"].values())
        self._span: tuple[int, int] = gap_report["first_origin_time"], gap_report["last_origin_time"]
        audit = self._audits["raw_deltas"]
        self._day_coverage = day_coverage(key, audit["first_origin_time"], audit["last_origin_time"])

    def report(self) -> tuple[dict[str, Any], tuple[GateResult, ...]]:
        """Return the content of report.json, and the rules as they were held against the day."""
        estimate = estimate_run(
            deltas=self._rows["raw_deltas"],
            snapshots=self._rows["snapshots"],
            batch_rows=self._settings.sources.batch_rows,
            decimal_sizes=self._metadata["precision_audit"].get("sizes"),
            day_share=self._day_coverage,
        )
        figures = self._figures(estimate)
        notes = {}
        if figures["decimals"].value:
            notes["decimals"] = f"; the first: {self._metadata['precision_audit']['first_beyond_pips']}"
        judgement = judge(
            figures, self._gaps["by_action"], notes, has_book=self._audits["snapshots"]["available"]
        )
        point = self._inputs["raw_deltas"].fixed_point
        report = {
            **report_head(self._key, "full", judgement.verdict, judgement.why, self._strategy(), point),
            **self._sections(),
            "estimate": {"basis": "estimate", **asdict(estimate)},
            **judgement.report,
        }
        return report, judgement.gates

    def _figures(self, estimate: RunEstimate) -> dict[str, RuleFigure]:
        rows, snapshots = self._rows["raw_deltas"], self._rows["snapshots"]
        gaps, messages, metadata = self._gaps, self._gaps["messages"], self._metadata
        ratio = gaps["seq_gap_ratio" if gaps["kind"] == "exact" else "inferred_gap_ratio"]
        configured = sum(value is not None for value in metadata["configured"].values())
        crossed = gaps["snapshot_defects"].get("crossed", 0)
        trades = self._audits["trades"]
        return {
            "deltas": RuleFigure(rows, max(rows, 1)),
            "impossible": RuleFigure(0, max(rows, 1)),  # every row was checked before it was published
            "messages": RuleFigure(messages, max(messages, 1)),
            "seed": RuleFigure(self._sound, max(snapshots, 1)),
            "gap_ratio": RuleFigure(ratio, messages),
            "origin_coverage": RuleFigure(gaps["clocks"]["origin_coverage"], messages),
            "decimals": RuleFigure(forcing_decimals(metadata["precision_audit"]), rows + trades["rows"]),
            "increments": RuleFigure(len(metadata["contradicted"]), max(configured, 1)),
            "tick_changes": RuleFigure(len(metadata.get("tick_changes", ())), max(rows, 1)),
            "memory": RuleFigure(estimate.peak_bytes, max(rows, 1), "estimate"),
            "day_coverage": RuleFigure(self._day_coverage, messages),
            "snapshots_sound": RuleFigure(self._sound / snapshots if snapshots else None, snapshots),
            "book_crossed": RuleFigure(crossed / snapshots if snapshots else None, snapshots),
            "unsorted": RuleFigure(self._audits["raw_deltas"]["unsorted_rows"], rows),
            **message_figures(
                "full",
                audit=self._audits["raw_deltas"],
                rows=rows,
                trades=trades,
                clocks=gaps["clocks"],
                messages=messages,
                proven_losses=sum(gaps["by_cause"].get(cause, 0) for cause in _SHOWS_LOSS),
            ),
        }

    def _strategy(self) -> dict[str, str]:
        """Return the recommended strategy, what seeds the book, and the rule that decided."""
        compared, contradicted = (
            self._gaps["snapshots_compared"],
            self._gaps["by_cause"].get("disagreement", 0),
        )
        limit = self._settings.gaps.unusable_share
        unusable = compared >= ENOUGH_COMPARED and contradicted / compared >= limit
        return {
            "strategy": "snapshot" if unusable else "full_event",
            "seeding": "snapshot" if self._sound else "cold",
            "rule": f"{contradicted} of {compared} compared snapshots contradict the deltas, limit {limit:g}",
        }

    def _sections(self) -> dict[str, Any]:
        gaps, rows, messages = self._gaps, self._rows["raw_deltas"], self._gaps["messages"]
        # Silences are listed where they are among the longest gaps.
        longest = [gap for gap in gaps["distribution"]["longest"] if gap["cause"] == "silence"]
        silences = [(ns_from_iso(gap["from"]), gap["seconds"]) for gap in longest]
        rate = rate_section(
            "full",
            messages=messages,
            pairs=max(messages - 1, 0),
            span_ns=self._span[1] - self._span[0],
            rows=rows,
            all_rows=rows,
            day=self._span,
        )
        point = self._inputs["raw_deltas"].fixed_point
        precision = precision_section(
            point,
            basis="full",
            **self._metadata["precision_audit"],
            tick_changes=[
                {
                    **tick_change(point, change["origin_time"], change["from_pips"], change["to_pips"]),
                    "sequence_number": change["sequence_number"],
                }
                for change in self._metadata.get("tick_changes", ())
            ],
            configured=self._metadata["configured"],
            contradicted=self._metadata["contradicted"],
        )
        snapshots = {
            **self._audits["snapshots"],
            "defects": gaps["snapshot_defects"],
            "best_prices": {"basis": "full", **gaps["snapshots_crossed"]},
        }
        return {
            "availability": {table: self._availability(table) for table in DATASET_OF_TABLE},
            "coverage": coverage_section(self._key, self._span, silences, gaps["by_cause"].get("silence", 0)),
            "rate": rate,
            "precision": precision,
            "audit": {"basis": "full", **self._audits["raw_deltas"]},
            "snapshots": {"basis": "full", **snapshots},
            "trades": {"basis": "full", **self._audits["trades"]},
            "gaps": {"basis": "full", **{name: gaps[name] for name in _REPEATED}},
            "clocks": {"basis": "full", **gaps["clocks"]},
        }

    def _availability(self, table: str) -> dict[str, Any]:
        """Return what there is of a table; files and bytes are known where the source keeps files."""
        dataset = DATASET_OF_TABLE[table]
        return {
            "basis": "full",
            "available": self._audits[dataset].get("available", True),
            "rows": self._rows[dataset],
            "files": self._audits[dataset].get("files"),
            "bytes": self._inputs[dataset].metadata.get("source_bytes"),
            **times_of(self._span if dataset == "raw_deltas" else None),
        }
