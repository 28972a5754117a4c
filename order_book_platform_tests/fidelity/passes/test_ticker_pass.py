"""The comparison with tickers by sequence number: gates carry their name, and claims are scored apart."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import (
    damage,
    failed,
    far_off,
    held_out_row,
    some,
    value,
)
from order_book_platform_tests.fidelity.partitions import (
    Market,
    exact_tickers,
    measure,
    publish,
)
from order_book_platform_tests.oracle import OracleReplay


def test_tickers_are_compared_where_the_dataset_exists(
    store: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """Every book row stands against the last ticker not above its own number; gates carry the reference's name."""
    publish(store, "tickers", {"tickers.parquet": exact_tickers(replayed).slice(10, 2_900)})
    measured = measure(store)
    assert failed(measured) == set()
    exact = next(metric for metric in measured.metrics if metric.gate_name == "bbo_exact_seq_tickers")
    assert exact.value == 1.0
    assert exact.n + exact.unmatched == replayed.rows.num_rows
    assert exact.n == 1_450
    assert measured.windows_reference == "tickers"
    assert measured.snapshot_windows is not None
    assert measured.snapshot_windows["n"].sum() == measured.references["snapshots"].held_out
    of_tickers = {gate.name for gate in measured.gates if gate.name.endswith("_tickers")}
    assert of_tickers == {
        f"{name}_tickers"
        for name in (
            "bbo_exact_seq",
            "bbo_rms_seq_bid",
            "bbo_rms_seq_ask",
            "bbo_known_share",
            "bbo_exact_time",
            "bbo_rms_time_bid",
            "bbo_rms_time_ask",
        )
    }


def test_tickers_too_score_what_is_claimed(store: DataStore, market: Market, replayed: OracleReplay) -> None:
    """Against tickers a far-off price is an error where it is claimed, and only counted where it is not."""
    publish(store, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    here = held_out_row(replayed, market)
    for known, errors in ((0, set()), (1, {"bbo_rms_seq_ask_tickers", "bbo_rms_time_ask_tickers"})):
        measured = damage(store, replayed, lambda frame, known=known: far_off(frame, here, known))
        assert {name for name in failed(measured) if name.endswith("_tickers")} == errors
        assert value(measured, "bbo_rms_all_ask_tickers") == pytest.approx(500 / np.sqrt(len(replayed.rows)))
        assert value(measured, "bbo_known_share_tickers") == pytest.approx(
            1 - (1 - known) / len(replayed.rows)
        )


def test_wrong_best_prices_are_caught_by_tickers(
    store: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """The ticker gates fail on their own where the book's best size is wrong in one row of 400."""
    publish(store, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    off = pl.when(some(400)).then(1).otherwise(0)
    measured = damage(store, replayed, lambda frame: frame.with_columns(pl.col("bid_0_size_pips") + off))
    assert "bbo_exact_seq_tickers" in failed(measured)
