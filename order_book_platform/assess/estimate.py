"""How much memory and time a day will take, from its row counts alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from order_book_platform.model.schemas import RAW_DELTAS

BASE_BYTES = 385 * 10**6
"""Resident memory of an idle process that has imported all components and the Dagster definitions and compiled the
loops: measured 381 MB; 305 MB when the loops come from the cache."""
DELTAS_PER_SECOND = 750_000
"""All six assets together: `python -m benchmarks.assets` measured 790,000 on a machine with two cores."""
DELTA_ROW_BYTES = 8 * len(RAW_DELTAS)
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


def estimate_run(*, deltas: int, snapshots: int, depth: int, batch_rows: int) -> RunEstimate:
    """Estimate memory and time.

    Args:
        deltas: rows.
        snapshots: rows; their levels are held in memory as pips.
        depth: visible levels a side.
        batch_rows: rows decoded at a time.
    """
    batches = COPIES * DELTA_ROW_BYTES * min(batch_rows, max(deltas, 1))
    levels = snapshots * 4 * depth * 8
    return RunEstimate(BASE_BYTES + batches + 2 * levels, round(deltas / DELTAS_PER_SECOND, 3))
