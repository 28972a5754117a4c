"""A day judged straight from its files, before anything is published: by statistics and sample, or as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from order_book_platform.assess.data_assessor import DataAssessor
from order_book_platform.assess.gaps.gap_classification import Gap, Reach, classify
from order_book_platform.assess.gaps.gap_reporter import GapReporter
from order_book_platform.assess.lake.impossible_values import impossible_rule, impossible_values
from order_book_platform.assess.lake.lake_day import LakeDay, read_day
from order_book_platform.assess.lake.lake_report import day_report, tick_changes
from order_book_platform.assess.report.sections import messages_in_all
from order_book_platform.assess.rules import (
    RULES,
    RuleFigure,
    day_coverage,
    held_against,
    median_latency,
    rules_report,
)
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.model import Gate, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.replay.snapshot_selection import EveryNthSnapshot
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest, LakeSource
from order_book_platform.sources.float_decoding import FloatBits
from order_book_platform.storage import DataStore

SAMPLED_GAPS = "silences and unseen snapshots only: crossed books and disagreement need --full"
"""What a sample says of gaps."""


class LakeAssessor:
    """Judges a symbol and day of the lake; publishes nothing.

    Args:
        settings: `lake_root`, instruments, `sources`, `gaps`, `reconstruct`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def full(self, key: PartitionKey, progress: Progress = silent) -> dict[str, Any]:
        """Everything that `data_assessment` would say, from every row.

        The components that make the assets are run over a store of their own, which is removed: what is said here
        and what is published later cannot differ. Meanwhile `raw_deltas`, `snapshots` and `trades` take their room in
        the folder of temporary files.

        Raises:
            SourceError, FixedPointError, SettingsError: as `LakeIngest`.
            DiskFullError: the folder of temporary files has no room.
        """
        with tempfile.TemporaryDirectory(prefix="obp-assess-") as folder:
            store = DataStore(Path(folder))
            LakeIngest(store, self._settings).run(key, progress)
            GapReporter(store, self._settings).run(key, progress)
            return DataAssessor(store, self._settings).run(key, progress).report

    def sampled(self, key: PartitionKey) -> dict[str, Any]:
        """What footers, the best prices of `book` and a sample of rows say; every figure says which of them it is from.

        Raises:
            SourceError: there are no deltas, or a file is damaged or, as far as it is looked at, impossible.
            FixedPointError: neither int64 pips nor decimals hold a value of the sample.
            SettingsError: a configured tick or lot is finer than the decimals.
        """
        day = read_day(self._source, self._settings, key)
        reading, footers = day.deltas.reading, day.footers
        estimate = estimate_run(
            deltas=footers["book_delta_v2"].rows,
            snapshots=footers["book"].rows,
            batch_rows=self._settings.sources.batch_rows,
            decimal_sizes=reading.sizes if isinstance(reading, FloatBits) else None,
            day_share=day.silences.span and day_coverage(key, *day.silences.span),
        )
        gaps = _gaps(day, self._settings)
        figures = _figures(day, gaps, estimate, self._settings)
        refused = impossible_values(key.day, footers)
        rules, figure = impossible_rule(_rules(day), refused, footers)
        figures |= figure
        gates = held_against(rules, figures)
        return {**day_report(day, gaps, gates, estimate, self._settings), **rules_report(gates, figures)}


def _gaps(day: LakeDay, settings: Settings) -> list[Gap]:
    """Silences of the whole day and what else the sample shows, each with the snapshot it may be recovered from."""
    best = day.best
    order = np.argsort(best.sequence_number, kind="stable")
    bad = (best.crossed | best.one_sided)[order].astype(np.uint8)
    rows = EveryNthSnapshot(settings.reconstruct.extend_every).rows(bad)
    usable = order[rows[bad[rows] == 0]]
    reach = Reach(best.sequence_number[usable], best.origin_time[usable])
    others = [item for item in day.deltas.scan.breaks if item.cause != "silence" and day.in_order]
    breaks = sorted((*day.silences.breaks, *others), key=lambda item: item.after)
    return [classify(item, reach, settings.gaps) for item in breaks]


