"""Threads that make blocking calls for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from order_book_platform.clock import Clock
from order_book_platform.streaming.stage_metrics import Stopwatch

Result = TypeVar("Result")


class Worker:
    """One thread that makes one call at a time, in the order they were asked for.

    The thread is a daemon and not one of a pool: a pool is joined when the interpreter ends, and with it a call
    that hangs.

    Args:
        name: of the thread.
        clock: measures how long calls take.
        at_end: called in the thread as its last act, once `close` was called and the call in progress is over.
    """

    def __init__(self, name: str, clock: Clock, at_end: Callable[[], None] | None = None) -> None:
        self.name = name
        self.busy = Stopwatch()
        self.doing = "nothing"
        """What the step in progress, or the last one, does."""
        self.closing_error: BaseException | None = None
        """What `at_end` raised."""
        self._clock = clock
        self._at_end = at_end
        self._closed = False
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    @property
    def is_called(self) -> bool:
        """Whether a long call should end soon: another one waits, or the worker is being closed."""
        return self._closed or not self._calls.empty()

    def progress(self, doing: str) -> None:
        """For a call that makes steps, between two of them: the last one is over, and what the next one does."""
        self.doing = doing
        self.busy.lap(self._clock.monotonic_ns())

    def wait_in(self, call: Callable[[], object]) -> None:
        """For a call that makes steps, instead of one: wait in the thread for something outside, which is no work."""
        self.doing = "waiting for something new"
        self.busy.stop(self._clock.monotonic_ns())
        try:
            call()
        finally:
            self.busy.start(self._clock.monotonic_ns())

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call in the thread; what the call raises comes out here."""
        call = _Call(asyncio.get_running_loop(), function, arguments)
        self._calls.put(call)
        result, error = await call.outcome
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the thread end after the call in progress; calls not yet begun are dropped."""
        self._closed = True
        self._calls.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; if that takes longer it is abandoned, and false returned.

        What it still does goes nowhere: its loop is gone. It ends by itself should the call ever return.
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
            call.make()
            self.busy.stop(self._clock.monotonic_ns())
            call.report()
            del call  # while idle, nothing is held that a stage is done with
        if self._at_end is not None:
            try:
                self._at_end()
            except BaseException as error:  # noqa: BLE001 - raised, or noted, by who closes the worker
                self.closing_error = error


class _Call:
    """A function to be called, and the future that its outcome goes to."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        self.outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        self._loop = loop
        self._function = function
        self._arguments = arguments
        self._found: tuple[Any, BaseException | None] = (None, None)

    def make(self) -> None:
        """Call, and keep what came of it: whatever is raised belongs to who waits for the outcome."""
        try:
            self._found = self._function(*self._arguments), None
        except BaseException as error:  # noqa: BLE001 - raised by Worker.run
            self._found = None, error

    def report(self) -> None:
        """Hand the outcome to the loop."""
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(self) -> None:
        if not self.outcome.done():
            self.outcome.set_result(self._found)
