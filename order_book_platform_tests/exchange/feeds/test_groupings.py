"""Groupings of depth changes: whatever the boundaries, the union is the truth and the chain holds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.exchange.feeds.groupings import OwnGrouping, merged
from order_book_platform_tests.exchange.clients import SEED, ClientBook, depth

LEVELS = st.lists(
    st.tuples(st.sampled_from(["9.7", "9.8", "9.9", "10.0"]), st.sampled_from(["0", "1", "2"])), max_size=4
)


def snapshot() -> dict[str, object]:
    """The book before the first change."""
    return {"lastUpdateId": SEED.last_update_id, "bids": SEED.bids, "asks": SEED.asks}


@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=30), st.text(max_size=3), st.booleans())
def test_any_grouping_is_the_truth(changes: list, seed: str, spot: bool) -> None:
    """Messages of a grouping of its own lead to the book of the single changes, over an unbroken chain of ids."""
    events = [depth(number, bids, asks, spot=spot) for number, (bids, asks) in enumerate(changes)]
    grouping = OwnGrouping.seeded(seed)
    messages = [message for event in events if (message := grouping.add(event)) is not None]
    waits, last = grouping.waits, grouping.flush()
    assert waits == (last is not None)
    messages += [last] if last is not None else []
    single, grouped = ClientBook(snapshot()), ClientBook(snapshot())
    for event in events:
        single.apply(json.loads(event.payload))
    for message in messages:
        data = json.loads(message.payload)
        grouped.apply(data)
        assert (data["U"], data["u"], data.get("pu", -1)) == (
            message.first_update_id,
            message.final_update_id,
            message.prev_final_update_id,
        )
    assert (grouped.sides, grouped.last_id) == (single.sides, single.last_id)


def test_groupings_of_two_seeds_differ() -> None:
    """Two connections put the same changes into messages with other boundaries."""
    events = [depth(number, [["9.9", "1"]], []) for number in range(50)]
    ends = []
    for seed in ("0/1/btcusdt@depth", "0/2/btcusdt@depth"):
        grouping = OwnGrouping.seeded(seed)
        ends.append([found.final_update_id for event in events if (found := grouping.add(event)) is not None])
    assert ends[0] != ends[1]
    assert set(ends[0]) & set(ends[1])


def test_a_level_is_in_a_message_once() -> None:
    """Of two changes of a level the later one is sent; times and final id are those of the last change."""
    first, second = depth(0, [["9.9", "1"]], []), depth(1, [["9.9", "0"]], [["10.1", "4"]])
    data = json.loads(merged([first, second]).payload)
    assert (data["b"], data["a"]) == ([["9.9", "0"]], [["10.1", "4"]])
    assert (data["U"], data["pu"]) == (first.first_update_id, first.prev_final_update_id)
    assert (data["u"], data["E"]) == (second.final_update_id, second.event_ms)
    assert merged([first]) is first
