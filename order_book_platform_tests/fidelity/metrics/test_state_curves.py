"""Curves of distributions: they say what the distances say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metrics.distributions import Distributions
from order_book_platform.fidelity.metrics.state_curves import MOST_BINS, PROBABILITIES, state_curves
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences

DEPTH = 6
ROWS = 400


def day(spread_more: int = 0, known: int = DEPTH, widest: int = 3) -> Distributions:
    """A book whose asks lie `spread_more` ticks above the reference's; spreads up to `widest` ticks, sizes up to 50."""
    random = np.random.default_rng(3)
    shape = (ROWS, 2, DEPTH)
    time_ns = np.arange(ROWS) * NS_PER_SECOND
    steps = np.arange(DEPTH) * 10
    bids = np.broadcast_to(1_000 - steps, (ROWS, DEPTH))
    asks = 1_000 + 10 * random.integers(1, widest + 1, (ROWS, 1)) + steps
    price = np.stack([bids, asks], axis=1)
    size = random.integers(1, 51, shape) * 100
    book_price = price + np.array([0, 10 * spread_more]).reshape(1, 2, 1)
    numbers = np.arange(ROWS)
    pool = ReferenceRows(numbers, time_ns, price, size)
    later, valid = np.zeros((ROWS, 2), dtype=np.int64), np.zeros((ROWS, 2), dtype=np.bool_)
    references = ShiftedReferences(numbers, time_ns, price, size, later, valid, pool)
    flags, knows = np.zeros(ROWS, dtype=np.uint8), np.full((ROWS, 2), known, dtype=np.uint8)
    books = BookRows(numbers, time_ns, flags, knows, book_price, size)
    found = Distributions(DEPTH, 10, 0, ROWS * NS_PER_SECOND)
    found.add(references, books)
    return found


def curves_of(distributions: Distributions) -> dict[str, dict[str, Any]]:
    """Curves by name, of sizes with two decimals."""
    return {curve["name"]: curve for curve in state_curves(distributions, 2)}


def test_equal_books_have_equal_curves() -> None:
    """Shares add up to one, in no more bins than a picture shows; quantiles rise."""
    curves = curves_of(day())
    for curve in curves.values():
        assert curve["book"] == curve["reference"] != curve["placebo"]
        assert curve["book_quantiles"] == curve["reference_quantiles"] == sorted(curve["book_quantiles"])
        assert curve["edges"] == sorted(set(curve["edges"]))
        assert len(curve["edges"]) - 1 == len(curve["book"]) <= MOST_BINS
        assert len(curve["book_quantiles"]) == len(PROBABILITIES)
        for name in ("book", "reference", "placebo"):
            assert sum(curve[name]) == pytest.approx(1.0)


def test_the_spread_is_in_ticks_and_the_size_in_its_own_unit() -> None:
    """Spreads of 1 to 3 ticks as often as they were drawn; sizes of 100 to 5,000 pips are 1 to 50 of 2 decimals."""
    curves = curves_of(day())
    spread = curves["spread"]
    shares = dict(zip(spread["edges"], spread["reference"], strict=False))
    assert spread["scale"] == "linear"
    for ticks in (1.0, 2.0, 3.0):
        assert shares[ticks] == pytest.approx(1 / 3, abs=0.08)
    sizes = curves["log_q_bid"]
    assert sizes["scale"] == "log"
    assert sizes["reference_quantiles"][0] == pytest.approx(1, rel=0.04)
    assert sizes["reference_quantiles"][-1] == pytest.approx(50, rel=0.04)
    assert -1 <= curves["qi_5"]["edges"][0] < curves["qi_5"]["edges"][-1] <= 1.01


def test_a_wider_book_lies_off_the_diagonal_by_what_it_is_wider() -> None:
    """Every quantile of its spread two ticks above the reference's, and nothing else."""
    curves = curves_of(day(spread_more=2))
    apart = np.array(curves["spread"]["book_quantiles"]) - np.array(curves["spread"]["reference_quantiles"])
    assert (apart == 2).all()
    assert curves["qi_1"]["book"] == curves["qi_1"]["reference"]
    ahead = np.abs(np.cumsum(np.array(curves["spread"]["book"]) - np.array(curves["spread"]["reference"])))
    assert ahead.max() == pytest.approx(day(spread_more=2).distance(0).ks, abs=1e-9)


def test_wide_spreads_are_drawn_on_a_bent_axis() -> None:
    """Beyond 64 ticks the bins are no longer a tick wide."""
    assert curves_of(day(widest=500))["spread"]["scale"] == "symlog"


def test_nothing_known_gives_empty_curves() -> None:
    """Lists without a number, not zeros that look like a distribution."""
    for curve in curves_of(day(known=0)).values():
        assert all(curve[name] == [] for name in ("edges", "book", "reference", "placebo", "book_quantiles"))


def test_each_size_has_the_placebo_that_concerns_it() -> None:
    """The best ask's size says nothing of a reference without its best bid."""
    spoiled = {name: curve["spoiled"] for name, curve in curves_of(day()).items()}
    assert spoiled == {
        **dict.fromkeys(("spread", "log_q_bid", "qi_1", "qi_5"), "no_bid"),
        "log_q_ask": "no_ask",
    }
