"""Comparison by window of time and level: where, and how deep in the book, levels that it claims to know are wrong.

It takes the evenly spaced rows that the correlations take too (`size_correlation.SAMPLE_ROWS`), so that it costs
milliseconds. A single wrong message may fall between them; the metrics look at every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.fidelity.metrics.time_windows import window_width_ns
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences

MOST_WINDOWS = 120
"""Number of windows that can be told apart in a picture; with 40 levels report.json holds 9,600 counts."""


class LevelWindows:
    """Counts, per window and level, the rows that claim to know the level and those that have it right.

    Args:
        levels: K.
        first_ns: Earliest time, ns; windows start at whole multiples of their width.
        last_ns: Latest time, ns; rows outside go to the first or the last window.
    """

    def __init__(self, levels: int, first_ns: int, last_ns: int) -> None:
        self._levels = levels
        self._width_ns = window_width_ns(last_ns - first_ns, MOST_WINDOWS)
        self._first = first_ns // self._width_ns
        count = last_ns // self._width_ns - self._first + 1
        self._known = np.zeros((count, 2, levels), dtype=np.int64)
        self._exact = np.zeros((count, 2, levels), dtype=np.int64)

    def add(self, references: ShiftedReferences, books: BookRows) -> None:
        """Take in aligned rows, in order of time."""
        if not len(books):
            return
        bins = np.clip(references.time_ns // self._width_ns - self._first, 0, len(self._known) - 1)
        known = np.arange(self._levels) < books.known[:, :, None]
        equal = (books.encoded_price == references.encoded_price) & (
            books.encoded_size == references.encoded_size
        )
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        self._known[bins[starts]] += _counted(known, starts)
        self._exact[bins[starts]] += _counted(known & equal, starts)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as lists, for report.json.

        Returns:
            `start_ns` (W values), `width_ns`, `levels` (K), `known` and `exact`: 2·K lists of W counts each, bid levels
            from 1 to K and then ask levels.
        """
        starts = (self._first + np.arange(len(self._known), dtype=np.int64)) * self._width_ns
        known, exact = (counts.reshape(len(starts), -1).T.tolist() for counts in (self._known, self._exact))
        return {
            "start_ns": starts.tolist(),
            "width_ns": int(self._width_ns),
            "levels": self._levels,
            "known": known,
            "exact": exact,
        }


def _counted(marks: NDArray[np.bool_], starts: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return how many rows of each group that begins at `starts` are marked, int64[groups, 2, K]."""
    counts: NDArray[np.int64] = np.add.reduceat(marks, starts, axis=0, dtype=np.int64)
    return counts
