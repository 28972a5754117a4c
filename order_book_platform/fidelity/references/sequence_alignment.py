"""Pairs of book rows and reference rows by sequence number, and the placebo: the reference as it was some time later.

Both sides come as streams in ascending order of sequence number and are joined a bounded number of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Self, TypeVar

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import NumberedRows, ReferenceRows, RowChoice, as_slice
from order_book_platform.model.arrays import BoolArray, Int64Array

PLACEBO_SHIFTS_NS = (NS_PER_SECOND, 10 * NS_PER_SECOND)
"""How much later than the reference its placebos are, ns. A placebo has to fail each gate that the reference passes."""

L = TypeVar("L", bound=NumberedRows)
R = TypeVar("R", bound=NumberedRows)


@dataclass(frozen=True, slots=True)
class ShiftedReferences(ReferenceRows):
    """References with their placebos at S shifts; their times never fall.

    A placebo is a row of the same stream some time later, so it is named, not copied.

    Attributes:
        later: int64[n, S], rows of `pool`: the last reference at or before `time_ns + shift`; -1 for a row that is not
            sampled and has no placebos.
        shifted_valid: bool[n, S], false where the references end before `time_ns + shift`, and without placebos.
        pool: The references that are placebos of these.
    """

    later: Int64Array
    shifted_valid: BoolArray
    pool: ReferenceRows

    def take(self, rows: RowChoice) -> Self:
        """Return the chosen rows."""
        *columns, pool = (getattr(self, name) for name in self.__dataclass_fields__)
        return type(self)(*[*(column[rows] for column in columns), pool])

    @property
    def sampled(self) -> RowChoice:
        """The rows that have placebos."""
        return as_slice(np.flatnonzero(self.later[:, 0] >= 0))

    @property
    def shifted_price(self) -> Int64Array:
        """int64[n, S, 2, K], prices of the placebos."""
        return self.pool.encoded_price[self.later]

    @property
    def shifted_size(self) -> Int64Array:
        """int64[n, S, 2, K], sizes of the placebos."""
        return self.pool.encoded_size[self.later]


def with_placebos(
    references: Iterator[ReferenceRows], shifts_ns: tuple[int, ...] = PLACEBO_SHIFTS_NS, step: int = 1
) -> Iterator[ShiftedReferences]:
    """Yield references, in order of sequence number and time, and attach to every `step`-th one its placebos.

    These are so many ns later. The batches that the longest shift reaches over, and the one that goes beyond it, are
    held in memory.
    """
    reach, passed = max(shifts_ns), 0
    held: list[ReferenceRows] = []
    for more in chain((part for part in references if len(part)), [None]):
        if more is not None:
            held.append(more)
        while held and (more is None or held[0].time_ns[-1] + reach < more.time_ns[-1]):
            yield _shift(held, slice(-passed % step, None, step), shifts_ns)
            passed += len(held.pop(0))


def _shift(held: list[ReferenceRows], sampled: slice, shifts_ns: tuple[int, ...]) -> ShiftedReferences:
    """Return the first batch with the placebos of its sampled rows, which are looked up among all batches."""
    part = held[0]
    times = np.concatenate([each.time_ns for each in held])
    wanted = part.time_ns[sampled, None] + np.array(shifts_ns, dtype=np.int64)
    rows = np.searchsorted(times, wanted, side="right") - 1
    needed = np.zeros(len(times), dtype=np.bool_)
    needed[rows] = True
    later = np.full((len(part), len(shifts_ns)), -1, dtype=np.int64)
    later[sampled] = (np.cumsum(needed) - 1)[rows]
    valid = np.zeros(later.shape, dtype=np.bool_)
    valid[sampled] = wanted <= times[-1]
    edges = np.cumsum([0, *(len(each) for each in held)])
    pool = [
        each.take(as_slice(np.flatnonzero(needed[begin:end])))
        for each, (begin, end) in zip(held, pairwise(edges), strict=True)
    ]
    return ShiftedReferences(
        part.sequence_number,
        part.time_ns,
        part.encoded_price,
        part.encoded_size,
        later,
        valid,
        ReferenceRows.concat(pool),
    )


def pair_with_last(
    left: Iterator[L], right: Iterator[R], *, equal: bool = False, beyond_end: bool = True
) -> Iterator[tuple[L, R]]:
    """Pair each left row with the last right row whose sequence number is not above its own.

    Left rows without a partner are left out. With `equal`, only rows with equal numbers are paired; with `beyond_end`
    the last right row also holds for left rows with a higher number.
    """
    held, following = _next(right), _next(right)
    for part in left:
        rest = part
        while len(rest) and held is not None:
            settled = _settled(rest, held, following, beyond_end)
            if settled:
                pairs = _pair(rest.take(slice(0, settled)), held, equal)
                if len(pairs[0]):
                    yield pairs
                rest = rest.take(slice(settled, None))
            if len(rest) and following is None:
                break
            if len(rest):
                held, following = following, _next(right)


def _settled(left: NumberedRows, held: NumberedRows, following: NumberedRows | None, beyond_end: bool) -> int:
    """Return how many left rows have their partner in `held` or none at all: those below the first row after it."""
    if following is not None:
        return int(np.searchsorted(left.sequence_number, following.sequence_number[0], side="left"))
    if beyond_end:
        return len(left)
    return int(np.searchsorted(left.sequence_number, held.sequence_number[-1], side="right"))


def _pair(left: L, right: R, equal: bool) -> tuple[L, R]:
    rows = np.searchsorted(right.sequence_number, left.sequence_number, side="right") - 1
    keep = rows >= 0
    if equal:
        keep &= right.sequence_number[rows] == left.sequence_number
    if not keep.all():
        left, rows = left.take(keep), rows[keep]
    return left, right.take(as_slice(rows))


def _next(stream: Iterator[R]) -> R | None:
    """Return the next batch of a stream that is not empty; None at its end."""
    return next((rows for rows in stream if len(rows)), None)
