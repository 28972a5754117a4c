"""What a stream tells of itself, at any time and from any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """One stage at one moment. Each figure is exact; two of them may be one item apart.

    Attributes:
        stage: its name.
        items: worked off; of the source: given out. So are `rows` and `bytes`.
        rows: as `rows_of` counts them.
        bytes: as `size_of` measures them.
        busy_ns: inside steps, the one in progress included.
        queue_items: waiting in front of the stage, in memory and in the spill.
        queue_bytes: of these, in memory.
        spilled_bytes: of these, in the spill.
        oldest_ns: how long the oldest of them has been waiting.
        blocked_up_ns: waiting for input; of the source for something new to read.
        blocked_down_ns: waiting for room behind; of the source also held back by pressure.
    """

    stage: str
    items: int
    rows: int
    bytes: int
    busy_ns: int
    queue_items: int
    queue_bytes: int
    spilled_bytes: int
    oldest_ns: int
    blocked_up_ns: int
    blocked_down_ns: int


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """A whole stream at one moment.

    Attributes:
        stages: the source first.
        pressure: name of the level of backpressure.
        memory: name of the level of memory pressure.
        transitions: how often a level changed: `"none -> throttle"` and so on to a count.
    """

    stages: tuple[StageMetrics, ...]
    pressure: str
    memory: str
    transitions: Mapping[str, int]


class Stopwatch:
    """Adds up times; one thread starts and stops it, any may read it."""

    def __init__(self) -> None:
        # One tuple, replaced as a whole: a reader never sees half a change.
        self._total_and_since: tuple[int, int | None] = (0, None)

    def start(self, now_ns: int) -> None:
        """Begin a time to be added."""
        self._total_and_since = (self._total_and_since[0], now_ns)

    def stop(self, now_ns: int) -> None:
        """Add the time since `start`."""
        self._total_and_since = (self.read_ns(now_ns), None)

    def lap(self, now_ns: int) -> None:
        """Add the time since `start` or the last lap, and go on."""
        self._total_and_since = (self.read_ns(now_ns), now_ns)

    def read_ns(self, now_ns: int) -> int:
        """The sum so far, with the time that is running."""
        total, since = self._total_and_since
        return total if since is None else total + now_ns - since

    def running_ns(self, now_ns: int) -> int:
        """The time that is running; 0 if none is."""
        since = self._total_and_since[1]
        return 0 if since is None else now_ns - since
