"""Flags of a reconstructed row, which a reader must know before trusting it."""

from __future__ import annotations

from enum import IntFlag


class BookFlag(IntFlag):
    """Bits of `reconstructed_books.flags` (uint8).

    Rows with `GAP` must not be trained or traded on; the other flags are facts about the book.
    """

    SEEDED = 1
    """The book stands on a snapshot, on the closing state of the day before, or on its warm-up.

    A row without this flag shows touched levels only.
    """
    GAP = 2
    """A message may be missing between the last proof that the book was right and this row."""
    REPAIRED = 4
    """A snapshot repaired the book or moved a best price that was unknown, or levels were evicted.

    The change is then not market activity alone.
    """
    CROSSED = 8
    """The best bid is above the best ask."""
    LOCKED = 16
    """The best bid equals the best ask."""
    UNKNOWN_DEPTH = 32
    """Fewer than all visible levels are known; the levels shown beyond may have holes between them."""
    CORRUPT = 64
    """A gap was found and no snapshot was in reach to recover from; comes with GAP."""
    HINDSIGHT = 128
    """A later snapshot contradicted the book, or the book stayed crossed, so it went wrong somewhere near this row.

    This is known only afterwards: it is fit to judge a day by, and must never be shown to an agent. CORRUPT looks ahead
    too, as far as the next snapshot; no other flag does.
    """

    @classmethod
    def describe(cls, bits: int) -> str:
        """Return the names of the set bits, such as `SEEDED|GAP`; `-` where none is set."""
        return "|".join(str(flag.name) for flag in cls if bits & flag) or "-"


PROVEN_LOSS = 256
"""Bit beside those of `BookFlag` in the replay: a loss is proven, so no level may be called known."""
