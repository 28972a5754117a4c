"""The comparison with held-out snapshots: what is compared, what is left out, and what is taken to be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.datasets.book_sample import sample_books
from order_book_platform.datasets.reconstructed_books.schema import (
    USED_SNAPSHOTS_SCHEMA,
    level_columns,
)
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.levels import DEPTH
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import (
    damage,
    failed,
    value,
)
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    measure,
    publish,
    publish_books,
)
from order_book_platform_tests.oracle import OracleReplay


def test_bad_references_are_left_out_and_counted(store: DataStore, market: Market) -> None:
    """Crossed and unsorted snapshots do not spoil the figures of a good book."""
    prices = market.snapshots.encoded_price.copy()
    prices[9, 0, 0] = prices[9, 1, 0]
    prices[13, 1, [2, 3]] = prices[13, 1, [3, 2]]
    good = market.snapshots
    spoiled = SnapshotBatch(
        good.origin_time, good.received_time, good.sequence_number, prices, good.encoded_size
    )
    publish(store, "snapshots", {"snapshots.parquet": spoiled.to_arrow()})
    measured = measure(store)
    assert failed(measured) == set()
    assert value(measured, "bad_references") == 2.0
    counts = measured.references["snapshots"].defects
    assert (counts["crossed"], counts["unsorted"]) == (1, 1)


def test_references_of_another_day_or_symbol_are_left_out_and_counted(
    store: DataStore, market: Market
) -> None:
    """A time two days off and a price three times as high spoil no figure and show in the counts."""
    good = market.snapshots
    times, prices = good.origin_time.copy(), good.encoded_price.copy()
    times[9] += 2 * 86_400 * 10**9
    prices[13] *= 3
    spoiled = SnapshotBatch(times, good.received_time, good.sequence_number, prices, good.encoded_size)
    publish(store, "snapshots", {"snapshots.parquet": spoiled.to_arrow()})
    measured = measure(store)
    assert failed(measured) == set()
    counts = measured.references["snapshots"]
    assert (counts.other_day, counts.far_off, counts.bad) == (1, 1, 2)
    assert value(measured, "bad_references") == 2.0


@pytest.mark.parametrize("use", ["seeded", "extended", "repaired", "rejected"])
def test_a_snapshot_that_was_used_is_no_evidence_whatever_for(
    store: DataStore, market: Market, replayed: OracleReplay, use: str
) -> None:
    """Named in used_snapshots, a snapshot is never compared: a book that is right there only scores nothing."""
    numbers = market.snapshots.sequence_number
    used = pa.table(
        {name: replayed.used[name].take([0] * len(numbers)) for name in replayed.used.column_names}
    )
    used = used.set_column(0, USED_SNAPSHOTS_SCHEMA.field("sequence_number"), pa.array(numbers))
    used = used.set_column(2, USED_SNAPSHOTS_SCHEMA.field("use"), pa.array([use] * len(numbers)))
    publish_books(store, replayed.rows, used)
    measured = measure(store)
    assert measured.references["snapshots"].held_out == 0
    assert measured.references["snapshots"].used == len(numbers)
    assert value(measured, "bbo_exact_seq") is None
    assert {"bbo_exact_seq", "topk_exact", "depth_l1"} <= failed(measured)


def test_used_snapshots_do_not_improve_the_figures(store: DataStore, replayed: OracleReplay) -> None:
    """A book that is right at the snapshots it used and wrong everywhere else scores nothing."""
    used = pl.Series(replayed.used["sequence_number"].to_numpy())
    wrong = pl.when(~pl.col("sequence_number").is_in(used.implode())).then(1).otherwise(0)
    measured = damage(store, replayed, lambda frame: frame.with_columns(pl.col("bid_0_size_pips") + wrong))
    assert value(measured, "bbo_exact_seq") == 0.0
    assert value(measured, "topk_exact_all") == 0.0


def test_a_book_of_another_depth_is_compared_as_far_as_both_reach(
    store: DataStore, replayed: OracleReplay
) -> None:
    """Five levels in the book, twenty in the snapshots: five are judged."""
    five = replayed.rows.select([*replayed.rows.column_names[:6], *level_columns(5)])
    publish_books(store, five, replayed.used)
    measured = measure(store)
    assert measured.levels["level"].max() == 5
    assert failed(measured) == set()


def test_rows_on_a_grid_are_compared_at_equal_numbers_only(store: DataStore, replayed: OracleReplay) -> None:
    """Between the points of a grid the book has moved on; such references are unmatched, not wrong."""
    publish_books(
        store, replayed.rows.take(list(range(0, len(replayed.rows), 3))), replayed.used, cadence="grid"
    )
    measured = measure(store)
    exact = next(metric for metric in measured.metrics if metric.name == "bbo_exact_seq")
    assert exact.value == 1.0
    assert exact.alignment == "sequence_equal"
    assert exact.unmatched > exact.n > 0


def test_every_level_and_side_is_reported(store: DataStore) -> None:
    """Match and correlations per level, from 1, beside the gated minimum."""
    measured = measure(store)
    names = {metric.name for metric in measured.metrics}
    for side in ("bid", "ask"):
        for level in range(1, DEPTH + 1):
            for kind in (
                "level_exact",
                "depth_l1",
                "depth_corr_pearson",
                "depth_corr_spearman",
                "depth_corr_pearson_detrended",
                "depth_corr_spearman_detrended",
            ):
                assert f"{kind}_{side}_{level}" in names
    assert len(measured.levels) == 2 * DEPTH


def test_the_rows_to_be_drawn_are_taken_on_the_way(store: DataStore) -> None:
    """The picture's sample equals one read from the published book, though the book is read once."""
    measured = measure(store)
    ours, theirs = (
        measured.steps.sample(measured.shown),
        sample_books(store.frame("reconstructed_books", KEY)),
    )
    for name in ("first_ns", "last_ns", "price_pips", "size_pips", "flags"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_a_book_that_nothing_is_held_against_is_drawn_too(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """Without snapshots there is no comparison, but all rows that are shown."""
    store = DataStore(tmp_path / "bare")
    publish(store, "raw_deltas", {"deltas.parquet": market.deltas.to_arrow()})
    publish_books(store, replayed.rows, replayed.used)
    measured = measure(store)
    assert len(measured.shown) == len(measured.steps.rows) > 0
