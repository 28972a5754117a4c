"""Running a book past its references: what is added up on the way, and the metrics that come of it."""

from __future__ import annotations

import numpy as np
import polars as pl

from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.fidelity.metrics.level_windows import LevelWindows
from order_book_platform.fidelity.metrics.metric import GATES, GOLDEN, SIDES, SNAPSHOTS, TICKERS, Metric
from order_book_platform.fidelity.metrics.size_correlation import (
    KINDS,
    CorrelationSample,
    LevelCorrelations,
    Magnitude,
    as_floats,
    sample_step,
)
from order_book_platform.fidelity.metrics.tallies import (
    CLAIMED,
    EVERY,
    BestTally,
    LevelTally,
    compare_best,
    share,
)
from order_book_platform.fidelity.metrics.time_windows import Windows
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


class BestPriceComparison:
    """Best bid and ask of book rows beside those of a reference and its placebos.

    Args:
        tick_pips: pips per tick.
        windows: where the comparison is kept over time.
    """

    def __init__(self, tick_pips: int, windows: Windows) -> None:
        self._tick_pips = tick_pips
        self.windows = windows
        self.tallies = [BestTally() for _ in range(_REFERENCES)]

    def add(
        self,
        time_ns: Int64Array,
        books: BookRows,
        references: ShiftedReferences,
    ) -> BoolArray:
        """Take in aligned rows.

        Args:
            time_ns: int64[n], ns: when the row is shown in the windows.
            books: n rows.
            references: n rows; the sampled ones are compared with the placebos too.

        Returns:
            bool[n], best bid and ask are right, price and size.
        """
        known = books.known > 0
        best = compare_best(
            books.encoded_price,
            books.encoded_size,
            references.encoded_price,
            references.encoded_size,
            self._tick_pips,
        )
        self.tallies[0].add(best, known)
        self.windows.add(time_ns, best)
        exact = best.exact
        sampled, pool = references.sampled, references.pool
        ours = books.encoded_price[sampled], books.encoded_size[sampled]
        for shift, tally in enumerate(self.tallies[1:]):
            at, valid = references.later[sampled, shift], references.shifted_valid[sampled, shift]
            best = compare_best(*ours, pool.encoded_price, pool.encoded_size, self._tick_pips, at)
            tally.add(best, known[sampled], valid)
            if shift == 0:
                self.windows.add_placebo(time_ns[sampled], best, valid)
        return exact

    def metrics(self, reference: str, unmatched: int, alignment: str) -> list[Metric]:
        """All `bbo_*`: how often the best prices are right, how far off, and how often they are known."""
        true, *late = self.tallies
        what = _COMPARED[reference]
        exact = Metric(
            "bbo_exact_seq",
            true.exact_share,
            true.rows,
            GATES["bbo_exact_seq"],
            unmatched,
            alignment,
            reference,
            tuple(tally.exact_share for tally in late),
            f"{true.exact:,} of {true.rows:,} {what} show the same best bid and ask, price and size, known or not.",
        )
        known = Metric(
            "bbo_known_share",
            share(true.both_known, true.rows),
            true.rows,
            GATES["bbo_known_share"],
            unmatched,
            alignment,
            reference,
            note=f"The book claims to know best bid and best ask in {true.both_known:,} of {true.rows:,} rows.",
        )
        return [exact, *self._price_metrics(reference, unmatched, alignment), known]

    def _price_metrics(self, reference: str, unmatched: int, alignment: str) -> list[Metric]:
        """`bbo_rms_seq` over the rows that claim to know the side's best level, `bbo_rms_all` over all rows."""
        found = []
        true, *late = self.tallies
        for metric, part in (("bbo_rms_seq", CLAIMED), ("bbo_rms_all", EVERY)):
            for side, name in enumerate(SIDES):
                off, priced, unknown = true.off(part, side), true.priced(part, side), true.unknown(side)
                note = (
                    f"In ticks; {off:,} of {priced:,} rows that claim to know the best {name} have another price; "
                    f"{unknown:,} rows that do not claim it are left out."
                    if part == CLAIMED
                    else f"In ticks; {off:,} of all {priced:,} rows, known or not, have another best {name} price."
                )
                found.append(
                    Metric(
                        f"{metric}_{name}",
                        true.rms_ticks(part, side),
                        priced,
                        GATES.get(f"{metric}_{name}"),
                        unmatched,
                        alignment,
                        reference,
                        tuple(tally.rms_ticks(part, side) for tally in late),
                        note,
                    )
                )
        return found


