"""Comparison of best prices in windows of equal length: where in the day the book was right, for the charts."""

from __future__ import annotations

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metrics.comparison_counts import BestPrices
from order_book_platform.kernels.fidelity.level_comparison import add_to_windows
from order_book_platform.model.arrays import BoolArray, Int64Array

MAX_WINDOWS = 300
WINDOWS_SCHEMA: dict[str, type[pl.DataType]] = {
    "start_ns": pl.Int64,
    "width_ns": pl.Int64,
    "n": pl.Int64,
    "exact_share": pl.Float64,
    "rms_bid_ticks": pl.Float64,
    "rms_ask_ticks": pl.Float64,
    "placebo_exact_share": pl.Float64,
    "placebo_rms_ticks": pl.Float64,
}
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


def window_width_ns(span_ns: int, most: int = MAX_WINDOWS) -> int:
    """Return the shortest of some round widths (1 s … 1 h) with which at most `most` windows are needed, ns."""
    for width in _WIDTHS_S:
        if span_ns <= width * NS_PER_SECOND * most:
            return width * NS_PER_SECOND
    return -(-span_ns // most)


class Windows:
    """Adds up comparisons of best prices per window.

    Args:
        first_ns: Earliest time, ns; windows start at whole multiples of their width.
        last_ns: Latest time, ns; rows outside go to the first or the last window.
    """

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self._width_ns = window_width_ns(last_ns - first_ns)
        self._first = first_ns // self._width_ns
        self._count = last_ns // self._width_ns - self._first + 1
        self._rows = np.zeros((2, 4, self._count))
        self._squares = np.zeros((2, 2, self._count))

    def add(self, time_ns: Int64Array, best: BestPrices) -> None:
        """Take in rows compared with the true reference.

        Args:
            time_ns: int64[n], when the rows are shown, ns.
            best: Comparison of the n rows.
        """
        self._add(0, time_ns, best, np.ones(len(time_ns), dtype=np.bool_))

    def add_placebo(self, time_ns: Int64Array, best: BestPrices, valid: BoolArray) -> None:
        """Take in rows compared with the placebo; `valid` bool[n] says where it exists."""
        self._add(1, time_ns, best, valid)

    def _add(self, part: int, time_ns: Int64Array, best: BestPrices, chosen: BoolArray) -> None:
        add_to_windows(
            self._bins(time_ns), best.exact, best.error_ticks, chosen, self._rows[part], self._squares[part]
        )

    def _bins(self, time_ns: Int64Array) -> Int64Array:
        bins: Int64Array = np.clip(time_ns // self._width_ns - self._first, 0, self._count - 1)
        return bins

    def frame(self) -> pl.DataFrame:
        """Return one row per window.

        Returns:
            A table with schema `WINDOWS_SCHEMA`; shares and errors are null where nothing was compared, and
            `placebo_rms_ticks` is of both sides together.
        """
        (rows, exact, bids, asks), (late_rows, late_exact, late_bids, late_asks) = self._rows
        columns = {
            "exact_share": (exact, rows),
            "placebo_exact_share": (late_exact, late_rows),
            "rms_bid_ticks": (self._squares[0, 0], bids),
            "rms_ask_ticks": (self._squares[0, 1], asks),
            "placebo_rms_ticks": (self._squares[1].sum(axis=0), late_bids + late_asks),
        }
        values = {}
        for name, (sums, counts) in columns.items():
            mean = np.divide(sums, counts, out=np.full(self._count, np.nan), where=counts > 0)
            values[name] = np.sqrt(mean) if "rms_" in name else mean
        starts = (self._first + np.arange(self._count, dtype=np.int64)) * self._width_ns
        head = {
            "start_ns": starts,
            "width_ns": np.full(self._count, self._width_ns, dtype=np.int64),
            "n": rows.astype(np.int64),
        }
        frame = pl.DataFrame({**head, **values}).select(list(WINDOWS_SCHEMA))
        return frame.with_columns(pl.col(list(columns)).fill_nan(None))
