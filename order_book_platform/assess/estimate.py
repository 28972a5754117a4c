"""How much memory and time a day will take, from its row counts alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from order_book_platform.model.codes import SIZE_BYTES
from order_book_platform.model.schemas import RAW_DELTAS

BASE_BYTES = 385 * 10**6
"""Resident memory of an idle process that has imported all components and the Dagster definitions and compiled the
loops: measured 381 MB; 305 MB when the loops come from the cache."""
DELTAS_PER_SECOND = 750_000
"""All six assets together: `python -m benchmarks.assets` measured 790,000 on a machine with two cores."""
DELTA_ROW_BYTES = 8 * len(RAW_DELTAS)
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
        seconds: CPU time on the reference machine.
    """

    peak_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, float]:
        """JSON-ready form."""
        return asdict(self)


def estimate_run(
    *, deltas: int, snapshots: int, depth: int, batch_rows: int, decimal_sizes: int | None = None
) -> RunEstimate:
    """Estimate memory and time.

    Args:
        deltas: rows.
        snapshots: rows; their levels are held in memory as pips.
        depth: visible levels a side.
        batch_rows: rows decoded at a time.
        decimal_sizes: of a day of decimals, how many sizes differ: decimals take twice the room, and a replay keeps a
            list of the sizes; None for pips.
    """
    decimal = decimal_sizes is not None
    row_bytes = DELTA_ROW_BYTES + (DECIMAL_ROW_BYTES if decimal else 0)
    batches = COPIES * row_bytes * min(batch_rows, max(deltas, 1))
    levels = snapshots * 4 * depth * (16 if decimal else 8)
    sizes = SIZE_BYTES * (decimal_sizes or 0)
    seconds = deltas / DELTAS_PER_SECOND * (DECIMAL_TIMES if decimal else 1)
    return RunEstimate(BASE_BYTES + batches + 2 * levels + sizes, round(seconds, 3))
