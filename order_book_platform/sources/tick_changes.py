"""Finds changes of the tick during a day, from the divisors of the prices of one piece of the day after another.

An exchange may make its tick finer or coarser at any time. One divisor of all prices does not show that; the divisors
of the pieces of a day do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import accumulate
from math import gcd
from typing import Any

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.sources.float_decoding import FloatDecoder

PIECE_ROWS = 16_384
"""Rows of a piece, whose prices are taken together: enough that they do not share a coarser step by chance."""


@dataclass(frozen=True, slots=True)
class TickChange:
    """A change of the step of prices.

    Attributes:
        origin_time: Origin time, in ns, of the first row of the first piece of `PIECE_ROWS` with the new step.
        sequence_number: Sequence number of that row.
        from_pips: Step before; pips of 18 decimals may be longer than 64 bits.
        to_pips: Step from there on.
    """

    origin_time: int
    sequence_number: int
    from_pips: int
    to_pips: int

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, ready for JSON."""
        return asdict(self)


@dataclass(slots=True)
class TickChangeDetector:
    """Follows the step of prices; it is fed the deltas in order, cut into batches in any way.

    Attributes:
        decoder: Decoder of the prices.
        tick_pips: Largest step that divides every price so far; 0 before the first.
    """

    decoder: FloatDecoder
    tick_pips: int = 0
    _pieces: list[tuple[int, int, int]] = field(default_factory=list)
    _filled: int = 0

    def feed(self, batch: DeltaBatch) -> None:
        """Add the prices of a batch."""
        row = 0
        while row < len(batch):
            end = min(row + PIECE_ROWS - self._filled, len(batch))
            divisor = self.decoder.common_divisor(batch.encoded_price[row:end], 0)
            if self._filled:
                origin, sequence, before = self._pieces[-1]
                self._pieces[-1] = origin, sequence, gcd(before, divisor)
            else:
                self._pieces.append((int(batch.origin_time[row]), int(batch.sequence_number[row]), divisor))
            self.tick_pips = gcd(self.tick_pips, divisor)
            self._filled = (self._filled + end - row) % PIECE_ROWS
            row = end

    def changes(self) -> list[TickChange]:
        """Return the places at which the step became another one and stayed so.

        A finer step takes one piece before and two after to be seen, a coarser one two before and one after. A single
        price off the step changes nothing, since the pieces on both sides of its own have the same step.
        """
        pieces = self._pieces[: len(self._pieces) - bool(self._filled)]
        steps = [step for _, _, step in pieces]
        before = list(accumulate(steps, gcd))
        after = list(accumulate(reversed(steps), gcd))[::-1]
        found = []
        for i in range(1, len(steps)):
            finer = before[i] != before[i - 1] and i + 1 < len(steps) and after[i + 1] % before[i - 1]
            coarser = after[i] != after[i - 1] and i > 1 and before[i - 2] % after[i]
            if finer or coarser:
                old, new = (before[i - 1], before[i]) if finer else (after[i - 1], after[i])
                found.append(TickChange(pieces[i][0], pieces[i][1], old, new))
        return found
