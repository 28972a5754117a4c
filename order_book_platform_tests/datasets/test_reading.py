"""Reading references: the same rows wherever the batches are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.datasets.columns import count_nulls
from order_book_platform.datasets.snapshots import longest_list, read_reference_snapshots
from order_book_platform.datasets.tickers import TICKERS_SCHEMA, TickerRows, read_tickers
from order_book_platform.model.encoding import VERBATIM
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.fidelity.partitions import Market


def write(folder: Path, table: pa.Table, group_rows: int = 100) -> ParquetRows:
    """The table as a file of small row groups."""
    pq.write_table(table, folder / "rows.parquet", row_group_size=group_rows)
    return ParquetRows([folder / "rows.parquet"])


def test_snapshots_that_are_not_admitted_do_not_come(tmp_path: Path, market: Market) -> None:
    """Asked by their numbers, batch by batch; lists of any length keep their place."""
    batch = market.snapshots.take(slice(0, 9))
    prices = batch.encoded_price.copy()
    prices[[1, 4], 0, 3:] = MISSING_PIPS
    uneven = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, uneven.to_arrow(), 4)
    kept = np.array([True, True, False, False, True, False, True, False, True])
    told: list[int] = []

    def admit(numbers: np.ndarray) -> np.ndarray:
        here = kept[len(told) : len(told) + len(numbers)]
        told.extend(numbers.tolist())
        return here

    parts = list(read_reference_snapshots(file, 20, VERBATIM, batch_rows=3, admit=admit))
    whole = type(parts[0]).concat(parts)
    assert told == batch.sequence_number.tolist()
    assert whole.sequence_number.tolist() == batch.sequence_number[kept].tolist()
    assert whole.time_ns.tolist() == batch.origin_time[kept].tolist()
    assert np.array_equal(whole.encoded_price, prices[kept])
    assert np.array_equal(whole.encoded_size, np.where(prices == MISSING_PIPS, 0, batch.encoded_size)[kept])


def test_snapshots_are_filled_up_to_the_longest(tmp_path: Path, market: Market) -> None:
    """K is that of the longest list of the whole file, though a batch may hold shorter ones only."""
    batch = market.snapshots.take(slice(0, 5))
    prices = batch.encoded_price.copy()
    prices[:4, :, 2:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, short.to_arrow(), 2)
    assert longest_list(file, batch_rows=2) == 20
    parts = list(read_reference_snapshots(file, 20, VERBATIM, batch_rows=2))
    whole = type(parts[0]).concat(parts)
    assert np.array_equal(whole.encoded_price, prices)
    assert np.array_equal(whole.encoded_size, np.where(prices == MISSING_PIPS, 0, batch.encoded_size))
    assert whole.cut(2).encoded_price.shape == (5, 2, 2)


@pytest.mark.parametrize("lacking", [False, True])
def test_tickers_without_exchange_time_are_timed_by_arrival(tmp_path: Path, lacking: bool) -> None:
    """One missing origin_time sends all rows to received_time: two clocks must not be mixed."""
    columns = {
        "origin_time": [10, None if lacking else 20],
        "transaction_time": [None, None],
        "received_time": [15, 25],
        "sequence_number": [1, 2],
        "bid_price_pips": [50, 51],
        "bid_size_pips": [1, 2],
        "ask_price_pips": [60, 61],
        "ask_size_pips": [3, 4],
    }
    file = write(tmp_path, pa.table(columns, schema=TICKERS_SCHEMA), 1)
    parts = list(read_tickers(file, VERBATIM))
    whole = type(parts[0]).concat(parts)
    assert whole.time_ns.tolist() == ([15, 25] if lacking else [10, 20])
    assert whole.encoded_price.tolist() == [[[50], [60]], [[51], [61]]]
    assert whole.encoded_size.tolist() == [[[1], [3]], [[2], [4]]]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_tickers_without_the_wanted_clock_are_left_out(tmp_path: Path, batch_rows: int) -> None:
    """A clock that is asked for is never filled in, also where a whole batch lacks it."""
    columns = {
        "origin_time": [10, 20, 30],
        "transaction_time": [9, None, 29],
        "received_time": [15, 25, 35],
        "sequence_number": [1, 2, 3],
        **{name: [5, 6, 7] for name in TICKERS_SCHEMA.names if name.endswith("_pips")},
    }
    table = pa.table({name: columns[name] for name in TICKERS_SCHEMA.names}, schema=TICKERS_SCHEMA)
    file = write(tmp_path, table)
    whole = TickerRows.concat(list(read_tickers(file, VERBATIM, batch_rows, clock="transaction_time")))
    assert (whole.sequence_number.tolist(), whole.time_ns.tolist()) == ([1, 3], [9, 29])
    assert whole.time_ns.dtype == np.int64
    assert count_nulls(file, "transaction_time") == 1


def test_the_longest_list_is_looked_for_no_further_than_needed(tmp_path: Path, market: Market) -> None:
    """A list that is long enough ends the search; otherwise all are looked at."""
    batch = market.snapshots.take(slice(0, 4))
    prices = batch.encoded_price.copy()
    prices[0, :, 5:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, short.to_arrow(), 1)
    assert longest_list(file, 1, enough=5) == 5
    assert longest_list(file, 1, enough=6) == 20
    assert longest_list(file, 1, enough=21) == 20


def test_long_lists_come_fewer_at_a_time(tmp_path: Path, market: Market) -> None:
    """Levels held at once are bounded, whatever their number a row; deeper rows keep all of them."""
    good = market.snapshots.take(slice(0, 6))
    ladder = np.arange(50, dtype=np.int64)
    deep = np.broadcast_to(np.stack([1_000 - ladder, 1_001 + ladder]), (6, 2, 50)).copy()
    long = type(good)(good.origin_time, good.received_time, good.sequence_number, deep, deep)
    parts = list(read_reference_snapshots(write(tmp_path, long.to_arrow()), 20, VERBATIM, batch_rows=5))
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    assert np.array_equal(np.concatenate([part.encoded_price for part in parts]), deep)
