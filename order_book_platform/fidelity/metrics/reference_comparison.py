"""Comparison of book rows with reference rows of the same sequence numbers, and the metrics that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl

from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metric_declarations import (
    GOLDEN,
    SIDES,
    SNAPSHOTS,
    TICKERS,
    declaration_of,
)
from order_book_platform.fidelity.metrics.comparison_counts import (
    CLAIMED,
    EVERY,
    BestPriceCounts,
    LevelCounts,
    compare_best,
    share,
)
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.size_correlation import (
    KINDS,
    CorrelationSample,
    LevelCorrelations,
    Magnitude,
    as_floats,
    sample_step,
)
from order_book_platform.fidelity.metrics.time_windows import LevelWindows, Windows
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS, ShiftedReferences
from order_book_platform.model.arrays import BoolArray, Int64Array

LEVELS_SCHEMA: dict[str, type[pl.DataType]] = {
    "side": pl.String,
    "level": pl.Int64,
    "known_rows": pl.Int64,
    "exact_share": pl.Float64,
    "pairs": pl.Int64,
    "steps": pl.Int64,
    **dict.fromkeys(KINDS, pl.Float64),
    "placebo_exact_share": pl.Float64,
    **{f"placebo_{kind}": pl.Float64 for kind in KINDS},
}
_COMPARED = {
    SNAPSHOTS: "held-out snapshots",
    TICKERS: "book rows, each against the last ticker before it,",
    GOLDEN: "rows of the golden sample",
}
_REFERENCES = 1 + len(PLACEBO_SHIFTS_NS)
_LEVEL_SHARES = {
    "topk_exact": ("known_equal", "known"),
    "topk_missing": ("missing", "reference_levels"),
    "topk_ghost": ("ghosts", "book_levels"),
    "topk_known_share": ("known", "rows"),
    "topk_exact_all": ("equal", "rows"),
}
"""Counts of `LevelCounts` whose quotient each metric is."""
_SIZE_FIGURES = (
    ("l1", "l1", "pairs", "highest Σ|difference of sizes| / Σ sizes"),
    ("corr_pearson", "pearson", "pairs", "lowest Pearson correlation of log1p(size)"),
    ("corr_spearman", "spearman", "pairs", "lowest Spearman correlation"),
    (
        "corr_pearson_detrended",
        "pearson_detrended",
        "steps",
        "lowest Pearson correlation of differences of log1p(size) from one row to the next",
    ),
    (
        "corr_spearman_detrended",
        "spearman_detrended",
        "steps",
        "lowest Spearman correlation of differences of sizes from one row to the next",
    ),
)
"""Ending of the metric's name, figure of `LevelCorrelations`, its count of observations, and words for the note."""


