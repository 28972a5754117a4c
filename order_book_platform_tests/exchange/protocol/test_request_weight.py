"""The count of request weight: by the clock's minute, with refusals and bans."""

from __future__ import annotations

from order_book_platform.exchange.protocol.request_weight import WeightBudget
from order_book_platform_tests.exchange.clients import SECOND_NS

MINUTE_NS = 60 * SECOND_NS


def test_a_minute_has_its_weight() -> None:
    """The last unit is answered, the next is refused until the minute is over, and the count begins anew."""
    budget = WeightBudget(100)
    assert [budget.charge(50, 10 * SECOND_NS).status for _ in range(2)] == [200, 200]
    refused = budget.charge(1, 10 * SECOND_NS)
    assert (refused.status, refused.used_weight, refused.retry_after_s) == (429, 101, 50)
    again = budget.charge(1, MINUTE_NS)
    assert (again.status, again.used_weight) == (200, 1)
    assert budget.most_used == 101


def test_whoever_goes_on_is_banned() -> None:
    """Requests that are repeated after a refusal end in a ban of two minutes, over the end of the minute."""
    budget = WeightBudget(1)
    statuses = [budget.charge(1, 0).status for _ in range(12)]
    assert statuses == [200] + [429] * 10 + [418]
    banned = budget.charge(1, 61 * SECOND_NS)
    assert (banned.status, banned.retry_after_s, banned.until_ms) == (418, 59, 120_000)
    assert budget.charge(1, 120 * SECOND_NS).status == 200
