"""Counts that every reader of the lake keeps; they become `audit` in the metadata of a partition."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class ReadAudit:
    """Counts of the rows of one table.

    Attributes:
        rows: Rows read.
        files: Files read.
        unsorted_rows: Rows whose sequence number, or time, is below that of the row before, as the files came.
    """

    rows: int = 0
    files: int = 0
    unsorted_rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all counts by name, ready for JSON."""
        return asdict(self)


@dataclass(slots=True)
class GridAudit(ReadAudit):
    """Counts of a table whose prices and sizes have to lie on a grid of decimals.

    Attributes:
        off_grid_prices: Float prices that are no decimal with that many places.
        off_grid_sizes: Float sizes that are no decimal with that many places.
        first_off_grid: File, column, row and value of the first of them; empty if there is none.
    """

    off_grid_prices: int = 0
    off_grid_sizes: int = 0
    first_off_grid: str = ""
