"""What a measurement found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.tallies import BookFacts
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.model import GateResult


@dataclass(frozen=True, slots=True)
class FidelityResult:
    """What was found, before it is drawn and published.

    Attributes:
        metrics: all rows of metrics.parquet.
        references: what became of the rows of each reference dataset.
        windows: columns of `Windows.frame`, against tickers where there are any, else against snapshots.
        windows_reference: which of the two.
        snapshot_windows: those against snapshots, where `windows` are against tickers; else None.
        levels: columns of `LevelComparison.level_frame`.
        level_windows: see `LevelWindows.to_dict`.
        states: see `state_curves`.
        drift: columns of `Drift.frame`.
        facts: of the book itself.
        steps: which rows of the book stand for the day in its picture.
        shown: level columns of these rows.
    """

    metrics: tuple[Metric, ...]
    references: dict[str, ReferenceCounts]
    windows: pl.DataFrame
    windows_reference: str
    levels: pl.DataFrame
    level_windows: dict[str, Any]
    states: list[dict[str, Any]]
    drift: pl.DataFrame
    facts: BookFacts
    steps: TimeSteps
    shown: pl.DataFrame
    snapshot_windows: pl.DataFrame | None = None

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """The gated metrics held against their gates, in order."""
        return tuple(metric.result for metric in self.metrics if metric.result is not None)
