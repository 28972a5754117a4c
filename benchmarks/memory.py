"""What the memory of a machine gives one core, and how much of it the replay takes."""

from __future__ import annotations

import numpy as np

from benchmarks.report import OURS, Report, rates, timed
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD

BYTES = 512 * 1024 * 1024
"""Of the array that is read: many times what caches hold."""


def measure_bandwidth(report: Report, runs: int) -> float:
    """Read a large array, and copy it, on one core.

    Returns:
        Bytes read per second, median.
    """
    source = np.ones(BYTES // 8, np.int64)
    target = np.ones_like(source)
    reads = [timed(lambda: np.bitwise_or.reduce(source)) for _ in range(runs + 1)][1:]
    copies = [timed(lambda: np.copyto(target, source)) for _ in range(runs + 1)][1:]
    size = f"{BYTES / 1024**2:,.0f} MB"
    report.add(
        "memory",
        f"{size} copied, bytes read and written",
        "bandwidth",
        "bytes/s",
        rates(2 * source.nbytes, copies),
    )
    return report.add("memory", f"{size} read", "bandwidth", "bytes/s", rates(source.nbytes, reads))


def report_traffic(
    report: Report, batch: DeltaBatch, rows: int, depth: int, deltas_a_second: float, bandwidth: float
) -> None:
    """How many bytes the replay moves, were it to read every column to the end, and which share of the bandwidth.

    Args:
        report: takes the figures.
        batch: what was replayed.
        rows: that came out.
        depth: levels a side in them.
        deltas_a_second: how fast.
        bandwidth: bytes/s that one core can read.
    """
    columns = (
        batch.origin_time,
        batch.received_time,
        batch.sequence_number,
        batch.is_bid,
        batch.encoded_price,
        batch.encoded_size,
    )
    row_bytes = (ROW_HEAD + 4 * depth) * 8
    per_delta = sum(column.itemsize for column in columns) + rows * row_bytes / len(batch)
    work = f"best bid/ask per message: {per_delta:.1f} bytes a delta at most, columns in and rows out"
    report.add(OURS, work, "memory traffic", "bytes/s", [per_delta * deltas_a_second])
    report.add(OURS, work, "share of the bandwidth", "1", [per_delta * deltas_a_second / bandwidth])
