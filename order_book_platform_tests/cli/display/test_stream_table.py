"""A stream at work, as it is drawn on terminals of any width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from order_book_platform.cli.display.stream_table import StreamTable, in_units
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.observability import StageMetrics, StreamMetrics

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
