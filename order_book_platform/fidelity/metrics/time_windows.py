"""Comparison of best prices, and of levels, in windows of equal length: where in the day the book was right.

Levels are compared in the evenly spaced rows that the correlations take too (`size_correlation.SAMPLE_ROWS`), which
costs milliseconds. A single wrong message may fall between them; the metrics look at every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metrics.comparison_counts import BestPrices
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity.level_comparison import add_to_windows
from order_book_platform.model.arrays import BoolArray, Int64Array

MAX_WINDOWS, MOST_LEVEL_WINDOWS = 300, 120
"""Number of windows of best prices, and of levels: with 40 levels report.json holds 9,600 counts."""
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


class TimeWindows:
    """At most so many windows from first to last time, ns, which start at whole multiples of their width.

    Rows outside go to the first or the last window.
    """

    def __init__(self, first_ns: int, last_ns: int, most: int = MAX_WINDOWS) -> None:
        self.width_ns = window_width_ns(last_ns - first_ns, most)
        self._first = first_ns // self.width_ns
        self.count = max(last_ns // self.width_ns - self._first, 0) + 1

    def of(self, time_ns: Int64Array) -> Int64Array:
        """Return the window of each time, int64[n]."""
        windows: Int64Array = np.clip(time_ns // self.width_ns - self._first, 0, self.count - 1)
        return windows

    @property
    def starts_ns(self) -> Int64Array:
        """Start of each window, int64[count], ns."""
        return (self._first + np.arange(self.count, dtype=np.int64)) * self.width_ns


class Windows:
    """Adds up comparisons of best prices per window, from `first_ns` to `last_ns`."""

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self._windows = TimeWindows(first_ns, last_ns)
        self._rows = np.zeros((2, 4, self._windows.count))
        self._squares = np.zeros((2, 2, self._windows.count))

    def add(self, time_ns: Int64Array, best: BestPrices, placebo: BoolArray | None = None) -> None:
        """Take in rows that are shown at `time_ns`, int64[n], compared with the true reference, or with the placebo.

        `placebo` is where that exists, bool[n], or None for the true reference.
        """
        part, chosen = (0, np.ones(len(time_ns), dtype=np.bool_)) if placebo is None else (1, placebo)
        windows = self._windows.of(time_ns)
        add_to_windows(windows, *best, chosen, self._rows[part], self._squares[part])

    def frame(self) -> pl.DataFrame:
        """Return one row per window.

        Returns:
            A table with schema `WINDOWS_SCHEMA`; shares and errors are null where nothing was compared, and
            `placebo_rms_ticks` is of both sides together.
        """
        count = self._windows.count
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
            mean = np.divide(sums, counts, out=np.full(count, np.nan), where=counts > 0)
            values[name] = np.sqrt(mean) if "rms_" in name else mean
        head = {
            "start_ns": self._windows.starts_ns,
            "width_ns": np.full(count, self._windows.width_ns, dtype=np.int64),
            "n": rows.astype(np.int64),
        }
        frame = pl.DataFrame({**head, **values}).select(list(WINDOWS_SCHEMA))
        return frame.with_columns(pl.col(list(columns)).fill_nan(None))


class LevelWindows:
    """Counts, per window and each of K levels, the rows that claim to know the level and those that have it right."""

    def __init__(self, levels: int, first_ns: int, last_ns: int) -> None:
        self._levels = levels
        self._windows = TimeWindows(first_ns, last_ns, MOST_LEVEL_WINDOWS)
        self._known, self._exact = np.zeros((2, self._windows.count, 2, levels), dtype=np.int64)

    def add(self, references: ShiftedReferences, books: BookRows) -> None:
        """Take in aligned rows, in order of time."""
        if not len(books):
            return
        windows = self._windows.of(references.time_ns)
        known = np.arange(self._levels) < books.known[:, :, None]
        equal = (books.encoded_price == references.encoded_price) & (
            books.encoded_size == references.encoded_size
        )
        starts = np.flatnonzero(np.diff(windows, prepend=-1))
        self._known[windows[starts]] += _counted(known, starts)
        self._exact[windows[starts]] += _counted(known & equal, starts)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as lists, for report.json.

        Returns:
            `start_ns` (W values), `width_ns`, `levels` (K), `known` and `exact`: 2·K lists of W counts each, bid levels
            from 1 to K and then ask levels.
        """
        count = self._windows.count
        known, exact = (counts.reshape(count, -1).T.tolist() for counts in (self._known, self._exact))
        return {
            "start_ns": self._windows.starts_ns.tolist(),
            "width_ns": int(self._windows.width_ns),
            "levels": self._levels,
            "known": known,
            "exact": exact,
        }


def _counted(marks: NDArray[np.bool_], starts: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return how many rows of each group that begins at `starts` are marked, int64[groups, 2, K]."""
    counts: NDArray[np.int64] = np.add.reduceat(marks, starts, axis=0, dtype=np.int64)
    return counts
