"""An array that rows are only appended to, such as the outcomes of all snapshots of a day."""

from __future__ import annotations

import numpy as np

from order_book_platform.model.arrays import Int64Array

_LEAST_CAPACITY = 1024


class GrowableArray:
    """An int64 array that grows at its end; rows that have been handed out never change.

    Args:
        width: Number of columns.
        rows: int64[n, width] to begin with; copied.
    """

    def __init__(self, width: int, rows: Int64Array | None = None) -> None:
        self._buffer = np.empty((0, width), np.int64)
        self._count = 0
        if rows is not None:
            self.add(rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    @property
    def rows(self) -> Int64Array:
        """int64[n, width]: a view that stays as it is when rows are added; it must not be written to."""
        return self._buffer[: self._count]

    def add(self, rows: Int64Array) -> None:
        """Copy rows int64[m, width] to the end, in a time that does not depend on how many rows there are."""
        end = self._count + len(rows)
        if end > len(self._buffer):
            capacity = max(2 * len(self._buffer), end, _LEAST_CAPACITY)
            buffer = np.empty((capacity, self._buffer.shape[1]), np.int64)
            buffer[: self._count] = self.rows
            self._buffer = buffer
        self._buffer[self._count : end] = rows
        self._count = end
