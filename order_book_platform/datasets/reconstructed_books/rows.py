"""Typed rows of `reconstructed_books`: three classes, by how many of the columns are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from order_book_platform.datasets.columns import NumberedRows
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import Int64Array, UInt8Array


@dataclass(frozen=True, slots=True)
class BookHeads(NumberedRows):
    """The narrow columns of a book.

    Attributes:
        flags: uint8[n], `BookFlag`.
        best_prices: int64[n, 2], encoded best bid and ask; `MISSING_PIPS` where a side is empty.
    """

    flags: UInt8Array
    best_prices: Int64Array


@dataclass(frozen=True, slots=True)
class BestRows(NumberedRows):
    """A book cut to its best bid and ask.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
        known: uint8[n, 2], known bid and ask levels.
        encoded_price: int64[n, 2]; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2]; 0 where there is no level.
    """

    arrival_ns: Int64Array
    known: UInt8Array
    encoded_price: Int64Array
    encoded_size: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        nothing, sides = np.empty(0, np.int64), np.empty((0, 2), np.int64)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.uint8), sides, sides)


@dataclass(frozen=True, slots=True)
class BookRows(NumberedRows):
    """A book cut to K levels a side.

    Attributes:
        flags: uint8[n], `BookFlag`.
        known: uint8[n, 2], known bid and ask levels.
        encoded_price: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        encoded_size: int64[n, 2, K]; 0 where there is no level.
    """

    flags: UInt8Array
    known: UInt8Array
    encoded_price: Int64Array
    encoded_size: Int64Array


def from_seed(parts: Iterator[BookHeads]) -> Iterator[BookHeads]:
    """Return the rows of a book from its first seeded one on."""
    seeded = False
    for part in parts:
        if seeded:
            yield part
            continue
        at = np.flatnonzero(part.flags & BookFlag.SEEDED)
        seeded = len(at) > 0
        if seeded:
            yield part.take(slice(int(at[0]), None))
