"""Days of a capture that are over: found once, in order, for what was recorded, and at no cost where nothing is new."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND
from order_book_platform.model import Instrument
from order_book_platform.sources.binance import finished_days
from order_book_platform.sources.binance.finished_days import (
    CaptureProgress,
    FinishedDays,
    capture_folders,
)
from order_book_platform.storage import LogWriter
from order_book_platform_tests.sources.binance.raw_rows import START_NS, RawRows

BTC, ETH, SPOT = (
    Instrument.parse(each)
    for each in ("BINANCE_FUTURES:BTC-USDT-PERP", "BINANCE_FUTURES:ETH-USDT-PERP", "BINANCE:BTC-USDT")
)
EIGHTH, NINTH = date(2024, 8, 8), date(2024, 8, 9)
LATER_NS = START_NS + 100 * NS_PER_DAY


class Captured:
    """A capture that is written step by step, from five minutes before midnight on."""

    def __init__(self, folder: Path) -> None:
        self.days = FinishedDays(folder)
        self.rows = RawRows(now_ns=START_NS - 300 * NS_PER_SECOND)
        self.rows.rules()
        self.rows.connect(1, ["btcusdt@depth@100ms", "btcusdt@trade"])
        self.progress: CaptureProgress | None = None
        self._written = 0

    def until(self, ns: int) -> None:
        """Let a message arrive at a time after midnight, and write everything."""
        self.rows.now_ns = START_NS + ns - 1_000_000
        self.rows.message(1, {"e": "depthUpdate"})
        self.write()

    def write(self, *, rotate: bool = False, seal: bool = False) -> None:
        """Append what has not been written yet, in a segment of its own if wanted."""
        batch = self.rows.batch(self._written)
        writer = LogWriter(self.days.folder / "raw", batch.schema)
        if rotate:
            writer.rotate()
        writer.append(batch)
        writer.close(seal=seal)
        self._written = len(self.rows.rows)

    def look(self, now_ns: int = LATER_NS) -> list[tuple[date, Instrument]]:
        """Look for days that are over since the last look."""
        self.progress, found = self.days.since(self.progress, [BTC, ETH, SPOT], now_ns)
        return found


@pytest.fixture
def captured(tmp_path: Path) -> Captured:
    """A capture of one symbol."""
    return Captured(tmp_path / "usdm")


def test_a_day_is_over_a_minute_behind_midnight(captured: Captured) -> None:
    """Not before the decoder has all that it looks at; then once, for the symbol that was recorded."""
    for seconds in (-1, 1, 59):
        captured.until(seconds * NS_PER_SECOND)
        assert captured.look() == []
    captured.until(60 * NS_PER_SECOND)
    assert captured.look() == [(EIGHTH, BTC)]
    assert captured.look() == []
    captured.until(3_600 * NS_PER_SECOND)
    assert captured.look() == []


def test_many_days_at_once_ascend(captured: Captured) -> None:
    """A log that nobody has looked at gives all its days; a day without rows is none of them."""
    captured.until(10 * NS_PER_SECOND)
    captured.until(3 * NS_PER_DAY)
    captured.until(3 * NS_PER_DAY + 3_600 * NS_PER_SECOND)
    captured.rows.message(1, {"e": "x"})
    captured.write(seal=True)
    captured.until(4 * NS_PER_DAY + 61 * NS_PER_SECOND)
    assert captured.look() == [(EIGHTH, BTC), (NINTH, BTC), (date(2024, 8, 12), BTC)]


def test_only_what_a_connection_carried_on_that_day(captured: Captured) -> None:
    """A symbol that was added or left out later belongs to the days on which it was recorded."""
    captured.until(NS_PER_SECOND)
    captured.rows.close(1)
    captured.rows.connect(2, ["ethusdt@depth@100ms"])
    captured.until(NS_PER_DAY - NS_PER_SECOND)
    captured.until(2 * NS_PER_DAY + 61 * NS_PER_SECOND)
    assert captured.look() == [(EIGHTH, BTC), (NINTH, BTC), (NINTH, ETH)]


def test_a_killed_process_carries_nothing_afterwards(captured: Captured) -> None:
    """Connections that were left open end with the row `killed` of the next process."""
    captured.until(NS_PER_SECOND)
    captured.rows.now_ns = START_NS + NS_PER_DAY // 2
    captured.rows.add("gap", detail={"why": "killed", "streams": []})
    captured.rows.connect(2, ["ethusdt@depth@100ms"])
    captured.until(2 * NS_PER_DAY + 61 * NS_PER_SECOND)
    assert captured.look() == [(EIGHTH, BTC), (NINTH, BTC), (NINTH, ETH)]


def test_connections_of_the_day_before_count_after_a_look(captured: Captured) -> None:
    """A later look goes back to the segments in which the day's connections were opened, and no further."""
    captured.until(61 * NS_PER_SECOND)
    assert captured.look() == [(EIGHTH, BTC)]
    captured.rows.message(1, {"e": "x"})
    captured.write(rotate=True)
    captured.until(NS_PER_DAY + 61 * NS_PER_SECOND)
    assert captured.look() == [(NINTH, BTC)]


def test_nothing_is_read_where_nothing_is_new(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """File names and sizes are enough while the day goes on by the clock, and for a capture that has stopped."""
    captured.until(61 * NS_PER_SECOND)
    captured.look()

    def read(*_: object) -> None:
        raise AssertionError("a segment was read")

    for name in ("column_range", "segment_columns", "rows_of_kinds", "LogReader"):
        monkeypatch.setattr(finished_days, name, read)
    assert captured.look() == []
    captured.until(3_600 * NS_PER_SECOND)
    assert captured.look(START_NS + 3_600 * NS_PER_SECOND) == []
    with pytest.raises(AssertionError, match="was read"):
        captured.look()


def test_a_clock_that_is_behind_delays_a_day(captured: Captured) -> None:
    """Dagster knows no partition of a day that is not over by its own clock: it is told once it is."""
    captured.until(61 * NS_PER_SECOND)
    assert captured.look(START_NS - NS_PER_SECOND) == []
    assert captured.look(START_NS) == [(EIGHTH, BTC)]


def test_progress_survives_as_json(captured: Captured) -> None:
    """The cursor between two ticks is text."""
    captured.until(61 * NS_PER_SECOND)
    captured.look()
    assert captured.progress is not None
    assert CaptureProgress.from_json(captured.progress.to_json()) == captured.progress


def test_folders_without_rows(tmp_path: Path) -> None:
    """No root, a folder that is no capture, and a log without rows are no errors."""
    assert capture_folders(tmp_path / "absent") == []
    (tmp_path / "notes").mkdir()
    (tmp_path / "usdm" / "raw").mkdir(parents=True)
    assert capture_folders(tmp_path) == [tmp_path / "usdm"]
    assert FinishedDays(tmp_path / "usdm").since(None, [BTC], LATER_NS) == (None, [])
