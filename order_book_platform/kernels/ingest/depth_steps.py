"""Loops over depth messages by their ids and levels: most of them go on from the last one, and need no further look."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_I = types.int64

HAS_LAST, LAST_ID, LAST_EVENT_NS, LAST_RECEIVED_NS, TAKEN, DUPLICATES, OVERLAPS = range(7)
"""State of a stream: whether there is a last message, its final id, event time and arrival in ns, and three counts."""
STATE_SIZE = 7


@kernel(_I(_I8_IN, _I8_IN, _I8_IN, _I8_IN, _I, types.int64[::1], types.boolean[::1]))
def take_in_order(prev_ids, final_ids, event_ns, received_ns, restart_after_ns, state, is_taken):  # type: ignore[no-untyped-def]
    """Take the messages that go on from the last id, and pass over those with nothing new, up to the first other one.

    Args:
        prev_ids: int64[n], id that a book has to have come to.
        final_ids: int64[n], last id of each message.
        event_ns: int64[n], event times, ns.
        received_ns: int64[n], arrivals by the wall clock, ns.
        restart_after_ns: a message without a new id whose event time and arrival are so far behind those of the last
            one taken, ns, shows another numbering.
        state: int64[STATE_SIZE], changed.
        is_taken: bool[n], written of the messages that were handled.

    Returns:
        Number of messages that were handled; the next one leaves a hole or shows another numbering.
    """
    for n in range(prev_ids.shape[0]):
        prev, final = prev_ids[n], final_ids[n]
        if state[HAS_LAST] == 1 and final <= state[LAST_ID]:
            is_later = event_ns[n] > state[LAST_EVENT_NS] + restart_after_ns
            if is_later and received_ns[n] > state[LAST_RECEIVED_NS] + restart_after_ns:
                return n
            state[DUPLICATES] += 1
            is_taken[n] = False
            continue
        if state[HAS_LAST] == 1:
            if prev > state[LAST_ID]:
                return n
            state[OVERLAPS] += int(prev < state[LAST_ID])
        state[HAS_LAST], state[LAST_ID] = 1, final
        state[LAST_EVENT_NS], state[LAST_RECEIVED_NS] = event_ns[n], received_ns[n]
        state[TAKEN] += 1
        is_taken[n] = True
    return prev_ids.shape[0]


@kernel(_I(_I8_IN, _I8_IN, _I8_IN, _I))
def first_off_tick(starts, ends, prices, tick):  # type: ignore[no-untyped-def]
    """Return the first message with a price that is no multiple of the tick; their number if there is none.

    Args:
        starts: int64[n], first level of each message.
        ends: int64[n], level behind its last one.
        prices: int64[L], pips.
        tick: pips.
    """
    for n in range(starts.shape[0]):
        for level in range(starts[n], ends[n]):
            if prices[level] % tick != 0:
                return n
    return starts.shape[0]
