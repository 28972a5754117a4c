"""Counts over the rows of one partition of features, for the manifest, and the gates they are held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.model import Gate, GateResult, Severity

GATES: dict[str, tuple[Gate, str]] = {
    "feature_rows": (Gate(">=", 1), "rows of the sampling clock"),
    "valid_share": (Gate(">=", 0.99, Severity.WARN), "rows with a two-sided, seeded book free of doubt"),
    "ofi_share": (
        Gate(">=", 0.9, Severity.WARN),
        "rows whose whole flow window is market flow at the best prices",
    ),
    "qi_share": (Gate(">=", 0.9, Severity.WARN), "valid rows that know all the levels the imbalances need"),
    "time_regressions": (
        Gate("<=", 0.001, Severity.WARN),
        "book rows whose origin_time lay below an earlier one",
    ),
}
"""Name of each gate to its bar and to the rows it counts; all but `feature_rows` are shares of rows."""


def gate_descriptions() -> dict[str, str]:
    """Describe each gate in one sentence, for the checks of the UI."""
    return {
        name: f"{'Number' if name == 'feature_rows' else 'Share'} of {counted}."
        for name, (_, counted) in GATES.items()
    }


@dataclass(slots=True)
class FeatureQuality:
    """Counts over the rows of one partition, added up table by table.

    Attributes:
        imbalance_levels: Number of levels k of each column `qi_k`.
        rows: All rows.
        valid_rows: Rows with `valid`.
        invalid_spans: Unbroken runs of rows without `valid`.
        crossed_rows: Rows with `crossed`.
        gap_rows: Rows with `gap_flag`.
        ofi_null_rows: Rows without `ofi_1`.
        qi_rows: Valid rows with every `qi_k`.
        first_time: Time of the first row, ns since the epoch; None without rows.
        last_time: Time of the last row, ns since the epoch; None without rows.
    """

    imbalance_levels: tuple[int, ...]
    rows: int = 0
    valid_rows: int = 0
    invalid_spans: int = 0
    crossed_rows: int = 0
    gap_rows: int = 0
    ofi_null_rows: int = 0
    qi_rows: int = 0
    first_time: int | None = None
    last_time: int | None = None
    _was_valid: bool = field(default=True, repr=False)

    def add(self, table: pa.Table) -> None:
        """Count the rows of the next table of features, in order of time."""
        if not table.num_rows:
            return
        valid = _numpy(table, "valid").astype(np.bool_)
        before = np.concatenate(([self._was_valid], valid[:-1]))
        known = valid.copy()
        for level in self.imbalance_levels:
            known &= ~np.isnan(_numpy(table, f"qi_{level}").astype(np.float64))
        self.rows += table.num_rows
        self.valid_rows += int(valid.sum())
        self.invalid_spans += int((before & ~valid).sum())
        self.crossed_rows += int(_numpy(table, "crossed").sum())
        self.gap_rows += int(_numpy(table, "gap_flag").sum())
        self.ofi_null_rows += table.column("ofi_1").null_count
        self.qi_rows += int(known.sum())
        self.first_time = table.column("time")[0].as_py() if self.first_time is None else self.first_time
        self.last_time = table.column("time")[-1].as_py()
        self._was_valid = bool(valid[-1])

    def to_metadata(self) -> dict[str, Any]:
        """Give first and last time and the counts of rows, for the manifest."""
        counts = {
            "rows": self.rows,
            "valid_rows": self.valid_rows,
            "invalid_rows": self.rows - self.valid_rows,
            "invalid_spans": self.invalid_spans,
            "crossed_rows": self.crossed_rows,
            "gap_rows": self.gap_rows,
            "ofi_null_rows": self.ofi_null_rows,
        }
        return {"first_time": self.first_time, "last_time": self.last_time, "counts": counts}

    def gates(self, *, book_rows: int, book_time_regressions: int) -> tuple[GateResult, ...]:
        """Hold the counts against their bars; a share of no rows fails.

        Args:
            book_rows: Book rows read.
            book_time_regressions: Those of them whose `origin_time` lay below an earlier one.
        """
        counted_of = {
            "feature_rows": (self.rows, book_rows),
            "valid_share": (self.valid_rows, self.rows),
            "ofi_share": (self.rows - self.ofi_null_rows, self.rows),
            "qi_share": (self.qi_rows, self.valid_rows),
            "time_regressions": (book_time_regressions, book_rows),
        }
        results = []
        for name, (gate, counted) in GATES.items():
            part, whole = counted_of[name]
            share = part / whole if whole else None
            value = self.rows if name == "feature_rows" else share
            note = f"{counted[0].upper()}{counted[1:]}"
            note += f"; {self.invalid_spans} spans are not." if name == "valid_share" else "."
            results.append(GateResult.of(name, value, gate, n=whole, note=note))
        return tuple(results)


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    array: NDArray[Any] = table.column(name).combine_chunks().to_numpy(zero_copy_only=False)
    return array
