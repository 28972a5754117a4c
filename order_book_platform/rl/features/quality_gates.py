"""What a finished partition of features says of itself: counts for the manifest, gates for the checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.model import Gate, GateResult, Severity

ROWS = Gate(">=", 1)
VALID_SHARE = Gate(">=", 0.99, Severity.WARN)
OFI_SHARE = Gate(">=", 0.9, Severity.WARN)
QI_SHARE = Gate(">=", 0.9, Severity.WARN)
TIME_REGRESSIONS = Gate("<=", 0.001, Severity.WARN)


@dataclass(slots=True)
class FeatureQuality:
    """Counts over the rows of one partition, added up table by table.

    Attributes:
        imbalance_levels: the k of each `qi_k`.
        rows: all rows.
        valid_rows: rows with `valid`.
        invalid_spans: unbroken runs of rows without it.
        crossed_rows: rows with `crossed`.
        gap_rows: rows with `gap_flag`.
        ofi_null_rows: rows without `ofi_1`.
        qi_rows: valid rows with every `qi_k`.
        first_time: of the first row, ns; None without rows.
        last_time: of the last row, ns.
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
        """Count the rows of the next table."""
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
        """First and last time and the counts of the rows, for the manifest."""
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
        """The counts held against their bars; a share of nothing fails.

        Args:
            book_rows: book rows read.
            book_time_regressions: those whose `origin_time` went back.
        """
        return (
            GateResult.of("feature_rows", self.rows, ROWS, n=book_rows, note="Rows of the sampling clock."),
            GateResult.of(
                "valid_share",
                _share(self.valid_rows, self.rows),
                VALID_SHARE,
                n=self.rows,
                note=f"Rows with a two-sided, seeded book free of doubt; {self.invalid_spans} spans are not.",
            ),
            GateResult.of(
                "ofi_share",
                _share(self.rows - self.ofi_null_rows, self.rows),
                OFI_SHARE,
                n=self.rows,
                note="Rows whose whole flow window is market flow at the best prices.",
            ),
            GateResult.of(
                "qi_share",
                _share(self.qi_rows, self.valid_rows),
                QI_SHARE,
                n=self.valid_rows,
                note="Valid rows that know all the levels the imbalances need.",
            ),
            GateResult.of(
                "time_regressions",
                _share(book_time_regressions, book_rows),
                TIME_REGRESSIONS,
                n=book_rows,
                note="Book rows whose origin_time lay below an earlier one.",
            ),
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    array: NDArray[Any] = table.column(name).combine_chunks().to_numpy(zero_copy_only=False)
    return array
