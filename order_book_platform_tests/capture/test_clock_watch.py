"""The offset of the wall clock is recorded and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from order_book_platform.capture import clock_watch
from order_book_platform.capture.clock_offset_sources import ClockOffset
from order_book_platform.capture.clock_watch import ClockWatch
from order_book_platform.clock import Clock
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.settings import CaptureSettings


def test_offsets_are_recorded_and_large_ones_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one is a row alone, one beyond 50 ms is told, and so is one that is not known, once."""
    answers = [
        ClockOffset(49_000_000, 1_000_000, "chrony"),
        ClockOffset(-51_000_000, 1_000_000, "sntp time.example"),
        "no answer",
        "no answer",
    ]
    rows: list[Mapping[str, object]] = []
    events: list[str] = []

    def record(kind: RowKind, detail: Mapping[str, object]) -> None:
        assert kind == RowKind.CLOCK
        rows.append(detail)

    def warn(event: str, text: str, **fields: object) -> None:
        events.append(f"{event}: {text}")

    monkeypatch.setattr(clock_watch, "measure", lambda *_: answers.pop(0))
    watch = ClockWatch(CaptureSettings(), Clock(), record, warn)
    assert (watch.offset, watch.source) == (None, "not measured yet")
    asyncio.run(watch.measure())
    assert (watch.source, events) == ("chrony", [])
    asyncio.run(watch.measure())
    assert len(events) == 1
    assert events[0].startswith("clock_off: The wall clock is off by -51.0 ms (± 1.0 ms, sntp time.example)")
    asyncio.run(watch.measure())
    asyncio.run(watch.measure())
    assert events[1:] == ["clock_unknown: The offset of the wall clock is not known: no answer."]
    assert (watch.offset, watch.source) == (None, "no answer")
    assert [row["offset_ns"] for row in rows] == [49_000_000, -51_000_000]


def test_without_a_source_nothing_is_measured() -> None:
    """The figures say so."""
    settings = CaptureSettings(clock_source="none")
    watch = ClockWatch(settings, Clock(), lambda *_: None, lambda *_, **__: None)
    asyncio.run(watch.run())
    assert watch.source == "no source is configured"


def test_a_source_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody thought of is the reason why the offset is not known; the watch goes on."""

    def fails(*_: object) -> ClockOffset:
        raise ZeroDivisionError("a source without a second")

    monkeypatch.setattr(clock_watch, "measure", fails)
    watch = ClockWatch(CaptureSettings(), Clock(), lambda *_: None, lambda *_, **__: None)
    asyncio.run(asyncio.wait_for(watch.measure(), 30))
    assert "a source without a second" in watch.source
