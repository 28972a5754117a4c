"""Loops over depth messages, against plain loops over lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.ingest import depth_steps

RESTART_NS = 60
STEPS = st.lists(
    st.tuples(st.integers(-2, 4), st.integers(0, 4), st.integers(-50, 100), st.integers(0, 100)), max_size=20
)


@given(STEPS, st.booleans())
def test_messages_are_taken_up_to_the_first_that_is_not_in_order(
    steps: list[tuple[int, int, int, int]], has_last: bool
) -> None:
    """State, counts and what is taken are those of the rules applied to one message after the other."""
    prev, final, event, received = 10, 10, 1_000, 2_000
    messages = []
    for back, length, later_ns, came_later_ns in steps:
        prev, event, received = final + back - 1, event + later_ns, received + came_later_ns
        final = prev + length
        messages.append((prev, final, event, received))
    state = np.array([has_last, 10, 1_000, 2_000, 5, 6, 7], np.int64)
    taken = np.zeros(len(messages), np.bool_)
    columns = np.array(messages, np.int64).reshape(-1, 4).T.copy()
    count = depth_steps.take_in_order(*columns, RESTART_NS, state, taken)

    last, last_ns, counts, wanted = (10 if has_last else None), (1_000, 2_000), [5, 6, 7], []
    for prev, final, event, received in messages:
        if last is not None and final <= last:
            if event > last_ns[0] + RESTART_NS and received > last_ns[1] + RESTART_NS:
                break
            counts[1] += 1
            wanted.append(False)
            continue
        if last is not None and prev > last:
            break
        counts[0] += 1
        counts[2] += last is not None and prev < last
        last, last_ns = final, (event, received)
        wanted.append(True)
    assert count == len(wanted)
    assert taken[:count].tolist() == wanted
    assert state[[depth_steps.TAKEN, depth_steps.DUPLICATES, depth_steps.OVERLAPS]].tolist() == counts
    assert state[depth_steps.HAS_LAST] == (last is not None)
    assert last is None or state[depth_steps.LAST_ID] == last
    assert state[[depth_steps.LAST_EVENT_NS, depth_steps.LAST_RECEIVED_NS]].tolist() == list(last_ns)


@given(st.lists(st.lists(st.integers(1, 40), max_size=4), max_size=6), st.sampled_from([1, 2, 5, 10]))
def test_the_first_price_off_the_tick_is_found(messages: list[list[int]], tick: int) -> None:
    """Only levels of the messages asked for are looked at; prices between them are not theirs."""
    prices, starts, ends = [3], [], []
    for levels in messages:
        starts.append(len(prices))
        prices += levels
        ends.append(len(prices))
        prices.append(7)
    odd = [number for number, levels in enumerate(messages) if any(price % tick for price in levels)]
    found = depth_steps.first_off_tick(
        np.array(starts, np.int64), np.array(ends, np.int64), np.array(prices, np.int64), tick
    )
    assert found == (odd[0] if odd else len(messages))
