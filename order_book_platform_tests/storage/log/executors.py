"""Executors whose work is done when a test wants it: at once, when told to, or when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Later(Executor):
    """Does its work when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[[], Any]) -> Future[Any]:  # type: ignore[override]
        """Accept work."""
        future: Future[Any] = Future()
        self.given.append((future, work))
        return future

    def run(self) -> None:
        """Do the work."""
        future, work = self.given.pop()
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)


class AtOnce(Later):
    """Does its work when it is given."""

    def submit(self, work: Callable[[], Any]) -> Future[Any]:  # type: ignore[override]
        """Do the work."""
        future = super().submit(work)
        self.run()
        return future


class Lazy(Later):
    """Does its work when it is asked for the result, or whether there is one."""

    def submit(self, work: Callable[[], Any]) -> Future[Any]:  # type: ignore[override]
        """Accept work."""
        later = self

        class Asked(Future[Any]):
            def done(self) -> bool:
                if not super().done():
                    later.run()
                return True

            def result(self, timeout: float | None = None) -> Any:
                self.done()
                return super().result(timeout)

        self.given.append((Asked(), work))
        return self.given[-1][0]
