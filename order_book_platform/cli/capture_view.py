"""A running capture as a table that is drawn again every second, and as one line for logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from order_book_platform.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from order_book_platform.observability import CaptureMetrics, CaptureStreamMetrics

STREAMS_SHOWN = 30
"""Streams in the table; those with gaps or the oldest last message come first."""
OLD_NS = 10 * NS_PER_SECOND


def capture_view(metrics: CaptureMetrics, height: int) -> Group:
    """Draw the figures of a capture on a terminal of `height` lines."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stream", no_wrap=True)
    for heading in ("msg/s", "last", "P50", "P95", "P99", "gaps"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = max(1, min(STREAMS_SHOWN, height - 8))
    streams = sorted(metrics.streams, key=lambda each: (-each.gaps, -(each.age_ns or 0)))
    keep = {each.stream for each in streams[:shown]}
    for stream in metrics.streams:
        if stream.stream in keep:
            table.add_row(*_stream_cells(stream))
    lines: list[Text | Table] = [Text(summary_line(metrics), style="bold"), table]
    if len(metrics.streams) > shown:
        lines.append(Text(f"and {len(metrics.streams) - shown} streams more", style="dim"))
    lines += [Text(line, style=style) for line, style in _foot(metrics)]
    return Group(*lines)


def summary_line(metrics: CaptureMetrics) -> str:
    """Say in one line how a capture is."""
    rate = sum(stream.rate for stream in metrics.streams)
    p50, _, p99, _ = (value / 1e6 for value in metrics.durable_ns)
    return (
        f"{metrics.market}: {rate:,.0f} messages/s, {metrics.messages:,} in {metrics.running_ns / 1e9:,.0f} s; "
        f"durable after P50 {p50:.1f} ms, P99 {p99:.1f} ms; connections {metrics.connections}, "
        f"gaps {metrics.gaps}, dropped {metrics.dropped:,}"
    )


def _foot(metrics: CaptureMetrics) -> list[tuple[str, str]]:
    filled = metrics.buffer_bytes / metrics.buffer_limit_bytes
    buffer = f"buffer {filled:.1%} of {metrics.buffer_limit_bytes / 1e6:.0f} MB"
    disk = f"disk {metrics.free_bytes / 1e9:,.1f} GB free, sync P50 {metrics.sync_ns[0] / 1e6:.1f} ms"
    weight = f"request weight {metrics.weight_used} of {metrics.weight_limit}"
    lines = [(f"{buffer}; {disk}; {weight}", "red" if filled > 0.5 else "")]
    if metrics.clock_offset_ns is None:
        lines.append((f"clock offset not known: {metrics.clock_source}", "yellow"))
    else:
        offset_ms, uncertainty_ms = metrics.clock_offset_ns / 1e6, (metrics.clock_uncertainty_ns or 0) / 1e6
        clock = f"clock {offset_ms:+.2f} ms ± {uncertainty_ms:.2f} ms ({metrics.clock_source})"
        lines.append((clock, ""))
    if metrics.trouble is not None:
        lines.append((f"the device takes no rows: {metrics.trouble}", "bold red"))
    if metrics.snapshots_waiting:
        lines.append((f"waiting for snapshots: {', '.join(metrics.snapshots_waiting[:10])}", "yellow"))
    return lines


def _stream_cells(stream: CaptureStreamMetrics) -> list[Text]:
    old = stream.age_ns is None or stream.age_ns > OLD_NS
    age = "never" if stream.age_ns is None else f"{stream.age_ns / 1e9:.1f} s"
    latencies = (
        ["-"] * 3 if stream.latency_ns is None else [f"{each / 1e6:.1f} ms" for each in stream.latency_ns]
    )
    return [
        Text(stream.stream),
        Text(f"{stream.rate:,.1f}"),
        Text(age, style="yellow" if old else ""),
        *(Text(each) for each in latencies),
        Text(str(stream.gaps), style="red" if stream.gaps else ""),
    ]
