"""Decimals of any length for tests."""

from __future__ import annotations

import numpy as np

from order_book_platform.model.decimal128 import DecimalWords


def words_from_integers(values: list[int]) -> DecimalWords:
    """Unscaled values as words uint64[n, 2]; the inverse of `unscaled_integers`."""
    content = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
    return np.frombuffer(content, np.uint64).reshape(-1, 2)
