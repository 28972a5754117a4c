"""A book has the depth, cadence and thresholds of the settings."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.reconstruct.configured_book import configured_book
from order_book_platform_tests.reconstruct.test_checkpoint_format import settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch


@pytest.mark.parametrize(("cadence", "rows"), [(None, 3), ("change", 2)])
def test_the_settings_shape_the_rows(cadence: str | None, rows: int) -> None:
    """The cadence may be replaced, as for the book at an instant."""
    book = configured_book(settings(depth=2, cadence="message"), STEP, cadence)
    made = [[(True, CENTRE, 1)], [(True, CENTRE, 1)], [(False, CENTRE + 1, 1)]]
    found = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20, 30]))])
    assert found.shape == (rows, 6 + 4 * 2)
    assert (book.price_step, book.depth) == (STEP, 2)


def test_the_warm_up_is_that_of_the_settings() -> None:
    """A book without a snapshot counts as seeded after it."""
    deltas = delta_batch([[(True, CENTRE, 1)], [(True, CENTRE, 2)]], [10, 30])  # 2,000 ns apart
    for warm_up, seeded in (("1us", True), ("1s", False)):
        book = configured_book(settings(warm_up=warm_up), STEP)
        list(book.feed(deltas))
        assert book.seeded is seeded
