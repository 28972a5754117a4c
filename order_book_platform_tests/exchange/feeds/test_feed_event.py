"""Levels of a depth event: cut from the text where it has the usual form, else parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.exchange.feeds.feed_event import FeedEvent
from order_book_platform.exchange.protocol.venue import StreamKind
from order_book_platform_tests.exchange.clients import depth

NUMBER = st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,8})?", fullmatch=True)
SIDE = st.lists(st.tuples(NUMBER, NUMBER).map(list), max_size=5)


def taken(event: FeedEvent) -> list[list[list[str]]]:
    """Both sides as lists."""
    return [[list(level) for level in side] for side in event.levels()]


@given(SIDE, SIDE)
def test_levels_are_those_of_the_json(bids: list[list[str]], asks: list[list[str]]) -> None:
    """Any numbers and any lengths, with empty sides among them."""
    assert taken(depth(0, bids, asks)) == [bids, asks]


@pytest.mark.parametrize(
    "content",
    [
        {"a": [["2", "3"]], "b": [["1", "4"]]},
        {"b": [["1", "4"]], "a": [["2", "3"]], "x": "y"},
        {"b": [["1", "4"]], "a": [["2", "3"]], "x": ["y"]},
        {"b": [["1", "4"]], "a": [["2", "3"]], "x": {"y": []}},
        {"b": [["1", "4"]], "x": 1, "a": [["2", "3"]]},
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_other_forms_are_parsed(content: dict[str, object], separators: tuple[str, str]) -> None:
    """Another order of keys, keys behind the levels, and blanks give the same levels."""
    payload = json.dumps(content, separators=separators).encode()
    assert taken(FeedEvent(0, "BTCUSDT", StreamKind.DEPTH, payload)) == [[["1", "4"]], [["2", "3"]]]
