"""Judges a day straight from its files, before anything is published: from footers and a sample, or from every row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from order_book_platform.assess.data_assessor import DataAssessor
from order_book_platform.assess.gaps.gap_classification import ClassifiedGap, RecoverySnapshots, classify
from order_book_platform.assess.gaps.gap_reporter import GapReporter
from order_book_platform.assess.lake.impossible_values import (
    impossible_figure,
    impossible_note,
    impossible_values,
)
from order_book_platform.assess.lake.lake_day import LakeDay, read_day
from order_book_platform.assess.lake.lake_report import day_report, tick_changes
from order_book_platform.assess.report.sections import messages_in_all
from order_book_platform.assess.rule_figures import RuleFigure, day_coverage, message_figures
from order_book_platform.assess.rules import held_against, rules_for_day, rules_report
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.snapshot_scheduler import EveryNthSnapshot
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest, LakeSource
from order_book_platform.storage import DataStore

SAMPLED_GAPS = " (silences and unseen snapshots only: crossed books and disagreement need --full)"
"""Text behind the notes of the rules on gaps, which a sample looks at in part."""


class LakeAssessor:
    """Judges a symbol and day of the lake; publishes nothing.

    Args:
        settings: Settings `lake_root`, instruments, `sources`, `gaps`, `reconstruct`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def full(self, key: PartitionKey, progress: Progress = silent) -> dict[str, Any]:
        """Return the report that `data_assessment` would have, from every row.

        The components that make the assets are run over a store of their own, which is removed afterwards, so that this
        report and one that is published later cannot differ. Meanwhile `raw_deltas`, `snapshots` and `trades` take disk
        space in the folder of temporary files.

        Raises:
            SourceError, FixedPointError, SettingsError: As `LakeIngest`.
            DiskFullError: The disk of the folder of temporary files is full.
        """
        with tempfile.TemporaryDirectory(prefix="obp-assess-") as folder:
            store = DataStore(Path(folder))
            LakeIngest(store, self._settings).run(key, progress)
            GapReporter(store, self._settings).run(key, progress)
            return DataAssessor(store, self._settings).run(key, progress).report

    def sampled(self, key: PartitionKey) -> dict[str, Any]:
        """Return a report from footers, the best prices of `book` and a sample; each figure says which it is from.

        Raises:
            SourceError: There are no deltas, or a file is damaged or, as far as it is looked at, impossible.
            FixedPointError: Neither int64 pips nor decimals hold a value of the sample.
            SettingsError: A configured tick or lot is finer than the decimals.
        """
        day = read_day(self._source, self._settings, key)
        estimate = estimate_run(
            deltas=day.footers["book_delta_v2"].rows,
            snapshots=day.footers["book"].rows,
            batch_rows=self._settings.sources.batch_rows,
            decimal_sizes=day.deltas.decoder.size_count,
            day_share=day.silences.span and day_coverage(key, *day.silences.span),
        )
        gaps = _gaps(day, self._settings)
        impossible = impossible_values(key.day, day.footers)
        figures = _figures(day, gaps, estimate, self._settings) | impossible_figure(impossible, day.footers)
        notes = dict.fromkeys(("gap_ratio", "proven_losses"), SAMPLED_GAPS) | impossible_note(impossible)
        gates = held_against(rules_for_day(notes, has_book=bool(day.files["book"])), figures)
        return {**day_report(day, gaps, gates, estimate, self._settings), **rules_report(gates, figures)}


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
    messages, audit = day.deltas.scan.messages, day.deltas.audit
    in_all = messages_in_all(audit["messages"], audit["rows"], day.footers["book_delta_v2"].rows)
    if not messages or not in_all or not day.in_order:
        return None
    silences = len(day.silences.candidates)
    return silences / in_all + (len(gaps) - silences) / messages


def _figures(
    day: LakeDay, gaps: list[ClassifiedGap], estimate: RunEstimate, settings: Settings
) -> dict[str, RuleFigure]:
    scan, audit, footers = day.deltas.scan, day.deltas.audit, day.footers["book_delta_v2"]
    messages, rows = scan.messages, audit["rows"]
    first, last = day.silences.span or (0, 0)
    figures = {
        "deltas": RuleFigure(footers.rows, footers.rows, "statistics"),
        "messages": RuleFigure(messages, messages, "sample"),
        "seed": RuleFigure(day.book.sound, day.book.rows, "sample"),
        "gap_ratio": RuleFigure(_gap_ratio(day, gaps), messages, "sample"),
        "origin_coverage": RuleFigure(day.silences.coverage, footers.rows, "full"),
        "decimals": RuleFigure(_forcing_decimals(day, settings), rows, "sample"),
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


def _forcing_decimals(day: LakeDay, settings: Settings) -> int:
    """Count the values of the sample for which the day would be kept as decimals; 0 if it was set to them."""
    if settings.instrument(day.key.instrument).precision != "auto":
        return 0
    overflow = day.deltas.decoder.overflow_audit()
    return int(overflow.get("prices_beyond_pips", 0) + overflow.get("sizes_beyond_pips", 0))
