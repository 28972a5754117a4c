"""Threads that make blocking calls for an event loop, stopwatches over them, and threads that produce items ahead."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from order_book_platform.clock import Clock

Result = TypeVar("Result")
T = TypeVar("T")
_Outcome = tuple[Any, BaseException | None]
_ITEM, _ERROR, _END = range(3)
_POLL_S = 0.05
"""Interval at which a producer that waits for space checks whether its items are still wanted."""


class Stopwatch:
    """A stopwatch that adds up times; one thread starts and stops it, any thread may read it."""

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
        """Add the time since `start` or the last lap, and begin the next one."""
        self._total_and_since = (self.read_ns(now_ns), now_ns)

    def read_ns(self, now_ns: int) -> int:
        """Return the sum so far, including the running time, in ns."""
        total, since = self._total_and_since
        return total if since is None else total + now_ns - since

    def running_ns(self, now_ns: int) -> int:
        """Return the running time in ns; 0 if none is running."""
        since = self._total_and_since[1]
        return 0 if since is None else now_ns - since


class Worker:
    """One thread that makes one call at a time, in the order in which they were requested.

    The thread is a daemon and does not belong to an executor of the standard library: an executor's threads are joined
    when the interpreter exits, so that a call that hangs would keep the process alive. Its last act, after `close` and
    the end of the call in progress, is to call `at_end`.
    """

    def __init__(self, name: str, clock: Clock, at_end: Callable[[], None] | None = None) -> None:
        self.name = name
        self.busy = Stopwatch()
        self.doing = "nothing"
        """What the step in progress, or the last one, does, for messages."""
        self.closing_error: BaseException | None = None
        """Error that `at_end` raised."""
        self._clock = clock
        self._at_end = at_end
        self._closed = False
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[_Outcome]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def should_return(self) -> bool:
        """Whether a long call should return soon: another one waits, or the worker is being closed."""
        return self._closed or not self._calls.empty()

    def begin_step(self, doing: str) -> None:
        """Note, from within a long call, that its last step is over and what the next one does."""
        self.doing = doing
        self.busy.lap(self._clock.monotonic_ns())

    def wait_in(self, wait: Callable[[], object]) -> None:
        """Wait, from within a long call, for something outside; the time does not count as a step."""
        self.doing = "waiting for something new"
        self.busy.stop(self._clock.monotonic_ns())
        try:
            wait()
        finally:
            self.busy.start(self._clock.monotonic_ns())

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the thread, and return its result or raise its error."""
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._calls.put((partial(function, *arguments), future))
        result, error = await future
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Make the thread end after the call in progress; calls that have not begun are dropped."""
        self._closed = True
        self._calls.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait so long for the end of the thread, and return whether it came; otherwise the thread is abandoned.

        An abandoned thread ends by itself if its call ever returns. Its result is dropped, since its loop is closed.
        """
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._thread.name = f"{self.name} (abandoned)"
            return False
        return True

    def _serve(self) -> None:
        while (request := self._calls.get()) is not None and not self._closed:
            call, future = request
            outcome: _Outcome
            self.busy.start(self._clock.monotonic_ns())
            try:
                outcome = call(), None
            except BaseException as error:  # noqa: BLE001 - a stage may raise anything; it is raised by `run`
                outcome = None, error
            self.busy.stop(self._clock.monotonic_ns())
            with suppress(RuntimeError):  # raised by a closed loop: nobody waits any more
                future.get_loop().call_soon_threadsafe(_settle, future, outcome)
            del request, call, future, outcome  # an idle thread keeps no item alive
        if self._at_end is not None:
            try:
                self._at_end()
            except BaseException as error:  # noqa: BLE001 - anything; raised, or noted, by who closes the worker
                self.closing_error = error


def _settle(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def read_ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """Iterate over the same items, produced in a thread of their own.

    An error of the iterator is raised where the item would have come. When the consumer stops early, the iterator is
    closed in its thread. `most` items may wait, besides the one being produced and the one being worked on.
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
