"""Garbage collections that a capture can afford: few by number, and one a minute by the clock."""

from __future__ import annotations

import gc
from types import TracebackType

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.streaming.pressure import release_free_memory

GC_THRESHOLD = 50_000
"""Objects between two collections: rows that wait are many, live shortly and refer to nothing."""
COLLECT_EVERY_NS = 60 * NS_PER_SECOND
"""Time between two collections by the clock. A connection over TLS that has ended refers to itself and holds 256 KiB of
buffer and more: those of REST alone would add up to 0.5 MB a minute until there are `GC_THRESHOLD` objects."""


class RareCollections:
    """Lets the collector of this process run rarely while the context lasts.

    Args:
        now_ns: monotonic time, ns.
    """

    def __init__(self, now_ns: int) -> None:
        self._collected_ns = now_ns
        self._threshold = gc.get_threshold()

    def __enter__(self) -> RareCollections:
        self._threshold = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD)
        gc.freeze()  # what is there by now stays: a collection looks at what a capture makes, and takes milliseconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.unfreeze()
        gc.set_threshold(*self._threshold)

    def on_time(self, now_ns: int) -> None:
        """Let go of what ended connections and sealed segments have left, once in a while.

        Args:
            now_ns: monotonic time, ns.
        """
        if now_ns - self._collected_ns >= COLLECT_EVERY_NS:
            self._collected_ns = now_ns
            gc.collect()
            release_free_memory()  # memory grew although Python held no more objects
