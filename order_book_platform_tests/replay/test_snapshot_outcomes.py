"""The table of used snapshots: what the book did with each, and those that were rejected, in order."""

from __future__ import annotations

import numpy as np

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.book.replay_arrays import USE_EXTENDED, USE_REPAIRED, USE_SEEDED
from order_book_platform.replay.snapshot_outcomes import SnapshotOutcomes
from order_book_platform.replay.snapshot_scheduler import DueSnapshots
from order_book_platform_tests.streams import CENTRE, snapshot_batch


def shots(*numbers: int) -> SnapshotBatch:
    """Snapshots with these sequence numbers."""
    return snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in numbers])


def due(used: tuple[int, ...], rejected: tuple[int, ...] = ()) -> DueSnapshots:
    """Snapshots of which none is forced."""
    return DueSnapshots(shots(*used), shots(*used), np.zeros(len(used), np.bool_), shots(*rejected))


def outcomes(*uses: int) -> np.ndarray:
    """Outcomes whose counts tell them apart."""
    return np.array([[use, 10 + i, 20 + i, 30 + i] for i, use in enumerate(uses)], np.int64)


def test_used_and_rejected_stand_in_order() -> None:
    """A snapshot that no message reached is left out; rejected ones have no counts."""
    found = SnapshotOutcomes()
    found.add_due(due((10, 30), (20,)))
    found.add_due(due((40, 50)))
    found.add_outcomes(outcomes(USE_SEEDED, USE_REPAIRED, USE_EXTENDED))
    table, counts, seed = found.table()
    assert table.column("sequence_number").to_pylist() == [10, 20, 30, 40]
    assert table.column("use").to_pylist() == ["seeded", "rejected", "repaired", "extended"]
    assert table.column("levels_compared").to_pylist() == [10, 0, 11, 12]
    assert table.column("levels_wrong").to_pylist() == [20, 0, 21, 22]
    assert table.column("levels_added").to_pylist() == [30, 0, 31, 32]
    assert table.column("origin_time").to_pylist() == [1_000, 2_000, 3_000, 4_000]
    assert dict(counts) == {"seeded": 1, "rejected": 1, "repaired": 1, "extended": 1}
    assert seed == 10


def test_nothing_due_is_an_empty_table() -> None:
    """And no snapshot has seeded."""
    table, counts, seed = SnapshotOutcomes().table()
    assert (table.num_rows, dict(counts), seed) == (0, {}, None)


def test_saved_rows_go_on_and_do_not_change() -> None:
    """A later state differs from an earlier one in the rows behind its end alone."""
    first = SnapshotOutcomes()
    first.add_due(due((10,), (20,)))
    first.add_outcomes(outcomes(USE_SEEDED))
    saved = first.saved()
    second = SnapshotOutcomes({name: rows.copy() for name, rows in saved.items()})
    for each in (first, second):
        each.add_due(due((30,)))
        each.add_outcomes(outcomes(USE_EXTENDED))
    assert first.table()[0].equals(second.table()[0])
    assert {name: len(rows) for name, rows in saved.items()} == {"used": 1, "rejected": 1, "outcome": 1}
