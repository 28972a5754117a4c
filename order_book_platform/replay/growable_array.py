"""Rows that are only ever added to."""

from __future__ import annotations

import numpy as np

from order_book_platform.model.arrays import Int64Array

_LEAST_ROOM = 1024


class GrowableArray:
    """An array that grows at its end; what has been handed out never changes.

    Args:
        width: columns.
        rows: int64[n, width] to begin with; copied.
    """

    def __init__(self, width: int, rows: Int64Array | None = None) -> None:
        self._room = np.empty((0, width), np.int64)
        self._count = 0
        if rows is not None:
            self.add(rows)

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    @property
    def rows(self) -> Int64Array:
        """int64[n, width], not to be written to: a view, which stays as it is when more are added."""
        return self._room[: self._count]

    def add(self, rows: Int64Array) -> None:
        """Copy rows to the end, in a time that does not depend on how many there are."""
        end = self._count + len(rows)
        if end > len(self._room):
            room = np.empty((max(2 * len(self._room), end, _LEAST_ROOM), self._room.shape[1]), np.int64)
            room[: self._count] = self.rows
            self._room = room
        self._room[self._count : end] = rows
        self._count = end
