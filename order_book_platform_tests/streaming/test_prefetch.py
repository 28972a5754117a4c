"""Reading ahead: the same items in order, never too many, errors in their place, and no thread left."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from order_book_platform.streaming import read_ahead


def threads() -> list[str]:
    """List the prefetch threads that still run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "read ahead"]


@pytest.mark.parametrize("most", [1, 3])
def test_the_same_items_and_never_too_many(most: int) -> None:
    """Made while those before are worked on: one in the making, so many waiting, one in hand."""
    made = 0
    enough = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        nonlocal made
        for number in range(50):
            made += 1
            enough.release()
            yield number

    found = []
    for taken, number in enumerate(read_ahead(numbers(), most), 1):
        found.append(number)
        if taken == 1:
            for _ in range(most + 2):
                assert enough.acquire(timeout=10)
        assert made <= taken + most + 1
    assert found == list(range(50))
    assert not threads()


def test_an_error_comes_where_the_item_would_have() -> None:
    """After all items before it, as it was raised."""

    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    reading = read_ahead(numbers())
    assert [next(reading), next(reading)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(reading)
    assert not threads()


def test_who_leaves_early_closes_the_iterator() -> None:
    """A consumer that stops early waits until the iterator has been closed in its own thread."""
    closed_in = []

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    reading = read_ahead(numbers())
    assert next(reading) == 1
    reading.close()  # type: ignore[attr-defined]
    assert closed_in == ["read ahead"]
    assert not threads()
