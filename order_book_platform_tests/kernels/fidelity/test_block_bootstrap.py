"""Days put together of drawn blocks, against numpy, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from order_book_platform.kernels.fidelity.block_bootstrap import resampled_distances


@pytest.mark.parametrize(
    "move",
    [resampled_distances, getattr(resampled_distances, "py_func", resampled_distances)],
    ids=["compiled", "interpreted"],
)
@pytest.mark.parametrize("stepped", [0, 3, 5])
def test_days_move_as_matrices_say(move: Callable[..., None], stepped: int) -> None:
    """The sums of a day are those of its blocks, as often as they were drawn; the area ends with the steps."""
    random = np.random.default_rng(2)
    drawn = random.integers(0, 3, (7, 4))
    drawn[:, 0] += 1
    excess, totals = random.integers(-9, 9, (4, 5)).astype(float), random.integers(5, 9, 4).astype(float)
    real, steps = random.random(5), random.random(stepped)
    moved = np.full((3, 7), -1.0)
    move(drawn, excess, totals, real, steps, np.full(5, 77.0), moved)
    apart = drawn @ excess / (drawn @ totals)[:, None] - real
    ahead = np.abs(np.cumsum(apart, axis=1))
    np.testing.assert_allclose(moved[0], ahead.max(axis=1))
    np.testing.assert_allclose(moved[1], np.abs(apart).sum(axis=1) / 2)
    np.testing.assert_allclose(moved[2], ahead[:, :stepped] @ steps, atol=1e-15)
