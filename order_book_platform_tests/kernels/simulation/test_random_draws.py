"""Random numbers of the simulated market against their definitions in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.simulation import market_arrays, random_draws

MASK = 2**64 - 1


def splitmix(state: int) -> tuple[int, int]:
    """The generator in unbounded integers."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
    return state, mixed ^ (mixed >> 31)


@given(st.integers(0, MASK))
def test_random_numbers_are_splitmix64(seed: int) -> None:
    """The generator's wrap-around arithmetic equals the definition in unbounded integers."""
    rng, state = np.array([seed], np.uint64), seed
    for _ in range(5):
        state, expected = splitmix(state)
        with np.errstate(over="ignore"):
            assert int(random_draws.next_random(rng)) == expected
    assert int(rng[0]) == state


def test_draw_is_linear_between_knots() -> None:
    """Probability 0 gives the first quantile, a knot its own value, and halfway the floor of the mean."""
    tables = np.zeros((2, market_arrays.TABLE_COLUMNS), np.int64)
    tables[1, : market_arrays.KNOTS] = np.arange(market_arrays.KNOTS) ** 2
    assert int(random_draws.draw(tables, 1, 0)) == 0
    assert int(random_draws.draw(tables, 1, 7 << 9)) == 49
    assert int(random_draws.draw(tables, 1, (7 << 9) + 256)) == (49 + 64) // 2
    assert int(random_draws.draw(tables, 1, 65_535)) == 127**2 + (255 * 511 >> 9)


@given(st.integers(0, MASK))
def test_four_numbers_of_sixteen_bits(word: int) -> None:
    """The four parts of a random number are its bits from the lowest to the highest, and none overlaps another."""
    shifts = random_draws.SHIFT_0, random_draws.SHIFT_16, random_draws.SHIFT_32, random_draws.SHIFT_48
    parts = [int(random_draws.bits16(np.uint64(word), shift)) for shift in shifts]
    assert sum(part << 16 * n for n, part in enumerate(parts)) == word
