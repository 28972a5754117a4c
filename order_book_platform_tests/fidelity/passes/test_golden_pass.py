"""The comparison with a golden sample: what it shows, and which rows are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.result import FidelityResult
from order_book_platform.model import BookFlag
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    Market,
    drop_messages,
    exact_tickers,
    measure,
    publish,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay


@pytest.fixture
def golden(tmp_path: Path, replayed: OracleReplay) -> DataStore:
    """Another store with the same book from another recording: its messages arrived 1 ms later."""
    store = DataStore(tmp_path / "golden")
    publish_books(store, later(replayed.rows), replayed.used)
    return store


def later(rows: pa.Table, share: float = 1.0) -> pa.Table:
    """Book rows, so many of which arrived 1 ms later."""
    moved = (pl.int_range(pl.len()) < share * pl.len()).cast(pl.Int64) * 1_000_000
    return pl.from_arrow(rows).with_columns(pl.col("received_time") + moved).to_arrow().cast(rows.schema)


def metrics(measured: FidelityResult) -> dict[str, Metric]:
    """By the name of the gate."""
    return {metric.gate_name: metric for metric in measured.metrics}


def test_an_equal_book_passes_and_its_placebos_fail(
    store: DataStore, golden: DataStore, replayed: OracleReplay
) -> None:
    """Each row of the sample that claims all levels is compared with the last row not above its number."""
    measured = measure(store, golden=golden)
    found = metrics(measured)
    assert all(gate.passed for gate in measured.gates)
    exact = found["bbo_exact_seq_golden"]
    assert (exact.value, exact.alignment, exact.reference) == (1.0, "sequence", "golden")
    assert exact.placebo_fails
    assert found["topk_exact_golden"].value == found["placebo_fails"].value == 1.0
    assert found["depth_l1_golden"].value == 0.0
    counts = measured.references["golden"]
    assert counts.rows == replayed.rows.num_rows == counts.held_out + counts.doubtful
    assert exact.n == counts.held_out


def test_a_loss_that_no_snapshot_shows_is_caught(store: DataStore, golden: DataStore, market: Market) -> None:
    """Messages missing from our recording, and no snapshots at all but the seed: the sample tells."""
    numbers = np.unique(market.deltas.sequence_number)
    lacking = drop_messages(market.deltas, numbers[300:316])
    first = market.snapshots.take(slice(0, 1))
    replayed = market.replay(lacking, extend_every=0)
    publish_inputs(store, lacking, first)
    publish_books(store, replayed.rows, replayed.used)
    failed = {gate.name for gate in measure(store, golden=golden).gates if not gate.passed}
    assert {"bbo_exact_seq_golden", "topk_exact_golden"} <= failed


def test_what_the_sample_does_not_vouch_for_is_left_out(
    store: DataStore, golden: DataStore, replayed: OracleReplay
) -> None:
    """Rows with GAP, before the seed, or without all levels claimed are counted, not compared, however wrong."""
    place = pl.int_range(pl.len())
    rows = pl.from_arrow(replayed.rows)
    doubted = (
        pl.when(place < 50)
        .then(pl.col("flags") & (255 - int(BookFlag.SEEDED)))
        .when(place < 100)
        .then(pl.col("flags") | int(BookFlag.GAP))
        .otherwise(pl.col("flags"))
    )
    claims = pl.when((place >= 100) & (place < 150)).then(19).otherwise(pl.col("known_bid_levels"))
    wrong = pl.when(place < 150).then(7).otherwise(0)
    changed = rows.with_columns(
        received_time=pl.col("received_time") + 1,
        flags=doubted.cast(pl.UInt8),
        known_bid_levels=claims.cast(pl.UInt8),
        bid_0_size_pips=pl.col("bid_0_size_pips") + wrong,
    )
    publish_books(golden, changed.to_arrow().cast(books_schema()), replayed.used)
    measured = measure(store, golden=golden)
    assert metrics(measured)["bbo_exact_seq_golden"].value == 1.0
    assert measured.references["golden"].doubtful >= 150


def test_rows_outside_the_common_window_have_no_partner(
    store: DataStore, golden: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """Our recording ends earlier: what the sample has beyond is unmatched, not wrong."""
    last = int(np.unique(market.deltas.sequence_number)[800])
    ours = market.replay(drop_messages(market.deltas, np.unique(market.deltas.sequence_number)[801:]))
    publish(
        store,
        "raw_deltas",
        {
            "deltas.parquet": market.deltas.to_arrow().filter(
                pl.Series(market.deltas.sequence_number <= last).to_arrow()
            )
        },
    )
    publish_books(store, ours.rows, ours.used)
    exact = metrics(measure(store, golden=golden))["bbo_exact_seq_golden"]
    beyond = int((np.array(replayed.rows["sequence_number"]) > last).sum())
    assert exact.value == 1.0
    assert exact.unmatched == beyond > 0


def test_tickers_of_the_sample_stand_in(store: DataStore, golden: DataStore, replayed: OracleReplay) -> None:
    """Where our store has no ticker stream, that of the capture is evidence."""
    publish(golden, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    found = metrics(measure(store, golden=golden))
    assert found["bbo_exact_seq_tickers"].value == 1.0
    assert found["bbo_exact_time_tickers"].value == 1.0