class BestPriceComparison:
    """Compares best bid and ask of book rows with those of a reference dataset and of its placebos.

    `span_ns` is the first and the last time of the windows in which the comparison is kept over time, ns.
    """

    def __init__(self, encoded_tick: int, span_ns: tuple[int, int], reference: str) -> None:
        self._encoded_tick = encoded_tick
        self._reference = reference
        self.windows = Windows(*span_ns)
        self.counts = [BestPriceCounts() for _ in range(_REFERENCES)]

    def add(self, time_ns: Int64Array, books: BookRows, references: ShiftedReferences) -> BoolArray:
        """Take in n aligned rows, shown in the windows at `time_ns` int64[n]; sampled ones meet the placebos too.

        Returns:
            bool[n], whether best bid and ask are right, price and size.
        """
        known = books.known > 0
        best = compare_best(
            books.encoded_price,
            books.encoded_size,
            references.encoded_price,
            references.encoded_size,
            self._encoded_tick,
        )
        self.counts[0].add(best, known)
        self.windows.add(time_ns, best)
        exact = best.exact
        sampled, pool = references.sampled, references.pool
        ours = books.encoded_price[sampled], books.encoded_size[sampled]
        for shift, counts in enumerate(self.counts[1:]):
            at, valid = references.later[sampled, shift], references.shifted_valid[sampled, shift]
            best = compare_best(*ours, pool.encoded_price, pool.encoded_size, self._encoded_tick, at)
            counts.add(best, known[sampled], valid)
            if shift == 0:
                self.windows.add(time_ns[sampled], best, valid)
        return exact

    def metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        """Return all `bbo_*`: how often the best prices are right, how far off, and how often they are known."""
        true, *late = self.counts
        compared = _COMPARED[self._reference]
        metric = partial(Metric.of, reference=self._reference, unmatched=unmatched, alignment=alignment)
        found = [
            metric(
                "bbo_exact_seq",
                true.exact_share,
                true.rows,
                f"{true.exact:,} of {true.rows:,} {compared} show the same best bid and ask, price and size, known or "
                "not.",
                placebos=[counts.exact_share for counts in late],
            )
        ]
        for name, part in (("bbo_rms_seq", CLAIMED), ("bbo_rms_all", EVERY)):
            for side, side_name in enumerate(SIDES):
                off, priced, unknown = true.off(part, side), true.priced(part, side), true.unknown(side)
                note = (
                    f"In ticks; {off:,} of {priced:,} rows that claim to know the best {side_name} have another price; "
                    f"{unknown:,} rows that do not claim it are left out."
                    if part == CLAIMED
                    else f"In ticks; {off:,} of all {priced:,} rows, known or not, have another best {side_name} price."
                )
                placebos = [counts.rms_ticks(part, side) for counts in late]
                value = true.rms_ticks(part, side)
                found.append(metric(f"{name}_{side_name}", value, priced, note, placebos=placebos))
        note = f"The book claims to know best bid and best ask in {true.both_known:,} of {true.rows:,} rows."
        return [
            *found,
            metric("bbo_known_share", share(true.both_known, true.rows), true.rows, note),
        ]


