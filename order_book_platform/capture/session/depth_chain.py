"""The chain of update ids of one depth stream, whichever connections carry it.

The rule is that of the decoder (docs/formats/raw_log.md): a message that covers the ids `(pu, u]` goes on from an id
`b` with `pu <= b < u`, and a hole is a gap once every open connection that carries the stream has passed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

MAX_WAITING = 4096
"""Messages that wait for a hole to be filled; with more of them the hole is taken for a gap."""


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """Ids that nobody can deliver any more.

    Attributes:
        after: last id before the hole.
        until: last id inside the hole.
    """

    after: int
    until: int


class DepthChain:
    """Follows the chain of update ids of one depth stream, over all connections that carry it.

    Attributes:
        last: greatest id up to which the chain has come; None before the first message.
        start: id behind which the unbroken chain begins; a snapshot at or above it can be bridged.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.start = 0
        self._reached: dict[int, int] = {}
        """Greatest id of each open connection that carries the stream; -1 before its first message."""
        self._waiting: list[tuple[int, int]] = []

    @property
    def has_hole(self) -> bool:
        """Whether messages wait for others before them."""
        return bool(self._waiting)

    def open(self, connection: int) -> None:
        """Take note of a connection that carries the stream from now on."""
        self._reached.setdefault(connection, -1)

    def close(self, connection: int) -> list[ChainBreak]:
        """Take note of the end of a connection; holes that only it could have filled are breaks."""
        self._reached.pop(connection, None)
        return self._breaks() if self._waiting else []

    def add(self, connection: int, previous: int, last: int) -> list[ChainBreak]:
        """Follow the chain over one more message.

        Args:
            connection: number of its connection.
            previous: greatest id before those that it covers.
            last: last id that it covers.

        Returns:
            Breaks that are certain now; empty for nearly every message.
        """
        reached = self._reached
        if last > reached.get(connection, -1):
            reached[connection] = last
        if self.last is None:
            self.last, self.start = last, previous
        elif previous <= self.last:
            if last > self.last:
                self.last = last
                if self._waiting:
                    self._drain()
        else:
            heappush(self._waiting, (previous, last))
        return self._breaks() if self._waiting else []

    def restart(self) -> None:
        """Forget all ids: the numbering has begun anew, or messages have been dropped."""
        self.last, self.start = None, 0
        self._waiting.clear()
        self._reached = dict.fromkeys(self._reached, -1)

    def _drain(self) -> None:
        """Take the waiting messages that go on from the last id, or are covered by it."""
        assert self.last is not None
        while self._waiting and self._waiting[0][0] <= self.last:
            self.last = max(self.last, heappop(self._waiting)[1])

    def _breaks(self) -> list[ChainBreak]:
        """Give up holes that every open connection has passed."""
        found = []
        assert self.last is not None
        while self._waiting and (
            len(self._waiting) > MAX_WAITING
            or all(reached >= self._waiting[0][0] for reached in self._reached.values())
        ):
            previous, last = heappop(self._waiting)
            found.append(ChainBreak(self.last, previous))
            self.last, self.start = last, previous
            self._drain()
        return found
