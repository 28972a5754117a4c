"""Threads that make blocking calls for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from order_book_platform.clock import Clock
from order_book_platform.streaming.stopwatch import Stopwatch

Result = TypeVar("Result")
_Outcome = tuple[Any, BaseException | None]


@dataclass(frozen=True, slots=True)
class _Call:
    """A function to be called, and the future of its result or error."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    outcome: asyncio.Future[_Outcome]

    def make(self) -> _Outcome:
        """Call the function; whatever it raises is handed to the caller that waits for the outcome."""
        try:
            return self.function(*self.arguments), None
        except BaseException as error:  # noqa: BLE001 - raised by Worker.run
            return None, error


class Worker:
    """One thread that makes one call at a time, in the order in which they were requested.

    The thread is a daemon and does not belong to an executor of the standard library: an executor's threads are joined
    when the interpreter exits, so that a call that hangs would keep the process alive.

    Args:
        name: name of the thread.
        clock: measures how long calls take.
        at_end: called in the thread as its last act, after `close` and the end of the call in progress.
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
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
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
        call = _Call(function, arguments, asyncio.get_running_loop().create_future())
        self._calls.put(call)
        result, error = await call.outcome
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Make the thread end after the call in progress; calls that have not begun are dropped."""
        self._closed = True
        self._calls.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, and return whether it came; otherwise the thread is abandoned.

        An abandoned thread ends by itself if its call ever returns. Its result is dropped, since its loop is closed.

        Args:
            timeout_s: longest wait in seconds.
        """
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._thread.name = f"{self.name} (abandoned)"
            return False
        return True

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None and not self._closed:
            self.busy.start(self._clock.monotonic_ns())
            outcome = call.make()
            self.busy.stop(self._clock.monotonic_ns())
            with suppress(RuntimeError):  # raised by a closed loop: nobody waits any more
                call.outcome.get_loop().call_soon_threadsafe(_settle, call.outcome, outcome)
            del call, outcome  # an idle thread keeps no item alive
        if self._at_end is not None:
            try:
                self._at_end()
            except BaseException as error:  # noqa: BLE001 - raised, or noted, by whoever closes the worker
                self.closing_error = error


def _settle(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
