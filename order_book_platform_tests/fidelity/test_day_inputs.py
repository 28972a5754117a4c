"""The tables of a day: opened once, None where they need not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.errors import PartitionMissingError
from order_book_platform.fidelity.day_inputs import DayInputs, input_fingerprints, level_names
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    exact_tickers,
    publish,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay


def test_tables_that_need_not_exist_are_none(
    store: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """Here there are snapshots, but neither tickers nor trades nor a golden sample."""
    day = DayInputs.open(store, KEY)
    assert day.books.num_rows == replayed.rows.num_rows
    assert (day.tickers, day.trades, day.golden) == (None, None, None)
    assert day.snapshot_numbers.tolist() == market.snapshots.sequence_number.tolist()
    assert len(level_names(day.books)) == 80
    assert day.alignment == "sequence"
    assert day.fingerprints == input_fingerprints(store, KEY)
    assert set(day.fingerprints) == {"reconstructed_books", "raw_deltas", "sequence_gap_report", "snapshots"}


def test_rows_at_fixed_times_hold_for_their_own_message(store: DataStore, replayed: OracleReplay) -> None:
    """The alignment of a grid is another one."""
    publish_books(store, replayed.rows, replayed.used, cadence="grid")
    day = DayInputs.open(store, KEY)
    assert day.on_grid
    assert day.alignment == "sequence_equal"


def test_a_golden_sample_lends_its_tickers(store: DataStore, tmp_path: Path, replayed: OracleReplay) -> None:
    """Only where the day has none of its own; the fingerprints name where they come from."""
    golden = DataStore(tmp_path / "golden")
    number = replayed.rows.schema.get_field_index("received_time")
    arrivals = replayed.rows["origin_time"].cast("int64")
    rows = replayed.rows.set_column(number, replayed.rows.schema.field(number), arrivals)
    publish_books(golden, rows, replayed.used)
    publish(golden, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    day = DayInputs.open(store, KEY, golden)
    assert day.tickers is day.golden.tickers is not None
    assert {"golden/reconstructed_books", "golden/tickers"} <= set(day.fingerprints)
    publish(store, "tickers", {"tickers.parquet": exact_tickers(replayed).slice(0, 10)})
    assert DayInputs.open(store, KEY, golden).tickers.num_rows == 10


def test_what_is_lacking_is_named(tmp_path: Path, market: Market) -> None:
    """Books, deltas and gap report have to be there."""
    store = DataStore(tmp_path / "empty")
    publish_inputs(store, market.deltas, market.snapshots)
    with pytest.raises(PartitionMissingError, match="reconstructed_books"):
        DayInputs.open(store, KEY)
