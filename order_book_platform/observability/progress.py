"""Progress and measurements of a running job: components call back, and the way in decides how to show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """One stage at one moment; sums count since the stream's start.

    Each value is exact, but they are read one after another while the stage works, so that two of them may differ by
    one item.

    Attributes:
        items: items worked off, with their rows and their bytes in memory; of the source, items read.
        busy_ns: time spent inside steps, the one in progress included.
        queue_items: items that wait in front of the stage, in memory and in the spill.
        queue_bytes: bytes of the items that wait in memory.
        spilled_bytes: bytes of the items that wait in the spill, as they measure in memory.
        oldest_ns: how long the oldest waiting item has been waiting.
        blocked_up_ns: time spent waiting for input; of the source, for something new to read.
        blocked_down_ns: time spent waiting for space in the next queue; of the source, also while backpressure held it.
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
        stages: one entry for each stage, the source first.
        pressure: name of the level of backpressure, such as `throttle`.
        memory: name of the level of memory pressure, such as `smaller_batches`.
        transitions: number of level changes by name, such as `"none -> throttle"`.
    """

    stages: tuple[StageMetrics, ...]
    pressure: str
    memory: str
    transitions: Mapping[str, int]


class Progress(Protocol):
    """A function that a component calls a few times a second at most."""

    def __call__(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Show the progress of a component.

        Args:
            stage: name of the part of the work.
            done: units done, mostly rows.
            total: units in all; 0 if that is not known.
            figures: metrics of the stream that does the work, if one does, as long as it runs.
        """


def silent(stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
    """Show no progress at all."""
