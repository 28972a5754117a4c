"""The live view of a capture."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from order_book_platform.cli.capture_view import capture_view, summary_line
from order_book_platform_tests.observability.test_capture_exporter import METRICS, STREAM


def drawn(metrics: object, height: int = 40) -> str:
    """The view as text."""
    console = Console(file=io.StringIO(), width=140)
    console.print(capture_view(metrics, height))  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_each_stream_has_a_row_and_the_rest_its_lines() -> None:
    """Rate, age, latencies and gaps; buffer, disk, weight and clock below."""
    text = drawn(METRICS)
    assert "btcusdt@depth@100ms" in text
    assert "3.0 ms" in text
    assert "never" in text
    assert "buffer 10.0% of 0 MB" in text
    assert "clock -2.00 ms ± 0.50 ms (chrony)" in text
    assert "durable after P50 1.0 ms, P99 3.0 ms" in summary_line(METRICS)


def test_troubles_are_shown_and_long_lists_cut() -> None:
    """Streams with gaps stay when there is no space for all."""
    many = tuple(replace(STREAM, stream=f"s{number}", gaps=number) for number in range(50))
    text = drawn(
        replace(
            METRICS,
            streams=many,
            trouble="no space",
            clock_offset_ns=None,
            clock_source="chronyc is not installed",
            snapshots_waiting=("BTCUSDT",),
        ),
        height=20,
    )
    assert "and 38 streams more" in text
    assert "s49" in text
    assert "the device takes no rows: no space" in text
    assert "clock offset not known: chronyc is not installed" in text
    assert "waiting for snapshots: BTCUSDT" in text
