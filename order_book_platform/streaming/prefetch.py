"""Reading ahead: the simplest stream, one thread that makes items and one that takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_ITEM, _ERROR, _END = range(3)
_LOOK_S = 0.05
"""How often a reader that has to wait looks whether anybody still wants what it has."""


def read_ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """The same items, made in a thread of their own while those before are worked on.

    An error comes out where the item would have. When nobody wants more, the iterator is closed in its thread.

    Args:
        items: stepped through in the thread.
        most: items that wait at a time, besides the one that is being made and the one that is being worked on.
    """
    ready: queue.Queue[tuple[int, Any]] = queue.Queue(most)
    unwanted = threading.Event()

    def hand_over(what: tuple[int, Any]) -> bool:
        while not unwanted.is_set():
            try:
                ready.put(what, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in items:
                if not hand_over((_ITEM, item)):
                    break
                del item  # the queue has it now
            last: tuple[int, Any] = (_END, None)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            last = (_ERROR, error)
        close = getattr(items, "close", None)
        if close is not None:
            close()
        hand_over(last)

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, what = ready.get()
            if kind == _END:
                return
            if kind == _ERROR:
                raise what
            yield what
            del what
    finally:
        unwanted.set()
        thread.join()
