"""Rows and columns that all datasets share: which rows are in order, nulls, and whole columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import ReferenceRows, as_numpy, count_nulls, in_order
from order_book_platform_tests.datasets.files import write


def test_in_order_compares_with_all_earlier_rows() -> None:
    """Equal numbers are in order, lower ones are not, also against rows of a batch before."""
    assert in_order(np.array([5, 4, 5, 6]), 0).tolist() == [True, False, True, True]
    assert in_order(np.array([5, 7, 6]), 6).tolist() == [False, True, False]
    assert in_order(np.zeros(0, np.int64), 6).tolist() == []


def test_columns_of_several_chunks_are_one_array() -> None:
    """Of one chunk the array is a view, of several a copy."""
    one = pa.table({"x": [1, 2, 3]})
    several = pa.concat_tables([one.slice(0, 1), one.slice(1)])
    assert as_numpy(several, "x").tolist() == as_numpy(one, "x").tolist() == [1, 2, 3]
    assert as_numpy(one, "x").base is not None


def test_nulls_are_counted_over_all_row_groups(tmp_path: Path) -> None:
    """In one column, whatever the others lack."""
    file = write(tmp_path, pa.table({"x": [1, None, 3, None], "y": [None, 1, 1, 1]}), 1)
    assert (count_nulls(file, "x"), count_nulls(file, "y")) == (2, 1)


def test_references_are_cut_to_their_best_levels() -> None:
    """The same rows with fewer levels a side."""
    rows, cube = np.arange(3), np.arange(3 * 2 * 4).reshape(3, 2, 4)
    cut = ReferenceRows(rows, rows, cube, cube + 100).cut(2)
    assert cut.encoded_price.tolist() == cube[:, :, :2].tolist()
    assert cut.encoded_size.tolist() == (cube[:, :, :2] + 100).tolist()
    assert cut.sequence_number.tolist() == [0, 1, 2]
