"""Merges the depth messages of all connections that carry one stream, by their update ids.

A message covers the ids `(prev, final]` (on spot `prev` is `U - 1`) with absolute sizes, so it may be applied to any
book that has come to an id `b` with `prev <= b < final`. Whichever message comes first is taken, see
docs/formats/raw_log.md.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from order_book_platform.kernels.ingest import depth_steps
from order_book_platform.model.arrays import BoolArray, Int64Array

MOST_WAITING_NS = 60 * 1_000_000_000
"""After so long by the monotonic clock a hole counts as a gap even if a connection could still fill it: a recorder
replaces a silent connection much sooner."""
MOST_WAITING = 20_000
"""The same after so many waiting messages of one stream, so that memory is bounded."""
RESTART_AFTER_NS = 60 * 1_000_000_000
"""A message without a new id whose event time and arrival are so far behind those of the last one taken, ns, shows that
the exchange has begun its numbering anew. One that only lags has an earlier event time; one that arrives soon has a
later one where the exchange's clock has jumped."""


class DepthIds(NamedTuple):
    """The ids and times of a message that the merge looks at.

    Attributes:
        prev: Id that a book has to have come to; `pu`, on spot `U - 1`.
        final: `u`.
        row: Row of the raw log.
        connection: Connection that it came by.
        event_ns: Event time, ns.
        monotonic_ns: Monotonic arrival, ns.
        received_ns: Arrival by the wall clock, ns.
    """

    prev: int
    final: int
    row: int
    connection: int
    event_ns: int
    monotonic_ns: int
    received_ns: int


class DepthGap(NamedTuple):
    """A hole that no connection has filled.

    Attributes:
        after_id: Last id taken before it.
        before_id: `prev` of the message behind it.
        after_event_ns: Event time of the message before it, ns.
        before_event_ns: Event time of the message behind it, ns.
        row: Row of the raw log with the message behind it.
        received_ns: Arrival of that message, ns.
        is_final: Whether nobody could fill it any more; false where the wait was ended because of its length.
    """

    after_id: int
    before_id: int
    after_event_ns: int
    before_event_ns: int
    row: int
    received_ns: int
    is_final: bool


@dataclass(slots=True)
class DepthMerge:
    """The state of one stream of depth messages. The caller looks up messages by their rows.

    Attributes:
        last_id: Last id taken; None before the first message.
        last_event_ns: Event time of the last message taken, ns.
        last_received_ns: Its arrival by the wall clock, ns.
        reached: Last id that each connection has brought.
        waiting: Messages behind a hole, ascending.
        waiting_since_ns: Monotonic arrival of the message that was the first to wait, ns.
        taken: Number of messages taken.
        duplicates: Number of messages that had nothing new.
        overlaps: Number of messages taken of which a part was not new.
    """

    last_id: int | None = None
    last_event_ns: int = 0
    reached: dict[int, int] = field(default_factory=dict)
    waiting: list[DepthIds] = field(default_factory=list)
    waiting_since_ns: int = 0
    last_received_ns: int = 0
    taken: int = 0
    duplicates: int = 0
    overlaps: int = 0

    def shows_restart(self, message: DepthIds) -> bool:
        """Return whether a message shows that the numbering has begun anew."""
        return (
            self.last_id is not None
            and message.final <= self.last_id
            and message.event_ns > self.last_event_ns + RESTART_AFTER_NS
            and message.received_ns > self.last_received_ns + RESTART_AFTER_NS
        )

    def feed_in_order(
        self,
        prev_ids: Int64Array,
        final_ids: Int64Array,
        event_ns: Int64Array,
        received_ns: Int64Array,
        connections: Int64Array,
    ) -> BoolArray:
        """Take messages in order of arrival up to the first one that has to wait or shows a restart.

        Only while nothing waits; the result is that of `feed`, message by message.

        Args:
            prev_ids: int64[n], id that a book has to have come to.
            final_ids: int64[n], `u`.
            event_ns: int64[n], event times, ns.
            received_ns: int64[n], arrivals by the wall clock, ns.
            connections: int64[n], connections that the messages came by.

        Returns:
            bool[m], of the m first messages, whether each is taken.
        """
        state = np.array(
            [
                self.last_id is not None,
                self.last_id or 0,
                self.last_event_ns,
                self.last_received_ns,
                self.taken,
                self.duplicates,
                self.overlaps,
            ],
            np.int64,
        )
        is_taken = np.empty(len(prev_ids), np.bool_)
        count = depth_steps.take_in_order(
            np.ascontiguousarray(prev_ids),
            np.ascontiguousarray(final_ids),
            np.ascontiguousarray(event_ns),
            np.ascontiguousarray(received_ns),
            RESTART_AFTER_NS,
            state,
            is_taken,
        )
        has_last, last_id, self.last_event_ns, self.last_received_ns, *counts = state.tolist()
        self.taken, self.duplicates, self.overlaps = counts
        self.last_id = last_id if has_last else None
        # Of each connection its last message counts.
        numbers, from_end = np.unique(connections[:count][::-1], return_index=True)
        self.reached.update(zip(numbers.tolist(), final_ids[:count][::-1][from_end].tolist(), strict=True))
        return is_taken[:count]

    def feed(
        self, message: DepthIds, carriers: AbstractSet[int], taken: list[int], gaps: list[DepthGap]
    ) -> None:
        """Take the next message in order of arrival.

        Args:
            message: Its ids.
            carriers: Open connections that carry the stream.
            taken: Rows of the messages that are taken, in order; appended to.
            gaps: Appended to.
        """
        self.reached[message.connection] = message.final
        if self.last_id is None or message.prev <= self.last_id < message.final:
            self._take(message, taken)
        elif message.final <= self.last_id:
            self.duplicates += 1
        else:
            if not self.waiting:
                self.waiting_since_ns = message.monotonic_ns
            insort(self.waiting, message)
        if self.waiting:
            is_late = message.monotonic_ns - self.waiting_since_ns > MOST_WAITING_NS
            self.settle(carriers, taken, gaps, give_up=is_late or len(self.waiting) > MOST_WAITING)

    def settle(
        self, carriers: AbstractSet[int], taken: list[int], gaps: list[DepthGap], *, give_up: bool = False
    ) -> None:
        """Take the waiting messages that can be taken, and those behind a hole that nobody can fill any more.

        Args:
            carriers: Open connections that carry the stream.
            taken: Rows of the messages that are taken, in order; appended to.
            gaps: Appended to.
            give_up: Whether to wait no longer for whoever could fill a hole.
        """
        used = 0
        for message in self.waiting:
            assert self.last_id is not None
            if message.prev > self.last_id:
                is_final = all(self.reached.get(each, -1) >= message.prev for each in carriers)
                if not (is_final or give_up):
                    break
                gaps.append(
                    DepthGap(
                        self.last_id,
                        message.prev,
                        self.last_event_ns,
                        message.event_ns,
                        message.row,
                        message.received_ns,
                        is_final,
                    )
                )
                self._take(message, taken)
            elif message.final > self.last_id:
                self._take(message, taken)
            else:
                self.duplicates += 1
            used += 1
        del self.waiting[:used]

    def _take(self, message: DepthIds, taken: list[int]) -> None:
        self.overlaps += self.last_id is not None and message.prev < self.last_id
        self.last_id, self.last_event_ns = message.final, message.event_ns
        self.last_received_ns = message.received_ns
        self.taken += 1
        taken.append(message.row)