class LevelComparison:
    """Book rows beside held-out references of K levels: snapshots, or the rows of a golden sample.

    Args:
        levels: K.
        tick_pips: pips per tick.
        expected_rows: upper bound of the rows to come.
        windows: where the comparison of the best prices is kept over time.
        level_windows: where that of the levels is.
        magnitude: how large the sizes are, in pips.
        reference: what they are, as in `Metric`.

    Attributes:
        step: every how many-th reference is to have placebos.
    """

    def __init__(
        self,
        levels: int,
        tick_pips: int,
        expected_rows: int,
        windows: Windows,
        level_windows: LevelWindows,
        magnitude: Magnitude = as_floats,
        reference: str = SNAPSHOTS,
    ) -> None:
        self.level_windows = level_windows
        self._reference = reference
        self.best = BestPriceComparison(tick_pips, windows)
        self._levels = levels
        self._tallies = [LevelTally(levels) for _ in range(_REFERENCES)]
        self.step = sample_step(expected_rows)
        self._sample = CorrelationSample(-(-expected_rows // self.step), magnitude)
        self._correlations: tuple[LevelCorrelations, ...] = ()

    def add(self, references: ShiftedReferences, books: BookRows) -> tuple[BoolArray, Int64Array]:
        """Take in aligned rows.

        Returns:
            bool[n], best bid and ask are right; int64[n, ROW_COUNTS], the levels compared.
        """
        rows = references.sampled
        exact = self.best.add(references.time_ns, books, references)
        price, size, known = books.encoded_price, books.encoded_size, books.known
        pool = references.pool
        counts = self._tallies[0].add(price, size, known, references.encoded_price, references.encoded_size)
        sampled, beside = books.take(rows), references.take(rows)
        self.level_windows.add(beside, sampled)
        price, size, known = sampled.encoded_price, sampled.encoded_size, sampled.known
        for shift, tally in enumerate(self._tallies[1:]):
            at, valid = beside.later[:, shift], beside.shifted_valid[:, shift]
            tally.add(
                price[valid], size[valid], known[valid], pool.encoded_price, pool.encoded_size, at[valid]
            )
        self._sample.add(
            sampled.encoded_price,
            sampled.encoded_size,
            sampled.known,
            np.concatenate([beside.encoded_price[:, None], beside.shifted_price], axis=1),
            np.concatenate([beside.encoded_size[:, None], beside.shifted_size], axis=1),
            np.insert(beside.shifted_valid, 0, True, axis=1),
        )
        return exact, counts

    def close(self) -> None:
        """All rows have come: work out the correlations."""
        nothing = LevelCorrelations.nothing(self._levels)
        self._correlations = self._sample.correlate() or (nothing,) * _REFERENCES

    @property
    def rows(self) -> int:
        """Aligned rows."""
        return self._tallies[0].rows

    def metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        """The gated metrics of best prices and depth, after `close`."""
        return [
            *self.best.metrics(self._reference, unmatched, alignment),
            *self._depth_metrics(unmatched, alignment),
            *self._correlation_metrics(unmatched, alignment),
        ]

    def _depth_metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        true, *late = self._tallies

        def metric(name: str, part: str, whole: str, note: str, *, placebo: bool = True) -> Metric:
            n = getattr(true, whole)
            placebos = (
                [share(getattr(tally, part), getattr(tally, whole)) for tally in late] if placebo else []
            )
            value = share(getattr(true, part), n)
            return Metric(
                name, value, n, GATES[name], unmatched, alignment, self._reference, tuple(placebos), note
            )

        count = 2 * self._levels
        return [
            metric(
                "topk_exact",
                "known_equal",
                "known",
                f"{true.known_equal:,} of {true.known:,} rows that claim to know all {count} levels have them right.",
            ),
            metric(
                "topk_missing",
                "missing",
                "reference_levels",
                f"{true.missing:,} of {true.reference_levels:,} reference levels in the known range are not in it.",
            ),
            metric(
                "topk_ghost",
                "ghosts",
                "book_levels",
                f"{true.ghosts:,} of {true.book_levels:,} known book levels are not in the reference.",
            ),
            metric(
                "topk_known_share",
                "known",
                "rows",
                f"{true.known:,} of {true.rows:,} held-out rows claim to know all {count} levels.",
                placebo=False,
            ),
            metric(
                "topk_exact_all",
                "equal",
                "rows",
                f"{true.equal:,} of {true.rows:,} held-out rows are equal in all {count} levels, known or not. "
                "Levels that the book does not claim to know count against it, so this is a measure of how much is "
                "known; topk_exact, topk_missing and topk_ghost count errors.",
            ),
        ]

    def _correlation_metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        true, *late = self._correlations
        return [
            Metric(
                f"depth_{name}",
                true.worst(kind),
                int(getattr(true, counted).min()),
                GATES[f"depth_{name}"],
                unmatched,
                alignment,
                self._reference,
                tuple(correlations.worst(kind) for correlations in late),
                f"The {title} of all levels and sides, over evenly spaced rows; n is the fewest of any level.",
            )
            for name, kind, counted, title in (
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
        ]

    def level_frame(self) -> pl.DataFrame:
        """One row per side and level, after `close`.

        Returns:
            Columns side, level (from 1), known_rows, exact_share, pairs, pearson, spearman,
            l1, steps, pearson_detrended, spearman_detrended, and with `placebo_` before it (the reference 1 s later)
            each figure; null where nothing was compared.
        """
        true, late = self._correlations[0], self._correlations[1]
        counts, late_counts = self._tallies[0].by_level, self._tallies[1].by_level
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
    """Ungated rows of metrics.parquet: how each side and level compares.

    Args:
        levels: of `LevelComparison.level_frame`.
        unmatched: references without a book row.
        alignment: as in `Metric`.
    """
    return [
        Metric(
            f"{name}_{row['side']}_{row['level']}",
            row[column],
            row[count],
            None,
            unmatched,
            alignment,
            SNAPSHOTS,
            (row[f"placebo_{column}"],),
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
