"""No test of streams leaves a thread behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail if a thread is left: a test that abandons one on purpose has to release and join it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that steps hang on; it is set at the end, and the abandoned threads are waited for."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.endswith("(abandoned)"):
            thread.join()
