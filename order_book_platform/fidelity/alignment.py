"""Which book row belongs to which reference row, and the placebo: the reference as it was some time later.

Both sides come as streams in ascending order of sequence number and are joined a bounded number of rows at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.rows import ArrayRows, ReferenceRows
from order_book_platform.model.batches import BoolArray, Int64Array

PLACEBO_SHIFTS_NS = (NS_PER_SECOND, 10 * NS_PER_SECOND)
"""A placebo is the reference this much later. It must fail every gate that the reference passes."""

L = TypeVar("L", bound=ArrayRows)
R = TypeVar("R", bound=ArrayRows)


@dataclass(frozen=True, slots=True)
class ShiftedReferences(ReferenceRows):
    """References with their placebos; S shifts.

    Attributes:
        shifted_price_pips: int64[n, S, 2, K]: the last reference at or before `time_ns + shift`.
        shifted_size_pips: int64[n, S, 2, K].
        shifted_valid: bool[n, S]: false where the references end before `time_ns + shift`.
    """

    shifted_price_pips: Int64Array
    shifted_size_pips: Int64Array
    shifted_valid: BoolArray


def with_placebos(
    references: Iterator[ReferenceRows], shifts_ns: tuple[int, ...] = PLACEBO_SHIFTS_NS
) -> Iterator[ShiftedReferences]:
    """Attach to each reference what the reference says later.

    Holds the rows of the longest shift and one batch.

    Args:
        references: in order of sequence number and time.
        shifts_ns: ns, positive.

    Yields:
        Every reference once, in order.
    """
    reach = max(shifts_ns)
    held: ReferenceRows | None = None
    for more in references:
        held = more if held is None else ReferenceRows.concat([held, more])
        settled = (
            int(np.searchsorted(held.time_ns, held.time_ns[-1] - reach, side="left")) if len(held) else 0
        )
        if settled:
            yield _shift(held, settled, shifts_ns)
            held = held.take(slice(settled, None))
    if held is not None and len(held):
        yield _shift(held, len(held), shifts_ns)


def _shift(references: ReferenceRows, count: int, shifts_ns: tuple[int, ...]) -> ShiftedReferences:
    """The first `count` references with their placebos, looked up among all of them."""
    wanted = references.time_ns[:count, None] + np.array(shifts_ns, dtype=np.int64)
    rows = np.searchsorted(references.time_ns, wanted, side="right") - 1
    return ShiftedReferences(
        references.sequence_number[:count],
        references.time_ns[:count],
        references.price_pips[:count],
        references.size_pips[:count],
        references.price_pips[rows],
        references.size_pips[rows],
        wanted <= references.time_ns[-1],
    )


def pair_with_last(
    left: Iterator[L], right: Iterator[R], *, equal: bool = False, beyond_end: bool = True
) -> Iterator[tuple[L, R]]:
    """Pair each left row with the last right row whose sequence number is not above its own.

    Args:
        left: rows to be paired.
        right: rows each of which holds until the next one.
        equal: only where the two numbers are equal.
        beyond_end: whether the last right row also holds for left rows with a higher number.

    Yields:
        Left rows and their right rows, of equal length; left rows without a partner are left out.
    """
    held = _next(right)
    ended = held is None
    for part in left:
        rest = part
        while len(rest) and held is not None:
            settled = (
                len(rest) if ended and beyond_end else _settled(rest, int(held.sequence_number[-1]), ended)
            )
            if settled:
                pairs = _pair(rest.take(slice(0, settled)), held, equal)
                if len(pairs[0]):
                    yield pairs
                rest = rest.take(slice(settled, None))
            if len(rest) and ended:
                break
            if len(rest):
                following = _next(right)
                ended = following is None
                if following is not None:
                    held = type(held).concat([held.take(slice(-1, None)), following])


def _settled(left: ArrayRows, last: int, ended: bool) -> int:
    """How many left rows no further right row can change: those below the last one's number, at the end up to it."""
    return int(np.searchsorted(left.sequence_number, last, side="right" if ended else "left"))


def _pair(left: L, right: R, equal: bool) -> tuple[L, R]:
    rows = np.searchsorted(right.sequence_number, left.sequence_number, side="right") - 1
    keep = rows >= 0
    if equal:
        keep &= right.sequence_number[rows] == left.sequence_number
    return left.take(keep), right.take(rows[keep])


def _next(stream: Iterator[R]) -> R | None:
    """The stream's next rows, empty batches skipped; None at its end."""
    return next((rows for rows in stream if len(rows)), None)
