"""How much memory, time and disk a day will take, from its row counts alone; on the machine that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.model.encoding import SIZE_BYTES

BASE_BYTES = 385 * 10**6
"""Resident memory of an idle process that has imported all components and the Dagster definitions and compiled the
loops: measured 381 MB; 305 MB when the loops come from the cache."""
CPU_NS_PER_DELTA = 350
"""All six assets together: `obp bench day --flat` took 40.9 s of CPU time for 108.7 M deltas, 377 ns each, 389 for half
as many and 311 for twice as many (benchmarks/results/day.json)."""
PARALLEL = 1.48
"""CPU time by wall time of one run where it had two cores: 27.7 s for the same day."""
REFERENCE = "AMD EPYC, 2 cores"
"""The machine of these figures."""
ASSETS_BYTES = 100 * 10**6
"""What the largest asset keeps besides its batches: windows of the fidelity report, rows of the books."""
SNAPSHOT_BYTES = 100
"""Numbers, defects, reach and outcome of each snapshot; levels are not kept. With all of it a day of 108.7 M deltas and
800,000 snapshots is estimated at 853 MB and took 786 (`obp bench day --flat`), half of it at 813 and took 740."""
BYTES_PER_DELTA = {"raw_deltas": 4.2, "reconstructed_books": 4.4}
"""On disk: recorded days of three markets took 3.7 to 5.2 and 2.2 to 6.4, the simulated perpetual 3.8 and 2.4."""
SNAPSHOT_DISK_BYTES = 90
"""Of a snapshot of 20 levels a side: 67 to 122."""
DAY_DISK_BYTES = 60 * 10**6
"""Features and reports of a whole day, which go by time."""
DELTA_ROW_BYTES = 8 * len(RAW_DELTAS_SCHEMA)
DECIMAL_ROW_BYTES = 2 * 8
"""More, where a price and a size are decimals."""
DECIMAL_TIMES = 3
"""How many times as long decimals take: `python -m benchmarks.precision` measured 2 to 4."""
COPIES = 4
"""A decoded batch, its pips, the joined remainder and the row group being written exist at once."""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Expected cost of all assets of a partition.

    Attributes:
        peak_bytes: resident memory; does not grow with the length of the day, except for the snapshots.
        seconds: time of one run on the reference machine.
        cpu_seconds: CPU time of it.
        disk_bytes: of what is published.
    """

    peak_bytes: int
    seconds: float
    cpu_seconds: float
    disk_bytes: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> RunEstimate:
        """Inverse of `to_dict`; other keys are ignored."""
        return cls(**{field.name: report[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, float]:
        """JSON-ready form."""
        return asdict(self)


def estimate_run(
    *,
    deltas: int,
    snapshots: int,
    batch_rows: int,
    decimal_sizes: int | None = None,
    day_share: float | None = None,
) -> RunEstimate:
    """Estimate memory, time and disk.

    Args:
        deltas: rows.
        snapshots: rows.
        batch_rows: rows decoded at a time.
        decimal_sizes: of a day of decimals, how many sizes differ: decimals take twice the room, and a replay keeps a
            list of the sizes; None for pips.
        day_share: share of the day from the first to the last delta, as which features go; None, if it is not known,
            counts as all of it.
    """
    decimal = decimal_sizes is not None
    row_bytes = DELTA_ROW_BYTES + (DECIMAL_ROW_BYTES if decimal else 0)
    batches = COPIES * row_bytes * min(batch_rows, max(deltas, 1))
    sizes = SIZE_BYTES * (decimal_sizes or 0)
    cpu_s = deltas * CPU_NS_PER_DELTA / NS_PER_SECOND * (DECIMAL_TIMES if decimal else 1)
    by_time = DAY_DISK_BYTES * (1.0 if day_share is None else day_share)
    disk = deltas * sum(BYTES_PER_DELTA.values()) + snapshots * SNAPSHOT_DISK_BYTES + by_time
    return RunEstimate(
        BASE_BYTES + ASSETS_BYTES + batches + snapshots * SNAPSHOT_BYTES + sizes,
        round(cpu_s / PARALLEL, 3),
        round(cpu_s, 3),
        round(disk * (2 if decimal else 1)),
    )
