"""`tickers`: one clock for all rows, and rows without it left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.columns import count_nulls
from order_book_platform.datasets.tickers import TICKERS_SCHEMA, TickerRows, read_tickers
from order_book_platform.model.encoding import VERBATIM
from order_book_platform_tests.datasets.files import write


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
