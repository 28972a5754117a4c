"""The result of a measurement: metrics and plain tables, before they are drawn and published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.model import GateResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityResult:
    """Metrics and tables of one day.

    Attributes:
        metrics: All rows of metrics.parquet.
        references: Counts of the rows of each reference dataset by what became of them.
        windows: Best prices over time, schema `WINDOWS_SCHEMA`: against tickers where there are any, else snapshots.
        windows_reference: Dataset that `windows` are against.
        snapshot_windows: Best prices over time against snapshots, where `windows` are against tickers; else None.
        levels: Comparison by side and level, schema `LEVELS_SCHEMA`.
        level_windows: Comparison by window and level, as in report.json.
        states: Curves of the distributions, as in report.json.
        drift: Errors by age since a snapshot shaped the book, schema `DRIFT_SCHEMA`.
        steps: Which rows of the book stand for the day in its picture.
        shown: Level columns of these rows.
    """

    metrics: tuple[Metric, ...]
    references: Mapping[str, ReferenceCounts]
    windows: pl.DataFrame
    windows_reference: str
    snapshot_windows: pl.DataFrame | None
    levels: pl.DataFrame
    level_windows: Mapping[str, Any]
    states: list[dict[str, Any]]
    drift: pl.DataFrame
    steps: TimeSteps
    shown: pl.DataFrame

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """The gated metrics compared with their gates, in order."""
        return tuple(metric.result for metric in self.metrics if metric.result is not None)
