"""The component: a reconstructed book in, its fidelity report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.datasets.fidelity_report import METRICS_SCHEMA
from order_book_platform.fidelity.metrics.gap_metrics import GAPS
from order_book_platform.fidelity.metrics.metric import (
    GOLDEN,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    Metric,
    failed_gates,
    metrics_table,
    verdict_line,
)
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.fidelity.report.charts import DrawnGaps, draw_figures
from order_book_platform.fidelity.report.report_page import ReportPage, render_report
from order_book_platform.fidelity.result import FidelityResult
from order_book_platform.fidelity.runner import BOOKS, FidelityRunner
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest
from order_book_platform.version import code_version

DATASET = "fidelity_report"
_GOLDEN = f"{GOLDEN}/"
"""What names of inputs out of a golden sample begin with."""
REQUIRED = (BOOKS, "raw_deltas", GAPS)


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """What a run found.

    Attributes:
        manifest: of the published partition.
        gates: every gated metric held against its gate.
        metrics: all rows of metrics.parquet.
        references: what became of the rows of each reference dataset.
        windows: best prices compared over time, see `Windows.frame`.
        levels: comparison per side and level, see `LevelComparison.level_frame`.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...]
    metrics: tuple[Metric, ...]
    references: Mapping[str, ReferenceCounts]
    windows: pl.DataFrame
    levels: pl.DataFrame

    @property
    def passed(self) -> bool:
        """Whether the book is faithful: every gate of severity error holds."""
        return not failed_gates(self.gates, Severity.ERROR)


class FidelityReporter:
    """Measures how exact a reconstructed book is, against references it was not made from.

    Args:
        store: where partitions are read and the report is published.
        settings: of the platform.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(
        self, key: PartitionKey, progress: Progress = silent, *, golden: DataStore | None = None
    ) -> FidelityReport:
        """Measure one partition and publish `fidelity_report`.

        Reads `reconstructed_books`, `raw_deltas` (sequence numbers, and with tickers transaction times),
        `sequence_gap_report`, and `snapshots`, `tickers` and `trades` where they have been published. Memory is
        bounded by a few batches of rows and the correlations' sample, and 9 bytes of every row of the book.

        Args:
            key: symbol and day.
            progress: told of rows read.
            golden: a store that has `reconstructed_books` of the same symbol and day from a recording of its own, as a
                further reference; its `tickers` stand in where this store has none.

        Raises:
            EvidenceError: the golden sample is made from the same recording, or holds prices otherwise.
            PartitionMissingError: books, deltas or their gap report have not been published, or no golden books.
            PartitionCorruptError: a file of theirs cannot be read.
        """
        books = self._store.manifest(BOOKS, key)
        inputs = self._inputs(key)
        measurement = FidelityRunner(self._store, key, progress, golden)
        if measurement.golden is not None:
            inputs.update(measurement.golden.inputs)
        measured = measurement.measure()
        progress("report", 0, 1)
        self._publish(key, measured, books, inputs)
        progress("report", 1, 1)
        return FidelityReport(
            self._store.manifest(DATASET, key),
            measured.gates,
            measured.metrics,
            measured.references,
            measured.windows,
            measured.levels,
        )

    def is_current(self, key: PartitionKey) -> bool:
        """Whether a report has been published by the present code, from the partitions that are there now.

        Evidence of a golden sample besides does not make it older.

        Raises:
            PartitionMissingError: books, deltas or their gap report have not been published.
        """
        if not self._store.exists(DATASET, key):
            return False
        manifest = self._store.manifest(DATASET, key)
        own = {name: found for name, found in manifest.inputs.items() if not name.startswith(_GOLDEN)}
        return own == self._inputs(key) and manifest.code_version == code_version("fidelity")

    def has_golden(self, key: PartitionKey) -> bool:
        """Whether a report has been published that holds evidence of a golden sample."""
        if not self._store.exists(DATASET, key):
            return False
        return any(name.startswith(_GOLDEN) for name in self._store.manifest(DATASET, key).inputs)

    def _inputs(self, key: PartitionKey) -> dict[str, str]:
        """Fingerprints of the partitions that a report is made from."""
        return {
            dataset: self._store.manifest(dataset, key).fingerprint
            for dataset in (*REQUIRED, SNAPSHOTS, TICKERS, TRADES)
            if dataset in REQUIRED or self._store.exists(dataset, key)
        }

    def _publish(
        self, key: PartitionKey, measured: FidelityResult, books: Manifest, inputs: dict[str, str]
    ) -> None:
        provenance = {**inputs, "replay_hash": str(books.metadata.get("replay_hash", ""))}
        report = _document(key, measured, provenance)
        gaps = DrawnGaps.read(self._store, key, measured.steps)
        figures = draw_figures(measured.steps, measured.shown, books.fixed_point, report, gaps)
        page = ReportPage(key, measured.gates, measured.metrics, measured.references, figures, provenance)
        errors, warnings = (
            [gate.name for gate in failed_gates(measured.gates, severity)]
            for severity in (Severity.ERROR, Severity.WARN)
        )
        with self._store.write(DATASET, key) as writer:
            writer.inputs.update(inputs)
            writer.metadata.update(
                verdict=verdict_line(measured.gates),
                passed=not errors,
                gates_failed=errors,
                gates_warned=warnings,
                gates=len(measured.gates),
                **books.fixed_point.to_metadata(),
            )
            writer.parquet("metrics.parquet", METRICS_SCHEMA).write(metrics_table(measured.metrics))
            writer.json("report.json", report)
            writer.text("report.html", render_report(page))


def _document(key: PartitionKey, measured: FidelityResult, provenance: dict[str, str]) -> dict[str, Any]:
    """Content of report.json."""
    return {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "passed": not failed_gates(measured.gates, Severity.ERROR),
        "gates": [gate.to_dict() for gate in measured.gates],
        "metrics": [{**metric.to_dict(), "note": metric.note} for metric in measured.metrics],
        "references": {name: counts.to_dict() for name, counts in measured.references.items()},
        "windows_reference": measured.windows_reference,
        "windows": measured.windows.to_dict(as_series=False),
        "snapshot_windows": None
        if measured.snapshot_windows is None
        else measured.snapshot_windows.to_dict(as_series=False),
        "levels": measured.levels.to_dict(as_series=False),
        "level_windows": measured.level_windows,
        "states": measured.states,
        "drift": measured.drift.to_dict(as_series=False),
        "provenance": provenance,
    }
