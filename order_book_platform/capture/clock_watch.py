"""The offset of the wall clock while a capture runs: measured now and then, recorded, and reported where large."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from order_book_platform.capture.clock_offset_sources import ClockOffset, measure
from order_book_platform.capture.websocket_client import describe
from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.settings import CaptureSettings


class Warn(Protocol):
    """Tells the operator something."""

    def __call__(self, event: str, text: str, **fields: object) -> None:
        """Report an event with a sentence and its figures."""


class ClockWatch:
    """Measures the offset in a thread, so that nothing waits for a server that does not answer.

    Args:
        settings: where the offset comes from, how often, and from which one on it is reported.
        clock: the clock that is measured.
        record: appends a row of a kind, with its detail, to the raw log.
        warn: tells the operator something.

    Attributes:
        offset: the last measurement; None where there is none.
        source: where it comes from, or why there is none.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        clock: Clock,
        record: Callable[[RowKind, Mapping[str, object]], None],
        warn: Warn,
    ) -> None:
        self.offset: ClockOffset | None = None
        self.source = "no source is configured" if settings.clock_source == "none" else "not measured yet"
        self._settings = settings
        self._clock = clock
        self._record = record
        self._warn = warn

    async def run(self) -> None:
        """Measure the offset of the clock until cancelled."""
        while self._settings.clock_source != "none":
            await self.measure()
            await asyncio.sleep(self._settings.clock_every / NS_PER_SECOND)

    async def measure(self) -> None:
        """Measure once, record the offset, and report what is worth it; the clock itself is never corrected."""
        settings = self._settings
        found = await self._measured()
        if isinstance(found, str):
            if found != self.source:
                self._warn("clock_unknown", f"The offset of the wall clock is not known: {found}.")
            self.offset, self.source = None, found
            return
        self.offset, self.source = found, found.source
        detail = {
            "offset_ns": found.offset_ns,
            "uncertainty_ns": found.uncertainty_ns,
            "source": found.source,
        }
        self._record(RowKind.CLOCK, detail)
        if abs(found.offset_ns) > settings.clock_warning:
            self._warn(
                "clock_off",
                f"The wall clock is off by {found.offset_ns / 1e6:+.1f} ms (± {found.uncertainty_ns / 1e6:.1f} ms, "
                f"{found.source}); arrivals are recorded as they are.",
                offset_ns=found.offset_ns,
            )

    async def _measured(self) -> ClockOffset | str:
        """Measure in a thread that nobody waits for: a name server that hangs must not hold up the end."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ClockOffset | str] = loop.create_future()
        settings = self._settings

        def tell(found: ClockOffset | str) -> None:
            if not answer.done():
                answer.set_result(found)

        def work() -> None:
            try:
                found = measure(settings.clock_source, settings.ntp_servers, self._clock.now_ns)
            except Exception as error:  # noqa: BLE001 - whoever waits for this thread would wait for ever
                found = describe(error)
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(tell, found)

        threading.Thread(target=work, name="clock", daemon=True).start()
        return await answer
