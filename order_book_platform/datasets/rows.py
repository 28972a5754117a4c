"""Rows of books and references as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import BoolArray, Int64Array

Rows = NDArray[np.intp] | BoolArray | slice


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the row classes: every field is an array whose first axis is the row."""

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.__dataclass_fields__))))

    def take(self, rows: Rows) -> Self:
        """The chosen rows."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, in order."""
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if len(filled) == 1:
            return filled[0]
        return cls(
            *(np.concatenate([getattr(part, name) for part in filled]) for name in cls.__dataclass_fields__)
        )


@dataclass(frozen=True, slots=True)
class ArrayRows(Columns):
    """Rows that are numbered and timed.

    Attributes:
        sequence_number: int64[n], never falling.
        time_ns: int64[n], ns since the epoch; never falling.
    """

    sequence_number: Int64Array
    time_ns: Int64Array


@dataclass(frozen=True, slots=True)
class BookRows(ArrayRows):
    """Rows of `reconstructed_books`, cut to K levels.

    Attributes:
        flags: uint8[n], `BookFlag`.
        known: uint8[n, 2], known bid and ask levels.
        encoded_price: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2, K]; 0 where there is no level.
    """

    flags: NDArray[np.uint8]
    known: NDArray[np.uint8]
    encoded_price: Int64Array
    encoded_size: Int64Array


@dataclass(frozen=True, slots=True)
class ReferenceRows(ArrayRows):
    """Rows that a book is measured against: snapshots, or tickers as snapshots of one level.

    Attributes:
        encoded_price: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2, K]; 0 where there is no level.
    """

    encoded_price: Int64Array
    encoded_size: Int64Array

    def cut(self, levels: int) -> ReferenceRows:
        """The same rows with the first `levels` levels a side."""
        return ReferenceRows(
            self.sequence_number,
            self.time_ns,
            self.encoded_price[:, :, :levels],
            self.encoded_size[:, :, :levels],
        )


@dataclass(frozen=True, slots=True)
class TickerRows(ReferenceRows):
    """Tickers, K = 1.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
    """

    arrival_ns: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        nothing, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(nothing, nothing, levels, levels, nothing)


@dataclass(frozen=True, slots=True)
class TradeRows(Columns):
    """Trades.

    Attributes:
        time_ns: int64[n], ns since the epoch; never falling.
        encoded_price: int64[n].
    """

    time_ns: Int64Array
    encoded_price: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class BestRows(ArrayRows):
    """Rows of `reconstructed_books`, cut to the best bid and ask.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
        known: uint8[n, 2], known bid and ask levels.
        encoded_price: int64[n, 2]; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2]; 0 where there is no level.
    """

    arrival_ns: Int64Array
    known: NDArray[np.uint8]
    encoded_price: Int64Array
    encoded_size: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        nothing, sides = np.empty(0, np.int64), np.empty((0, 2), np.int64)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.uint8), sides, sides)


@dataclass(frozen=True, slots=True)
class BookHeads(ArrayRows):
    """The narrow columns of `reconstructed_books`.

    Attributes:
        flags: uint8[n], `BookFlag`.
        best_pips: int64[n, 2], best bid and ask price; `MISSING_PIPS` where a side is empty.
    """

    flags: NDArray[np.uint8]
    best_pips: Int64Array


def from_seed(parts: Iterator[BookHeads]) -> Iterator[BookHeads]:
    """The rows of a book from its first seeded one on."""
    seeded = False
    for part in parts:
        if seeded:
            yield part
            continue
        at = np.flatnonzero(part.flags & BookFlag.SEEDED)
        seeded = len(at) > 0
        if seeded:
            yield part.take(slice(int(at[0]), None))


def in_order(sequence_number: Int64Array, latest: int) -> BoolArray:
    """Which rows do not go back behind an earlier one.

    Args:
        sequence_number: int64[n].
        latest: the highest number of the rows before these.

    Returns:
        bool[n].
    """
    return sequence_number >= np.maximum(np.maximum.accumulate(sequence_number), latest)
