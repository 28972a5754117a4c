"""Base classes and functions of the dataset modules: columns as arrays, rows of arrays, and fields of schemas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.encoding import whole
from order_book_platform.storage import ParquetRows

NARROW_ROWS = 262_144
"""Rows that are read at a time where only a few columns are read."""

RowChoice = NDArray[np.intp] | BoolArray | slice
"""Chooses rows: by position, by a mark for each row, or as a range."""


def required(name: str, kind: pa.DataType) -> pa.Field:
    """Return a field that holds no nulls."""
    return pa.field(name, kind, nullable=False)


def as_numpy(batch: pa.RecordBatch | pa.Table, name: str) -> Any:
    """Return a column as a numpy array, without a copy where arrow can."""
    return whole(batch.column(name)).to_numpy(zero_copy_only=False)


def count_nulls(file: ParquetRows, name: str) -> int:
    """Count the rows of a table that lack a value of a column."""
    return sum(batch.column(0).null_count for batch in file.batches(NARROW_ROWS, columns=[name]))


def in_order(sequence_number: Int64Array, latest: int) -> BoolArray:
    """Find the rows whose number does not go back behind an earlier one.

    Args:
        sequence_number: int64[n].
        latest: Highest number of the rows before these.

    Returns:
        bool[n].
    """
    return sequence_number >= np.maximum(np.maximum.accumulate(sequence_number), latest)


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the row classes: every field is an array whose first axis is the row."""

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.__dataclass_fields__))))

    def take(self, rows: RowChoice) -> Self:
        """Return the chosen rows."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return all rows of `parts`, which are not empty, in order."""
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if len(filled) == 1:
            return filled[0]
        return cls(
            *(np.concatenate([getattr(part, name) for part in filled]) for name in cls.__dataclass_fields__)
        )


@dataclass(frozen=True, slots=True)
class NumberedRows(Columns):
    """Rows that have a number and a time.

    Attributes:
        sequence_number: int64[n], never falling.
        time_ns: int64[n], ns since the epoch, never falling.
    """

    sequence_number: Int64Array
    time_ns: Int64Array


@dataclass(frozen=True, slots=True)
class ReferenceRows(NumberedRows):
    """Rows that a book is compared with: snapshots, or tickers as snapshots of one level.

    Attributes:
        encoded_price: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2, K]; 0 where there is no level.
    """

    encoded_price: Int64Array
    encoded_size: Int64Array

    def cut(self, levels: int) -> ReferenceRows:
        """Return the same rows with the first `levels` levels a side."""
        return ReferenceRows(
            self.sequence_number,
            self.time_ns,
            self.encoded_price[:, :, :levels],
            self.encoded_size[:, :, :levels],
        )
