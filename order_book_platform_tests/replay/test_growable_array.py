"""Rows that are only ever added to."""

from __future__ import annotations

import numpy as np

from order_book_platform.replay.growable_array import GrowableArray


def test_views_stay_as_they_were_whatever_is_added() -> None:
    """Across many reallocations, each view has the rows of its moment."""
    growing = GrowableArray(2, np.array([[0, 0]]))
    views = []
    for number in range(1, 5_000):
        views.append(growing.rows)
        growing.add(np.full((number % 3, 2), number))
    wanted = np.concatenate([np.zeros((1, 2), np.int64), *(np.full((n % 3, 2), n) for n in range(1, 5_000))])
    assert len(growing) == len(wanted)
    np.testing.assert_array_equal(growing.rows, wanted)
    for view in views:
        np.testing.assert_array_equal(view, wanted[: len(view)])