def _gap_ratio(day: LakeDay, gaps: Sequence[Gap]) -> float | None:
    """Silences of all messages, and what else there is of the sample's."""
    messages, audit = day.deltas.scan.messages, day.deltas.audit
    in_all = messages_in_all(audit["messages"], audit["rows"], day.footers["book_delta_v2"].rows)
    if not messages or not in_all or not day.in_order:
        return None
    silences = len(day.silences.breaks)
    return silences / in_all + (len(gaps) - silences) / messages


def _figures(
    day: LakeDay, gaps: Sequence[Gap], estimate: RunEstimate, settings: Settings
) -> dict[str, RuleFigure]:
    scan, audit, footers = day.deltas.scan, day.deltas.audit, day.footers["book_delta_v2"]
    clocks, messages, rows = scan.clocks(), scan.messages, audit["rows"]
    first, last = day.silences.span or (0, 0)
    off_grid = day.deltas.off_grid + day.trades["off_grid_prices"] + day.trades["off_grid_sizes"]
    of_sample = "sample"
    figures = {
        "deltas": RuleFigure(footers.rows, footers.rows, "statistics"),
        "messages": RuleFigure(messages, messages, of_sample),
        "seed": RuleFigure(day.book.sound, day.book.rows, of_sample),
        "gap_ratio": RuleFigure(_gap_ratio(day, gaps), messages, of_sample),
        "origin_coverage": RuleFigure(day.silences.coverage, footers.rows, "full"),
        "origin_valid": RuleFigure(clocks["origin_valid"], messages, of_sample),
        "off_grid": RuleFigure(off_grid, rows + day.trades["rows"], of_sample),
        "decimals": RuleFigure(_beyond(day, settings), rows, of_sample),
        "increments": RuleFigure(len(day.contradicted), rows, of_sample),
        "tick_changes": RuleFigure(len(tick_changes(day)), len(day.deltas.ticks), of_sample),
        "memory": RuleFigure(estimate.peak_bytes, footers.rows, "estimate"),
        "day_coverage": RuleFigure(day_coverage(day.key, first, last), footers.rows, "full"),
        "proven_losses": RuleFigure(sum(gap.proven for gap in gaps), messages, of_sample),
        "duplicates": RuleFigure(audit["duplicate_rows"] / rows, rows, of_sample),
        "unsorted": _unsorted(day),
        "latency_p50_ms": median_latency(clocks, messages, of_sample),
        "latency_negative": RuleFigure(clocks["latency_negative"], messages, of_sample),
    }
    if not day.in_order:  # neighbours of a message may lie where nobody looked: what seems lost may be there
        del figures["gap_ratio"], figures["proven_losses"]
    if day.book.rows:
        n = len(day.best.bid)
        share = day.book.sound / day.book.rows
        figures["snapshots_sound"] = RuleFigure(share, day.book.rows, of_sample)
        figures["book_crossed"] = RuleFigure(float(day.best.crossed.mean()), n, "full")
    return figures


def _rules(day: LakeDay) -> dict[str, tuple[Gate, str]]:
    """The rules for the day: without `book` no seed is to be expected, and some are looked at in part by a sample."""
    rules = dict(RULES)
    for name in ("gap_ratio", "proven_losses"):
        gate, note = rules[name]
        rules[name] = gate, f"{note} ({SAMPLED_GAPS})"
    if not day.files["book"]:
        gate, note = rules["seed"]
        rules["seed"] = replace(gate, severity=Severity.WARN), note
    return rules


def _unsorted(day: LakeDay) -> RuleFigure:
    """Row groups that go back, where the statistics show any; else rows of the sample."""
    footers = day.footers["book_delta_v2"]
    back = 0 if day.deltas.whole else footers.groups_back("sequence_number")
    if back:
        return RuleFigure(back, len(footers.group_rows), "statistics")
    return RuleFigure(day.deltas.audit["unsorted_rows"], day.deltas.audit["rows"], "sample")


def _beyond(day: LakeDay, settings: Settings) -> int:
    """Values of the sample for which the day would be kept as decimals; none where it was set to them."""
    reading = day.deltas.reading
    if settings.instrument(day.key.instrument).precision != "auto" or not isinstance(reading, FloatBits):
        return 0
    return int(reading.prices_beyond.fewest[0] + reading.sizes_beyond.fewest[0])
