"""The display of a run on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import pytest
from rich.console import Console

from order_book_platform.cli.display import output
from order_book_platform.cli.display.run_display import RunDisplay
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import PartitionKey
from order_book_platform.observability import StageMetrics, StreamMetrics
from order_book_platform.storage import Manifest
from order_book_platform_tests.manual_clock import ManualClock

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
ASSETS = ("raw_deltas", "reconstructed_books", "rl_features")
STAGES = ("read", "decode", "sequence", "apply", "write")


def figures(rows: int) -> StreamMetrics:
    """Of five stages that have each worked off so many rows."""
    stages = tuple(StageMetrics(name, 1, rows, 8 * rows, rows, 0, 0, 0, 0, 0, 0) for name in STAGES)
    return StreamMetrics(stages, "pause", "none", {})


def manifest(dataset: str) -> Manifest:
    """Of an asset that is done."""
    return Manifest(
        dataset=dataset,
        schema_version=1,
        code_version="1",
        symbol=KEY.instrument.key,
        day=KEY.day.isoformat(),
        inputs={},
        rows={"books-00000.parquet": 1_234},
        files={"books-00000.parquet": {"bytes": 1, "sha256": ""}},
        metadata={},
    )


def terminal() -> Console:
    """A console that takes itself for one."""
    return Console(file=io.StringIO(), force_terminal=True, width=120, height=40, color_system=None)


class Screen:
    """A display on a terminal, and what it shows now."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.display = RunDisplay(self.clock, resident=lambda: 812_000_000)

    def lines(self) -> list[str]:
        """First word of each line, without spinners."""
        assert self.display._live is not None
        console = terminal()
        with console.capture() as capture:
            console.print(self.display._live.get_renderable())
        lines = [line.lstrip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ") for line in capture.get().splitlines()]
        return [line.split()[0] for line in lines if line.strip()]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """A display on a terminal of 120 columns, between its beginning and its end."""
    monkeypatch.setattr(output, "_console", lambda _: terminal())
    made = Screen()
    with made.display.shown(KEY, ASSETS):
        yield made


def test_a_stream_stands_below_its_asset(screen: Screen) -> None:
    """While it runs; then the asset has one line again, and so has the next one."""
    context: Any = cast("Any", None)
    progress = screen.display.started("reconstructed_books", context)
    progress("replay", 0, 100)
    assert screen.lines() == ["raw_deltas", "reconstructed_books:", "rl_features"]
    progress("replay", 10, 100, figures(10))
    screen.clock.advance(NS_PER_SECOND)
    progress("replay", 20, 100, figures(20))
    assert screen.lines() == [
        "raw_deltas",
        "reconstructed_books:",
        "stage",
        *STAGES,
        "backpressure:",
        "rl_features",
    ]
    progress("replay", 100, 100)
    assert screen.lines() == ["raw_deltas", "reconstructed_books:", "rl_features"]
    progress("replay", 100, 100, figures(30))
    screen.display.finished("reconstructed_books", manifest("reconstructed_books"), ())
    assert screen.lines() == ["raw_deltas", "reconstructed_books", "rl_features"]
    screen.display.started("rl_features", context)("features", 1, 2)
    assert screen.lines() == ["raw_deltas", "reconstructed_books", "rl_features:"]


def test_a_pipe_gets_no_figures() -> None:
    """Nothing is drawn there."""
    display = RunDisplay(ManualClock())
    with display.shown(KEY, ASSETS):
        progress = display.started("reconstructed_books", cast("Any", None))
        progress("replay", 10, 100, figures(10))
        display.finished("reconstructed_books", manifest("reconstructed_books"), ())
    assert display._live is not None
    assert display._live.inset is None
    assert [outcome.rows for outcome in display.outcomes] == [1_234]
