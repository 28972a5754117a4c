"""Whether the tick changed during a day: what divides the prices before and after, piece by piece.

An exchange may make its tick finer or coarser at any time. One divisor of all prices does not show that; the divisors
of the pieces of a day do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import accumulate
from math import gcd
from typing import Any

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.sources.float_decoding import Reading

PIECE_ROWS = 16_384
"""Rows whose prices are taken together: enough that they do not share a coarser step by chance."""


@dataclass(frozen=True, slots=True)
class TickChange:
    """From here on prices have another step.

    Attributes:
        origin_time, sequence_number: of the first row of the first piece of `PIECE_ROWS` that has it.
        from_pips, to_pips: the steps; pips of 18 decimals may be longer than 64 bits.
    """

    origin_time: int
    sequence_number: int
    from_pips: int
    to_pips: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


@dataclass(slots=True)
class TickTrail:
    """Feed it the deltas in order; how they are cut does not matter.

    Attributes:
        tick_pips: the largest step that divides every price so far; 0 before the first.
    """

    reading: Reading
    tick_pips: int = 0
    _pieces: list[tuple[int, int, int]] = field(default_factory=list)
    _filled: int = 0

    def feed(self, batch: DeltaBatch) -> None:
        """Add the prices of a batch."""
        row = 0
        while row < len(batch):
            end = min(row + PIECE_ROWS - self._filled, len(batch))
            divisor = self.reading.divisor(batch.encoded_price[row:end], 0)
            if self._filled:
                origin, sequence, before = self._pieces[-1]
                self._pieces[-1] = origin, sequence, gcd(before, divisor)
            else:
                self._pieces.append((int(batch.origin_time[row]), int(batch.sequence_number[row]), divisor))
            self.tick_pips = gcd(self.tick_pips, divisor)
            self._filled = (self._filled + end - row) % PIECE_ROWS
            row = end

    def changes(self) -> list[TickChange]:
        """Where the step became another one, and stayed so.

        It takes a piece before and two after, or, where it became coarser, two before and one after. A price that alone
        is off the step changes nothing: the pieces on both sides of its own have the same one.
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
