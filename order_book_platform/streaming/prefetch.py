"""Prefetching, the simplest stream: one thread produces items while another one works on those before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_ITEM, _ERROR, _END = range(3)
_POLL_S = 0.05
"""Interval at which a producer that waits for space checks whether its items are still wanted."""


def read_ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """Iterate over the same items, produced in a thread of their own.

    An error of the iterator is raised where the item would have come. When the consumer stops early, the iterator is
    closed in its thread.

    Args:
        items: iterator that the thread steps through.
        most: number of items that may wait, besides the one being produced and the one being worked on.
    """
    ready: queue.Queue[tuple[int, Any]] = queue.Queue(most)
    stopped = threading.Event()

    def put(entry: tuple[int, Any]) -> bool:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((_ITEM, item)):
                    break
                del item  # only the queue keeps it alive from here on
            last: tuple[int, Any] = (_END, None)
        except BaseException as error:  # noqa: BLE001 - the iterator may raise anything; raised in the consumer
            last = (_ERROR, error)
        close = getattr(items, "close", None)
        if close is not None:
            close()
        put(last)

    thread = threading.Thread(target=produce, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, content = ready.get()
            if kind == _END:
                return
            if kind == _ERROR:
                raise content
            yield content
            del content
    finally:
        stopped.set()
        thread.join()
