"""The defects: each changes what it says, and together they are there for every gate."""

from __future__ import annotations

import pytest

from order_book_platform.fidelity.self_test.defects import DEFECTS, Defect
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.fidelity.self_test.oracle import snapshot_pairs
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.conftest import TRIAL_KEY

TABLES = {"frozen": {"books", "snapshots"}, "trades off": {"trades"}}


@pytest.fixture(scope="module")
def day(trial: DataStore) -> InMemoryDay:
    """The sound day."""
    return InMemoryDay.read(trial, TRIAL_KEY)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_changes_what_it_says(day: InMemoryDay, defect: Defect) -> None:
    """Only its tables, and these without another shape; the day that it is put into stays as it was."""
    before = day.books.clone()
    damaged = defect.put(day)
    names = ("books", "used", "snapshots", "tickers", "trades")
    changed = {name for name in names if not getattr(damaged, name).equals(getattr(day, name))}
    assert changed == TABLES.get(defect.name, {"books"})
    for name in names:
        assert getattr(damaged, name).schema == getattr(day, name).schema
        assert len(getattr(damaged, name)) == len(getattr(day, name))
    assert day.books.equals(before)


def test_names_are_unique() -> None:
    """They head the columns of a table."""
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)


def test_injections_hit_rows_that_are_compared(day: InMemoryDay) -> None:
    """A defect in rows that no snapshot belongs to would show nothing."""
    by_name = {defect.name: defect for defect in DEFECTS}
    pairs = {pair.row: pair for pair in snapshot_pairs(day)}
    for name, side, length in (("ghosts", 0, 20), ("hole", 1, 19)):
        after = snapshot_pairs(by_name[name].put(day))
        hit = [pair for pair in after if pair.book != pairs[pair.row].book]
        assert len(hit) > 20
        assert {len(pair.book[side]) for pair in hit} == {length}
        assert all(pair.book[1 - side] == pairs[pair.row].book[1 - side] for pair in hit)
