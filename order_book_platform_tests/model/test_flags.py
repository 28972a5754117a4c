"""Flags of a row: one bit each, in one byte, with names for people."""

from __future__ import annotations

import pytest

from order_book_platform.model import BookFlag


def test_bits_are_what_files_hold() -> None:
    """Stored rows keep their meaning: the numbers never change, and fit uint8."""
    assert {str(flag.name): int(flag) for flag in BookFlag} == {
        "SEEDED": 1,
        "GAP": 2,
        "REPAIRED": 4,
        "CROSSED": 8,
        "LOCKED": 16,
        "UNKNOWN_DEPTH": 32,
        "CORRUPT": 64,
        "HINDSIGHT": 128,
    }


@pytest.mark.parametrize(
    ("bits", "text"),
    [(0, "-"), (1, "SEEDED"), (3, "SEEDED|GAP"), (255, "|".join(map(str, BookFlag.__members__)))],
)
def test_describe(bits: int, text: str) -> None:
    """Names in the order of the bits."""
    assert BookFlag.describe(bits) == text
