"""The stages of a live capture: snapshots come with the deltas, and everything that was read is whole messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.reconstruct.live.live_rows import LiveRows
from order_book_platform.reconstruct.live.live_source import CaughtUp, LiveSource, Quiet
from order_book_platform.replay.live_steps import LiveSteps
from order_book_platform.replay.replay_steps import ReplayStep
from order_book_platform.settings import Settings
from order_book_platform.streaming import MemoryGuard

QUEUE_ITEMS = 2
"""Items of a queue. Items in a queue have been cut already: the fewer wait, the more is read at once when a stage is
behind."""


class LiveStream(BookStream):
    """The stages of a live capture.

    Args:
        source: Reads deltas and snapshots.
        steps: Divides the deltas into steps, and is given the snapshots.
        replay: Drives the book.
        sink: Takes the rows.
        settings: `sources`, `streaming` and `reconstruct.depth`.
        memory: Watches the memory of the process.
    """

    def __init__(
        self,
        source: LiveSource,
        steps: LiveSteps,
        replay: LiveReplay,
        sink: LiveRows,
        settings: Settings,
        memory: MemoryGuard,
    ) -> None:
        super().__init__(source, steps, replay, sink, settings, memory, QUEUE_ITEMS)
        self._inbox = steps.inbox

    def _sequence(self, batch: Any) -> Iterator[Any]:
        match batch:
            case Quiet():
                yield batch
            case CaughtUp():
                yield from self._complete_message()
            case SnapshotBatch():
                self._inbox.receive(batch)
            case _:
                yield from super()._sequence(batch)

    def _sequence_rest(self) -> Iterator[ReplayStep]:
        # A message that is held back here may lack rows: its end is `CaughtUp`, which never came.
        yield from self._steps.finish()

    def _apply(self, step: Any) -> Iterator[Any]:
        yield from (step,) if isinstance(step, Quiet) else super()._apply(step)
