"""Rows that come a few at a time, all day long, kept in one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


class GrowingRows:
    """Rows of one width, in the order they came.

    As pieces in lists, what is kept of the 80,000 snapshots of a day took 14 MB, four times what is in it; here it is
    at most twice.

    Args:
        first: int64[n, w], copied.
    """

    def __init__(self, first: Int64Array) -> None:
        self._room, self._count = first.copy(), len(first)

    def add(self, more: Int64Array) -> None:
        """Append int64[n, w], copied."""
        count = self._count + len(more)
        if count > len(self._room):
            room = np.empty((2 * count, self._room.shape[1]), np.int64)
            room[: self._count] = self.rows
            self._room = room
        self._room[self._count : count] = more
        self._count = count

    @property
    def rows(self) -> Int64Array:
        """int64[n, w], a view that stays as it is when more come."""
        return self._room[: self._count]
