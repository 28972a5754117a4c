"""Orders of faults: how they are written, and when they happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import SettingsError
from order_book_platform.exchange import FaultKind, FaultOrder, parse_faults
from order_book_platform.exchange.fault_injection import (
    OF_CONNECTIONS,
    OF_MESSAGES,
    OF_REQUESTS,
    OF_SNAPSHOTS,
    OF_SUBSCRIPTIONS,
    FaultDice,
)
from order_book_platform_tests.exchange.clients import SECOND_NS


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("drop", FaultOrder(FaultKind.DROP, 1.0)),
        ("drop=0.25:depth", FaultOrder(FaultKind.DROP, 0.25, stream="depth")),
        ("wrong_pu@3+7/-2", FaultOrder(FaultKind.WRONG_PREV_ID, at=frozenset({3, 7}), value="-2")),
        ("disconnect~60s", FaultOrder(FaultKind.DISCONNECT, every_ns=60 * SECOND_NS)),
        ("429=0.5/3sx2", FaultOrder(FaultKind.HTTP_429, 0.5, value="3s", most=2)),
        (
            "close@1/1011x1:trade",
            FaultOrder(FaultKind.CLOSE, at=frozenset({1}), value="1011", most=1, stream="trade"),
        ),
    ],
)
def test_an_order_is_read(text: str, order: FaultOrder) -> None:
    """Each part of the text is one attribute."""
    assert parse_faults(f"{text},") == (order,)


@pytest.mark.parametrize(
    "text", ["dorp", "drop=2", "drop@", "slow_snapshot/2", "drop/1x", "disconnect~60", "430"]
)
def test_another_text_is_refused(text: str) -> None:
    """The message lists the kinds and shows an example."""
    if text == "slow_snapshot/2":
        assert FaultOrder.parse(text).ns == 2
        return
    with pytest.raises(SettingsError, match="KIND one of drop, duplicate") as caught:
        FaultOrder.parse(text)
    assert repr(text) in str(caught.value)


def test_values_have_defaults_and_signs() -> None:
    """Durations may be negative; a kind without a value has its default."""
    assert FaultOrder.parse("clock_jump/-1.27s").ns == -1_270_000_000
    assert FaultOrder.parse("slow_snapshot").ns == SECOND_NS
    assert FaultOrder.parse("refuse").number == 503


def test_every_kind_has_its_opportunities() -> None:
    """A kind belongs to one group, so that it can happen at all."""
    groups = [OF_MESSAGES, OF_SUBSCRIPTIONS, OF_CONNECTIONS, OF_REQUESTS, OF_SNAPSHOTS]
    assert sorted(kind for group in groups for kind in group) == sorted(FaultKind)


@given(st.integers(0, 5), st.floats(0, 1), st.integers(1, 60))
def test_the_same_seed_throws_the_same(seed: int, probability: float, opportunities: int) -> None:
    """Decisions follow from the seed, and a longer run begins with those of a shorter one."""
    order = FaultOrder(FaultKind.DROP, probability)
    thrown = [
        [bool(dice.throw("a@depth", 0)) for _ in range(number)]
        for number in (opportunities, opportunities + 5)
        for dice in [FaultDice([order], str(seed), 0)]
    ]
    assert thrown[1][:opportunities] == thrown[0]


def test_times_numbers_and_limits() -> None:
    """By number, by time from the start on, and no more often than ordered."""
    dice = FaultDice(parse_faults("drop@2,silence~10s,binary=1x2"), "", 0)
    thrown = [
        [order.kind.value for order in dice.throw("s", second * SECOND_NS)] for second in range(0, 24, 6)
    ]
    assert thrown == [["binary"], ["drop", "binary"], ["silence"], []]


def test_no_order_is_no_fault() -> None:
    """Without orders the fast path is taken."""
    dice = FaultDice([], "", 0)
    assert dice.throw("a@depth", 0) == []
    dice.add(FaultOrder.parse("drop"), 0)
    assert [order.kind for order in dice.throw("a@depth", 0)] == [FaultKind.DROP]