class LevelComparison:
    """Compares K levels a side of book rows with those of held-out snapshots, or of the rows of a golden sample.

    At most `expected_rows` come; the rest is as in `BestPriceComparison`.

    Attributes:
        step: Every `step`-th reference has to come with placebos.
    """

    def __init__(
        self,
        levels: int,
        encoded_tick: int,
        expected_rows: int,
        span_ns: tuple[int, int],
        magnitude: Magnitude = as_floats,
        reference: str = SNAPSHOTS,
    ) -> None:
        self.level_windows = LevelWindows(levels, *span_ns)
        self._reference = reference
        self.best = BestPriceComparison(encoded_tick, span_ns, reference)
        self._levels = levels
        self._counts = [LevelCounts(levels) for _ in range(_REFERENCES)]
        self.step = sample_step(expected_rows)
        self._sample = CorrelationSample(-(-expected_rows // self.step), magnitude)
        self._correlations: tuple[LevelCorrelations, ...] = ()

    def add(self, references: ShiftedReferences, books: BookRows) -> tuple[BoolArray, Int64Array]:
        """Take in n aligned rows.

        Returns:
            bool[n], whether best bid and ask are right; int64[n, ROW_COUNTS], the counts of the levels compared.
        """
        rows, pool = references.sampled, references.pool
        exact = self.best.add(references.time_ns, books, references)
        price, size, known = books.encoded_price, books.encoded_size, books.known
        counts = self._counts[0].add(price, size, known, references.encoded_price, references.encoded_size)
        sampled, beside = books.take(rows), references.take(rows)
        self.level_windows.add(beside, sampled)
        price, size, known = sampled.encoded_price, sampled.encoded_size, sampled.known
        for shift, late in enumerate(self._counts[1:]):
            at, valid = beside.later[:, shift], beside.shifted_valid[:, shift]
            late.add(
                price[valid], size[valid], known[valid], pool.encoded_price, pool.encoded_size, at[valid]
            )
        self._sample.add(
            *(price, size, known),
            np.concatenate([beside.encoded_price[:, None], beside.shifted_price], axis=1),
            np.concatenate([beside.encoded_size[:, None], beside.shifted_size], axis=1),
            np.insert(beside.shifted_valid, 0, True, axis=1),
        )
        return exact, counts

    def close(self) -> None:
        """Work out the correlations, after all rows have come."""
        unknown = LevelCorrelations.nothing(self._levels)
        self._correlations = self._sample.correlate() or (unknown,) * _REFERENCES

    @property
    def rows(self) -> int:
        """Number of rows compared."""
        return self._counts[0].rows

    def metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        """Return the metrics of best prices, levels and sizes, after `close`."""
        metric = partial(Metric.of, reference=self._reference, unmatched=unmatched, alignment=alignment)
        return [
            *self.best.metrics(unmatched, alignment),
            *self._level_metrics(metric),
            *self._size_metrics(metric),
        ]

    def _level_metrics(self, metric: Callable[..., Metric]) -> list[Metric]:
        """Return the metrics `topk_*` of all levels together."""
        true, count = self._counts[0], 2 * self._levels
        rows, claim = f"of {true.rows:,} held-out rows", f"claim to know all {count} levels"
        figures = {
            "topk_exact": f"{true.known_equal:,} of {true.known:,} rows that {claim} have them right.",
            "topk_missing": f"{true.missing:,} of {true.reference_levels:,} reference levels in the known range are "
            "not in it.",
            "topk_ghost": f"{true.ghosts:,} of {true.book_levels:,} known book levels are not in the reference.",
            "topk_known_share": f"{true.known:,} {rows} {claim}.",
            "topk_exact_all": f"{true.equal:,} {rows} are equal in all {count} levels, known or not. Levels that the "
            "book does not claim to know count against it, so this is a measure of how much is known; topk_exact, "
            "topk_missing and topk_ghost count errors.",
        }
        found = []
        for name, note in figures.items():
            part, whole = _LEVEL_SHARES[name]
            values = [share(getattr(counts, part), getattr(counts, whole)) for counts in self._counts]
            placebos = values[1:] if declaration_of(name).placebos else ()
            found.append(metric(name, values[0], getattr(true, whole), note, placebos=placebos))
        return found

    def _size_metrics(self, metric: Callable[..., Metric]) -> list[Metric]:
        """Return `depth_l1` and all `depth_corr_*`: the worst of all levels and sides."""
        true, *late = self._correlations
        return [
            metric(
                f"depth_{name}",
                true.worst(kind),
                int(getattr(true, counted).min()),
                f"The {title} of all levels and sides, over evenly spaced rows; n is the fewest of any level.",
                placebos=[correlations.worst(kind) for correlations in late],
            )
            for name, kind, counted, title in _SIZE_FIGURES
        ]

    def level_frame(self) -> pl.DataFrame:
        """Return one row per side and level, after `close`.

        Returns:
            A table with schema `LEVELS_SCHEMA`; levels count from 1, figures with `placebo_` before them are against
            the reference 1 s later, and are null where nothing was compared.
        """
        true, late = self._correlations[0], self._correlations[1]
        counts, late_counts = self._counts[0].by_level, self._counts[1].by_level
        rows = []
        for side, name in enumerate(SIDES):
            for level in range(self._levels):
                at = (side, level)
                rows.append(
                    {
                        "side": name,
                        "level": level + 1,
                        "known_rows": int(counts[at][0]),
                        "exact_share": share(int(counts[at][1]), int(counts[at][0])),
                        "pairs": int(true.pairs[at]),
                        "steps": int(true.steps[at]),
                        "placebo_exact_share": share(int(late_counts[at][1]), int(late_counts[at][0])),
                        **{kind: float(getattr(true, kind)[at]) for kind in KINDS},
                        **{f"placebo_{kind}": float(getattr(late, kind)[at]) for kind in KINDS},
                    }
                )
        return pl.DataFrame(rows, schema=LEVELS_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def level_metrics(levels: pl.DataFrame, unmatched: int, alignment: str) -> list[Metric]:
    """Return the metrics of single levels, which have no gate, from the table of `LevelComparison.level_frame`."""
    return [
        Metric.of(
            f"{name}_{row['side']}_{row['level']}",
            row[column],
            row[count],
            unmatched=unmatched,
            alignment=alignment,
            placebos=(row[f"placebo_{column}"],),
        )
        for name, column, count in (
            ("level_exact", "exact_share", "known_rows"),
            ("depth_corr_pearson", "pearson", "pairs"),
            ("depth_corr_spearman", "spearman", "pairs"),
            ("depth_l1", "l1", "pairs"),
            ("depth_corr_pearson_detrended", "pearson_detrended", "steps"),
            ("depth_corr_spearman_detrended", "spearman_detrended", "steps"),
        )
        for row in levels.iter_rows(named=True)
    ]
