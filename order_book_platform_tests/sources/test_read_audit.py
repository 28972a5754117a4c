"""Counts of readers: JSON has all of them, those of the base class too."""

from __future__ import annotations

from order_book_platform.sources.read_audit import GridAudit


def test_counts_of_the_base_are_part_of_it() -> None:
    """Metadata name every count, also those that all readers share."""
    assert GridAudit(rows=3, off_grid_sizes=1).to_dict() == {
        "rows": 3,
        "files": 0,
        "unsorted_rows": 0,
        "off_grid_prices": 0,
        "off_grid_sizes": 1,
        "first_off_grid": "",
    }
