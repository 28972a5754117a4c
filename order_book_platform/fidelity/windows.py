"""The day in windows of equal length: where in it the book was right, for the charts."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metrics import BestPrices
from order_book_platform.model.batches import BoolArray, Int64Array

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


def window_width_ns(span_ns: int) -> int:
    """The shortest of a row of round widths (1 s … 1 h) that needs at most `MAX_WINDOWS` windows, ns."""
    for width in _WIDTHS_S:
        if span_ns <= width * NS_PER_SECOND * MAX_WINDOWS:
            return width * NS_PER_SECOND
    return -(-span_ns // MAX_WINDOWS)


class Windows:
    """Adds up best-price comparisons per window.

    Args:
        first_ns: earliest time, ns; windows start at whole multiples of their width.
        last_ns: latest time, ns; rows outside go to the first or the last window.
    """

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self._width_ns = window_width_ns(last_ns - first_ns)
        self._first = first_ns // self._width_ns
        self._count = last_ns // self._width_ns - self._first + 1
        self._rows = np.zeros((2, self._count))
        self._exact = np.zeros((2, self._count))
        self._priced = np.zeros((3, self._count))
        self._squares = np.zeros((3, self._count))

    def add(self, time_ns: Int64Array, best: BestPrices) -> None:
        """Take in rows compared with the true reference.

        Args:
            time_ns: int64[n], ns.
            best: the comparison.
        """
        bins = self._bins(time_ns)
        self._rows[0] += np.bincount(bins, minlength=self._count)
        self._exact[0] += np.bincount(bins, best.exact, minlength=self._count)
        for side in range(2):
            self._add_squares(side, bins, best.error_ticks[:, side])

    def add_placebo(self, time_ns: Int64Array, best: BestPrices, valid: BoolArray) -> None:
        """Take in rows compared with the placebo, where it exists."""
        bins = self._bins(time_ns)
        self._rows[1] += np.bincount(bins, valid, minlength=self._count)
        self._exact[1] += np.bincount(bins, best.exact & valid, minlength=self._count)
        for side in range(2):
            self._add_squares(2, bins, np.where(valid, best.error_ticks[:, side], np.nan))

    def _add_squares(self, row: int, bins: Int64Array, errors: NDArray[np.float64]) -> None:
        defined = ~np.isnan(errors)
        self._priced[row] += np.bincount(bins, defined, minlength=self._count)
        self._squares[row] += np.bincount(bins, np.where(defined, errors, 0.0) ** 2, minlength=self._count)

    def _bins(self, time_ns: Int64Array) -> Int64Array:
        bins: Int64Array = np.clip(time_ns // self._width_ns - self._first, 0, self._count - 1)
        return bins

    def frame(self) -> pl.DataFrame:
        """One row per window.

        Returns:
            Columns start_ns, width_ns, n (int64); exact_share, rms_bid_ticks, rms_ask_ticks,
            placebo_exact_share, placebo_rms_ticks (both sides together) as float64, null where nothing was
            compared.
        """
        columns = {
            "exact_share": (self._exact[0], self._rows[0]),
            "placebo_exact_share": (self._exact[1], self._rows[1]),
            "rms_bid_ticks": (self._squares[0], self._priced[0]),
            "rms_ask_ticks": (self._squares[1], self._priced[1]),
            "placebo_rms_ticks": (self._squares[2], self._priced[2]),
        }
        values = {}
        for name, (sums, counts) in columns.items():
            mean = np.divide(sums, counts, out=np.full(self._count, np.nan), where=counts > 0)
            values[name] = np.sqrt(mean) if "rms_" in name else mean
        starts = (self._first + np.arange(self._count, dtype=np.int64)) * self._width_ns
        head = {
            "start_ns": starts,
            "width_ns": np.full(self._count, self._width_ns, dtype=np.int64),
            "n": self._rows[0].astype(np.int64),
        }
        frame = pl.DataFrame({**head, **values}).select(list(WINDOWS_SCHEMA))
        return frame.with_columns(pl.col(list(columns)).fill_nan(None))
