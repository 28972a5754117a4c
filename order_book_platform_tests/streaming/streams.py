"""Small parts of streams for tests."""

from __future__ import annotations

import pickle
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from order_book_platform.streaming import Pipeline, Stage


def pipeline(source: Iterator[Any], stages: Sequence[Stage], **options: Any) -> Pipeline:
    """A pipeline in which an item counts as one row and is as large as its number says."""
    measures: dict[str, Any] = {"size_of": size_of, "rows_of": lambda item: 1}
    return Pipeline(source, stages, **{**measures, **options})


def size_of(item: Any) -> int:
    """Return the bytes that an item counts as."""
    return item if isinstance(item, int) else 1


def sink(taken: list[Any]) -> Stage:
    """A last stage that keeps what it gets."""
    return Stage("keep", consumer(taken.append))


def consumer(use: Callable[[Any], object]) -> Callable[[Any], Iterator[Any]]:
    """The work of a stage that uses an item and yields nothing."""

    def work(item: Any) -> Iterator[Any]:
        use(item)
        yield from ()

    return work


def same(item: Any) -> Iterator[Any]:
    """The work of a stage that hands on what it gets."""
    yield item


class Item:
    """An object that can be referred to weakly."""


def gone(living: weakref.WeakSet[Item]) -> bool:
    """Return whether all items are freed, waiting for threads that are about to release one."""
    deadline = time.monotonic() + 20
    while len(living) and time.monotonic() < deadline:
        pass
    return not len(living)


class Shelf:
    """A spill that keeps pickles, as a file would."""

    def __init__(self) -> None:
        self.pickles: deque[bytes] = deque()
        self.most = 0
        """How many lay in it at once."""

    def put(self, item: object) -> None:
        """Keep a copy."""
        self.pickles.append(pickle.dumps(item))
        self.most = max(self.most, len(self.pickles))

    def take(self) -> object:
        """Give a copy."""
        return pickle.loads(self.pickles.popleft())
