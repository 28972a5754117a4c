"""Progress of the passes."""

from __future__ import annotations

from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.measurement import measure
from order_book_platform.fidelity.passes.row_progress import report_rows
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
)


def test_progress_is_told(store: DataStore) -> None:
    """Whoever waits sees each stage begin and end."""
    told: list[tuple[str, int, int]] = []
    measure(DayInputs.open(store, KEY), lambda stage, done, total: told.append((stage, done, total)))
    assert {stage for stage, *_ in told} == {"book", "snapshots"}
    for stage in ("book", "snapshots"):
        counts = [(done, total) for name, done, total in told if name == stage]
        assert counts[0][0] == 0
        assert counts[-1][0] == counts[-1][1] > 0


def test_every_batch_is_passed_on_and_counted() -> None:
    """It begins with nothing and ends with the total, also where fewer rows come."""
    told: list[tuple[str, int, int]] = []
    batches = [[1, 2], [3]]
    passed = list(report_rows(iter(batches), lambda *step: told.append(step), "rows", 5))
    assert passed == batches
    assert told == [("rows", 0, 5), ("rows", 2, 5), ("rows", 3, 5), ("rows", 5, 5)]
