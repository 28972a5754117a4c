"""How changes of a book are put into depth messages: each as it is, or several in one, differently per connection."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from order_book_platform.exchange.feeds.feed_event import FeedEvent

MOST_GROUPED = 4
"""Events that one message of a grouping of its own may hold."""


@dataclass(slots=True)
class OwnGrouping:
    """A grouping that begins and ends its messages at places of its own, drawn from a seed.

    Attributes:
        random: source of the boundaries.
    """

    random: random.Random
    _waiting: list[FeedEvent]
    _wanted: int

    @classmethod
    def seeded(cls, seed: str) -> OwnGrouping:
        """Give a grouping whose boundaries follow from the text `seed`."""
        generator = random.Random(seed)
        return cls(generator, [], generator.randint(1, MOST_GROUPED))

    def add(self, event: FeedEvent) -> FeedEvent | None:
        """Take the next change; give a message where it ends with this change."""
        self._waiting.append(event)
        return self.flush() if len(self._waiting) >= self._wanted else None

    def flush(self) -> FeedEvent | None:
        """End the message that is being put together; None where nothing waits."""
        if not self._waiting:
            return None
        events, self._waiting = self._waiting, []
        self._wanted = self.random.randint(1, MOST_GROUPED)
        return merged(events)

    @property
    def waits(self) -> bool:
        """Whether changes wait for the end of their message."""
        return bool(self._waiting)


def merged(events: list[FeedEvent]) -> FeedEvent:
    """Put consecutive depth events into one message: each level once, with its last quantity.

    The message covers the ids of all of them: `U` and `pu` of the first, `u`, `E` and `T` of the last.
    """
    if len(events) == 1:
        return events[0]
    first, last = events[0], events[-1]
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    for event in events:
        for side, levels in zip((bids, asks), event.levels(), strict=True):
            side.update((price, quantity) for price, quantity in levels)
    content = json.loads(last.payload)
    content["U"] = first.first_update_id
    if "pu" in content:
        content["pu"] = first.prev_final_update_id
    content["b"], content["a"] = list(bids.items()), list(asks.items())
    payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return FeedEvent(
        last.due_ns,
        last.symbol,
        last.kind,
        payload,
        first.first_update_id,
        last.final_update_id,
        first.prev_final_update_id,
        last.event_ms,
        last.transaction_ms,
    )
