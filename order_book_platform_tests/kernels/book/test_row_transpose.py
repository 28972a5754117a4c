"""Rows turned into columns."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.kernels.book.row_transpose import rows_to_columns


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_rows_to_columns(n: int) -> None:
    """Every number lands where a transposition puts it, whatever the row count does to the blocks."""
    rows = np.arange(200 * 7, dtype=np.int64).reshape(200, 7)
    columns = np.full((7, n), -1, np.int64)
    rows_to_columns(rows, columns, n)
    np.testing.assert_array_equal(columns, rows[:n].T)
