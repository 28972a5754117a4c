"""The component: reads the reconstructed book of a day and publishes its fidelity report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.fidelity.day_inputs import DayInputs, input_fingerprints
from order_book_platform.fidelity.measurement import FidelityResult, measure
from order_book_platform.fidelity.metric_declarations import SNAPSHOTS, TICKERS
from order_book_platform.fidelity.metrics.metric import Metric, failed_gates, metrics_table, verdict_line
from order_book_platform.fidelity.report.report_page import draw_figures, render_report
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest
from order_book_platform.version import code_version

DATASET = "fidelity_report"
_GOLDEN = "golden/"
"""Beginning of the names of inputs that belong to a golden sample."""


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """A published fidelity report: the partition's manifest, and the metrics and tables that it was made from."""

    manifest: Manifest
    result: FidelityResult

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gated metric compared with its gate."""
        return self.result.gates

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All rows of metrics.parquet."""
        return self.result.metrics

    @property
    def passed(self) -> bool:
        """Whether the book is faithful: every gate of severity error holds."""
        return not failed_gates(self.gates, Severity.ERROR)


class FidelityReporter:
    """Measures how exact a reconstructed book is, against references it was not made from.

    Args:
        store: Where partitions are read and the report is published.
        settings: Not needed: no setting changes what is measured. Every component is made from both.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store

    def run(
        self, key: PartitionKey, progress: Progress = silent, *, golden: DataStore | None = None
    ) -> FidelityReport:
        """Measure one partition and publish `fidelity_report`.

        Reads `reconstructed_books`, `raw_deltas` (sequence numbers, and with tickers transaction times),
        `sequence_gap_report`, and `snapshots`, `tickers` and `trades` where they have been published. Memory is
        bounded by a few batches of rows and the correlations' sample, and 9 bytes of every row of the book.

        Args:
            key: Symbol and day.
            progress: Told of rows read.
            golden: A store that has `reconstructed_books` of the same symbol and day from a recording of its own, as a
                further reference; its `tickers` stand in where this store has none.

        Raises:
            EvidenceError: The golden sample is made from the same recording, or holds prices otherwise.
            PartitionMissingError: Books, deltas or their gap report have not been published, or no golden books.
            PartitionCorruptError: One of their files cannot be read.
        """
        day = DayInputs.open(self._store, key, golden)
        result = measure(day, progress)
        progress("report", 0, 1)
        self._publish(day, result)
        progress("report", 1, 1)
        return FidelityReport(self._store.manifest(DATASET, key), result)

    def is_current(self, key: PartitionKey) -> bool:
        """Return whether a report has been published by the present code, from the partitions that are there now.

        A report that was compared with a golden sample besides is current all the same.

        Raises:
            PartitionMissingError: Books, deltas or their gap report have not been published.
        """
        if not self._store.exists(DATASET, key):
            return False
        manifest = self._store.manifest(DATASET, key)
        own = {name: found for name, found in manifest.inputs.items() if not name.startswith(_GOLDEN)}
        return own == input_fingerprints(self._store, key) and manifest.code_version == code_version(
            "fidelity"
        )

    def has_golden(self, key: PartitionKey) -> bool:
        """Return whether a report has been published that was compared with a golden sample."""
        if not self._store.exists(DATASET, key):
            return False
        return any(name.startswith(_GOLDEN) for name in self._store.manifest(DATASET, key).inputs)

    def _publish(self, day: DayInputs, result: FidelityResult) -> None:
        """Write metrics, report and page of a day, and put them in place."""
        report = _report_document(day, result)
        figures = draw_figures(day, result.steps, result.snapshots.shown, report)
        page = render_report(
            day.key, result.gates, result.metrics, result.references, figures, report["provenance"]
        )
        errors, warnings = (
            [gate.name for gate in failed_gates(result.gates, severity)]
            for severity in (Severity.ERROR, Severity.WARN)
        )
        with self._store.write(DATASET, day.key) as writer:
            writer.inputs.update(day.fingerprints)
            writer.metadata.update(
                verdict=verdict_line(result.gates),
                passed=not errors,
                gates_failed=errors,
                gates_warned=warnings,
                gates=len(result.gates),
                **day.manifest.fixed_point.to_metadata(),
            )
            writer.parquet("metrics.parquet", METRICS_SCHEMA).write(metrics_table(result.metrics))
            writer.json("report.json", report)
            writer.text("report.html", page)


def _report_document(day: DayInputs, result: FidelityResult) -> dict[str, Any]:
    """Return the content of report.json."""
    snapshots, tickers = result.snapshots, result.tickers
    windows = snapshots.windows.to_dict(as_series=False)
    return {
        "symbol": day.key.instrument.key,
        "day": day.key.day.isoformat(),
        "passed": not failed_gates(result.gates, Severity.ERROR),
        "gates": [gate.to_dict() for gate in result.gates],
        "metrics": [{**metric.to_dict(), "note": metric.note} for metric in result.metrics],
        "references": {name: counts.to_dict() for name, counts in result.references.items()},
        "windows_reference": TICKERS if tickers else SNAPSHOTS,
        "windows": tickers.windows.to_dict(as_series=False) if tickers else windows,
        "snapshot_windows": windows if tickers else None,
        "levels": snapshots.levels.to_dict(as_series=False),
        "level_windows": snapshots.level_windows,
        "states": snapshots.states,
        "drift": snapshots.drift.to_dict(as_series=False),
        "provenance": {
            **day.fingerprints,
            "replay_hash": str(day.manifest.metadata.get("replay_hash", "")),
        },
    }
