"""Rows taken out of columns against numpy's own, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from order_book_platform.kernels.gather import gather_levels


@pytest.mark.parametrize(
    "gather",
    [gather_levels, getattr(gather_levels, "py_func", gather_levels)],
    ids=["compiled", "interpreted"],
)
@pytest.mark.parametrize("m", [0, 1, 63, 64, 65, 150])
@pytest.mark.parametrize("lying", ["rows", "columns", "both"])
def test_the_chosen_rows_come_whole(gather: Callable[..., None], m: int, lying: str) -> None:
    """Every level lands where numpy puts it, however the levels lie, and whatever the row count does to the blocks."""
    levels = np.arange(90 * 2 * 3, dtype=np.int64).reshape(90, 2, 3)
    if lying == "columns":
        levels = np.ascontiguousarray(levels.transpose(1, 2, 0)).transpose(2, 0, 1)
    elif lying == "both":
        levels = np.stack([levels, -levels], 3)[..., 1]
    levels.setflags(write=False)
    rows = np.random.default_rng(m).integers(0, 90, m)
    out = np.full((m, 2, 3), -9, np.int64)
    gather(levels, rows, out)
    np.testing.assert_array_equal(out, levels[rows])
