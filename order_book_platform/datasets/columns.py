"""Base classes and functions of the dataset modules: columns as arrays, rows of arrays, and fields of schemas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.pip_encoding import whole
from order_book_platform.storage import ParquetRows

NARROW_ROWS = 262_144
"""Rows that are read at a time where only a few columns are read."""

RowChoice = NDArray[np.intp] | BoolArray | slice
"""Chooses rows: by position, by a mark for each row, or as a range."""


def as_slice(rows: NDArray[np.intp]) -> RowChoice:
    """Return row numbers int64[n] as a slice, which copies nothing, where they follow one another without a break."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (rows[1:] > rows[:-1]).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def required(kind: pa.DataType, *names: str) -> list[pa.Field]:
    """Return fields of one type that hold no nulls."""
    return [pa.field(name, kind, nullable=False) for name in names]


def as_numpy(batch: pa.RecordBatch | pa.Table, name: str) -> Any:
    """Return a column as a numpy array, without a copy where arrow can."""
    return whole(batch.column(name)).to_numpy(zero_copy_only=False)


def count_nulls(file: ParquetRows, name: str) -> int:
    """Count the rows of a table that lack a value of a column."""
    return sum(batch.column(0).null_count for batch in file.batches(NARROW_ROWS, columns=[name]))


def in_order(sequence_number: Int64Array, latest: int) -> BoolArray:
    """Find the rows, bool[n], whose number is below neither an earlier one nor `latest`, the highest before them."""
    return sequence_number >= np.maximum(np.maximum.accumulate(sequence_number), latest)


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the row classes: a field is an array whose first axis is the row, or None where the source lacks it."""

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.__dataclass_fields__))))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (getattr(self, name) for name in self.__dataclass_fields__)
        return sum(array.nbytes for array in arrays if array is not None)

    def take(self, rows: RowChoice) -> Self:
        """Return the chosen rows."""
        arrays = (getattr(self, name) for name in self.__dataclass_fields__)
        return type(self)(*(None if array is None else array[rows] for array in arrays))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return all rows of `parts` in order; empty parts do not decide which columns there are.

        That there is no part, or that one has a column that another lacks, is a `BatchError`.
        """
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if not filled:
            raise BatchError(
                expected="at least one batch",
                found="none",
                where=f"{cls.__name__}.concat",
                remedy="Check for an empty list first.",
            )
        if len(filled) == 1:
            return filled[0]
        columns = []
        for name in cls.__dataclass_fields__:
            arrays = [getattr(part, name) for part in filled]
            absent = sum(array is None for array in arrays)
            if 0 < absent < len(arrays):
                raise BatchError(
                    expected="a column that all batches have, or none",
                    found=f"{absent} of {len(arrays)} batches without it",
                    where=f"{cls.__name__}.{name}",
                    remedy="Join batches of one source only.",
                )
            columns.append(None if absent else np.concatenate(arrays))
        return cls(*columns)

    def _check(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        """Refuse a column of another dtype or shape, which must not reach a kernel."""
        array = getattr(self, name)
        if array is not None and (array.dtype != dtype or array.shape != shape):
            raise BatchError(
                expected=f"{np.dtype(dtype)}{list(shape)}",
                found=f"{array.dtype}{list(array.shape)}",
                where=f"{type(self).__name__}.{name}",
                remedy=f"Build batches with {type(self).__name__}.from_arrow or convert the array first.",
            )


@dataclass(frozen=True, slots=True)
class NumberedRows(Columns):
    """Rows that have a number and a time in ns since the epoch, int64[n] each and never falling."""

    sequence_number: Int64Array
    time_ns: Int64Array


@dataclass(frozen=True, slots=True)
class ReferenceRows(NumberedRows):
    """Rows that a book is compared with: snapshots, or tickers as snapshots of one level.

    Both arrays are int64[n, 2, K], [:, 0] bids; where there is no level they hold `MISSING_PIPS` and 0.
    """

    encoded_price: Int64Array
    encoded_size: Int64Array

    def cut(self, levels: int) -> ReferenceRows:
        """Return the same rows with the first `levels` levels a side."""
        price, size = self.encoded_price[:, :, :levels], self.encoded_size[:, :, :levels]
        return ReferenceRows(self.sequence_number, self.time_ns, price, size)
