"""Running assets in this process: the run that is recorded, the selection, and errors without Dagster's wrapping."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import dagster as dg
import pytest
from rich.console import Console

from order_book_platform.cli import output
from order_book_platform.cli.asset_run import (
    AssetOutcome,
    RunDisplay,
    RunOutcome,
    StreamTable,
    in_units,
    run_assets,
)
from order_book_platform.cli.dagster_instance import dagster_instance
from order_book_platform.cli.options import Invocation
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import PartitionMissingError, SettingsError, SourceMissingError
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity
from order_book_platform.observability import StageMetrics, StreamMetrics
from order_book_platform.storage import DataStore, Manifest
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform
from order_book_platform_tests.manual_clock import ManualClock

pytestmark = pytest.mark.usefixtures("no_home")


def run(platform: Platform, key: PartitionKey, *assets: str) -> RunOutcome:
    """Run assets of a partition."""
    invocation = Invocation(platform.config)
    return run_assets(invocation, invocation.settings(), key, assets)


def test_a_run_is_recorded_with_its_outcomes(
    materialized: tuple[Platform, Any], key: PartitionKey, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only the wanted assets are made; the instance knows the run and who started it."""
    platform, _ = materialized
    outcome = run(platform, key, "rl_features", "sequence_gap_report")
    assert outcome.key == key
    assert {asset.manifest.dataset for asset in outcome.assets} == {"sequence_gap_report", "rl_features"}
    assert outcome.passed
    assert {name for name, _ in outcome.gates} == {"sequence_gap_report", "rl_features"}
    with dagster_instance(platform.config) as instance:
        recorded = instance.get_run_by_id(outcome.run_id)
    assert recorded is not None
    assert recorded.status is dg.DagsterRunStatus.SUCCESS
    assert recorded.tags["obp/started_by"] == "cli"
    assert "rl_features" in capfd.readouterr().err


def test_what_the_user_can_put_right_is_raised_as_it_is(empty: Platform) -> None:
    """Unknown assets, unfinished days, missing files and missing inputs are the platform's own errors."""
    key = PartitionKey.parse(SYMBOL, DAY)
    with pytest.raises(SettingsError, match="--select: expected names among raw_deltas"):
        run(empty, key, "books")
    with pytest.raises(SettingsError, match="--day: expected a UTC day that has ended"):
        run(empty, PartitionKey.parse(SYMBOL, "2999-01-01"))
    with pytest.raises(SourceMissingError):
        run(empty, key)
    with pytest.raises(PartitionMissingError):
        run(empty, key, "rl_features")


def test_only_gates_of_severity_error_fail_a_run(
    materialized: tuple[Platform, Any], key: PartitionKey
) -> None:
    """A warning is shown, and the run has passed all the same."""
    platform, _ = materialized
    manifest = DataStore(platform.store).manifest("rl_features", key)
    for severity, passed in ((Severity.ERROR, False), (Severity.WARN, True)):
        gate = GateResult.of("share", 0.1, Gate(">=", 0.9, severity), n=1)
        outcome = RunOutcome(key, "run", [AssetOutcome(manifest, (gate,), 1.0)])
        assert outcome.passed is passed
        assert outcome.gates == [("rl_features", gate)]


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
    monkeypatch.setattr(output, "live_console", lambda _: terminal())
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
    assert [outcome.manifest.main_rows for outcome in display.outcomes] == [1_234]


