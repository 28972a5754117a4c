"""Flags of a reconstructed row: what a reader must know before trusting it."""

from __future__ import annotations

from enum import IntFlag


class BookFlag(IntFlag):
    """Bit set in `reconstructed_books.flags` (uint8).

    Rows with `GAP` must not be trained or traded on; the others are facts about the book.
    """

    SEEDED = 1
    """The book stands on a snapshot, a previous closing state, or its warm-up; without it, on touched levels only."""
    GAP = 2
    """A message may be missing between the last proof that the book was right and this row."""
    REPAIRED = 4
    """A snapshot repaired the book or moved an unknown best price, or levels were evicted: no market activity alone."""
    CROSSED = 8
    """Best bid above best ask."""
    LOCKED = 16
    """Best bid equal to best ask."""
    UNKNOWN_DEPTH = 32
    """Fewer than all visible levels are known: what is shown beyond may have holes."""
    CORRUPT = 64
    """A gap was found and no snapshot was in reach to recover from; comes with GAP."""
    HINDSIGHT = 128
    """A later snapshot contradicted the book, or the book stayed crossed: somewhere around here it went wrong.

    Known only afterwards: fit to judge a day by, never to be shown to an agent. CORRUPT looks ahead too, as far as the
    next snapshot; no other flag does.
    """

    @classmethod
    def describe(cls, bits: int) -> str:
        """Names of the set bits, `SEEDED|GAP`; `-` where none is set."""
        return "|".join(str(flag.name) for flag in cls if bits & flag) or "-"


PROVEN_LOSS = 256
"""Bit beside `BookFlag`: a loss is proven, so no level may be called known."""
