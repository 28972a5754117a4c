"""Request weight, and what the exchange asks for."""

from __future__ import annotations

from random import Random

import pytest

from order_book_platform.capture.session.backoff import Backoff
from order_book_platform.capture.session.request_budget import RequestBudget
from order_book_platform.clock import NS_PER_SECOND


def test_weight_is_counted_over_a_minute() -> None:
    """What was sent counts until the exchange's minute is over, wherever it began."""
    budget = RequestBudget(50, Random(1))
    budget.sent(20, 0)
    budget.sent(20, 30 * NS_PER_SECOND)
    assert not budget.may_send(20, 60 * NS_PER_SECOND)
    assert budget.may_send(20, 66 * NS_PER_SECOND)


def test_the_header_corrects_upwards_only() -> None:
    """Somebody else on the address counts; a lower figure is of a minute that has just begun."""
    budget = RequestBudget(100, Random(1))
    budget.sent(20, 0)
    budget.answered(200, 70, None, 1)
    assert budget.used(2) == 70
    budget.answered(200, 5, None, 3)
    assert budget.used(4) == 70


@pytest.mark.parametrize(
    ("status", "retry_after_s", "least_s", "most_s"),
    [
        (429, 7.0, 7, 7),
        (429, None, 60, 60),
        (418, None, 120, 120),
        (403, None, 0.5, 1),
        (503, None, 0.5, 1),
        (429, 0.0, 0.5, 1),
    ],
)
def test_pauses(status: int, retry_after_s: float | None, least_s: float, most_s: float) -> None:
    """`Retry-After` is obeyed, and a pause is never nothing."""
    budget = RequestBudget(100, Random(1))
    pause_ns = budget.answered(status, None, retry_after_s, 0)
    assert least_s * NS_PER_SECOND <= pause_ns <= most_s * NS_PER_SECOND
    assert not budget.may_send(1, pause_ns - 1)
    assert budget.may_send(1, pause_ns)


def test_pauses_grow_up_to_a_cap_and_begin_anew() -> None:
    """Failures in a row double the wait; a success ends that."""
    backoff = Backoff(Random(1), NS_PER_SECOND, 60 * NS_PER_SECOND)
    waits = [backoff.fail() for _ in range(40)]
    for number, wait in enumerate(waits):
        assert min(60, 2**number) / 2 <= wait / NS_PER_SECOND <= min(60, 2**number)
    backoff.succeed()
    assert backoff.fail() <= NS_PER_SECOND