SOURCE = StageMetrics("read", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
APPLY = replace(SOURCE, stage="apply")
STREAM = StreamMetrics((SOURCE, APPLY), "throttle", "drop_caches", {})


def later(
    seconds: float, rows: int, busy: float = 0.25, up: float = 0.5, down: float = 0.25
) -> StreamMetrics:
    """The stream after so many seconds in which a stage was busy, or blocked, for these shares."""
    passed_ns = seconds * NS_PER_SECOND
    stage = replace(
        APPLY,
        rows=rows,
        bytes=2_500_000,
        busy_ns=int(busy * passed_ns),
        blocked_up_ns=int(up * passed_ns),
        blocked_down_ns=int(down * passed_ns),
        queue_items=3,
        queue_bytes=64_000_000,
        oldest_ns=1_530_000_000,
    )
    return replace(STREAM, stages=(SOURCE, stage))


def drawn(table: StreamTable, width: int = 120) -> list[str]:
    """Its lines on a terminal of that width."""
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def after_two_seconds() -> StreamTable:
    """Of a stream that was seen at its start and two seconds later."""
    table = StreamTable()
    table.update(STREAM, 0, 0)
    table.update(later(2, 3_000_000), 812_000_000, 2 * NS_PER_SECOND)
    return table


def test_each_stage_has_a_line() -> None:
    """Rows, rates and shares since it was last looked at, what waits, and then the whole."""
    heading, source, stage, whole = drawn(after_two_seconds())
    assert " ".join(heading.split()) == "stage rows rows/s bytes waiting oldest busy blocked up blocked down"
    assert " ".join(source.split()) == "read 0 0 0 B - - 0 % 0 % 0 %"
    assert " ".join(stage.split()) == "apply 3,000,000 1.50 M 2.50 MB 3, 64.0 MB 1.5 s 25 % 50 % 25 %"
    assert whole.strip() == "backpressure: throttle, memory: drop caches, 812 MB resident"


@pytest.mark.parametrize("width", [99, 80, 79, 48])
def test_narrow_terminals_show_less(width: int) -> None:
    """Shorter headings, then only what tells which stage is the slow one; nothing is cut off or wrapped."""
    lines = drawn(after_two_seconds(), width)
    assert len(lines) == 4
    assert all(len(line.rstrip()) <= width for line in lines)
    assert not any("…" in line for line in lines[:3])
    assert lines[2].split()[-6:] == ["25", "%", "50", "%", "25", "%"]
    assert ("3,000,000" in lines[2]) == (width >= 80)


def test_a_full_day_fits_80_columns() -> None:
    """The largest figures a day has."""
    table = StreamTable()
    table.update(STREAM, 0, 0)
    large = later(4, 109_000_000, busy=1, up=0, down=0).stages[1]
    large = replace(large, stage="sequence", queue_items=8, spilled_bytes=2_100_000_000)
    read = replace(SOURCE, rows=109_000_000, bytes=4_470_000_000)
    table.update(
        replace(STREAM, stages=(read, large), memory="smaller_batches"), 3_990_000_000, 4 * NS_PER_SECOND
    )
    lines = drawn(table, 80)
    assert not any("…" in line for line in lines[:3])
    assert "8, 2.16 GB" in lines[2]
    assert "2.10 GB spilled" in drawn(table, 120)[-1]


def test_no_room_no_table() -> None:
    """A terminal so narrow shows the asset's line alone; and before the first figures there is nothing to show."""
    assert not drawn(after_two_seconds(), 47)
    assert not drawn(StreamTable())


def test_rates_are_of_the_last_seconds() -> None:
    """A stage that was fast and now hangs is shown as that."""
    table = StreamTable()
    for second in range(20):
        table.update(later(second, min(second, 10) * 1_000), 0, second * NS_PER_SECOND)
        if second == 10:
            assert drawn(table)[2].split()[1:4] == ["10,000", "1.00", "k"]
    assert drawn(table)[2].split()[1:3] == ["10,000", "0"]


def test_a_stream_that_begins_anew() -> None:
    """After a stall its sums begin at 0: rates wait for its second figures, and are never negative."""
    table = after_two_seconds()
    table.update(later(0.1, 5), 0, 3 * NS_PER_SECOND)
    assert drawn(table)[2].split()[1:3] == ["5", "-"]
    table.update(later(1.1, 5_005), 0, 4 * NS_PER_SECOND)
    assert drawn(table)[2].split()[1:4] == ["5,005", "5.00", "k"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 "),
        (999, "999 "),
        (999.6, "1.00 k"),
        (99_960, "100 k"),
        (12_345_678, "12.3 M"),
        (4.47e9, "4.47 G"),
    ],
)
def test_units(value: float, text: str) -> None:
    """Three digits, never four and never an exponent."""
    assert in_units(value) == text
