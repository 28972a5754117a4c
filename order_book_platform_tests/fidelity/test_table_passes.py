"""The passes: what is compared with each reference, what is left out, what is drawn, and the progress that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.datasets.book_sample import sample_books
from order_book_platform.datasets.reconstructed_books.schema import (
    USED_SNAPSHOTS_SCHEMA,
    books_schema,
    level_columns,
)
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.fidelity import measurement
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.table_passes import report_rows
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import DEPTH
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import (
    damage,
    failed,
    far_off,
    held_out_row,
    metrics_by_gate,
    some,
    value,
)
from order_book_platform_tests.fidelity.partitions import (
    DAY_NS,
    KEY,
    Market,
    drop_messages,
    exact_tickers,
    measure,
    publish,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay


def test_progress_is_told(store: DataStore) -> None:
    """Whoever waits sees each stage begin and end."""
    told: list[tuple[str, int, int]] = []
    measurement.measure(
        DayInputs.open(store, KEY), lambda stage, done, total: told.append((stage, done, total))
    )
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


def test_flagged_rows_are_reported(store: DataStore, replayed: OracleReplay) -> None:
    """GAP and HINDSIGHT rows count, other flags do not, and no gate hangs on it."""
    bits = pl.when(some(4)).then(int(BookFlag.GAP)).when(some(3)).then(int(BookFlag.LOCKED)).otherwise(0)
    measured = damage(
        store,
        replayed,
        lambda frame: frame.with_columns((pl.col("flags") | bits.cast(pl.UInt8)).alias("flags")),
    )
    assert value(measured, "flagged_share") == pytest.approx(0.25, abs=0.001)
    assert failed(measured) == set()


@pytest.mark.parametrize("wrong_ns", [0, DAY_NS + 400 * 86_400 * 10**9])
@pytest.mark.parametrize("rows", [(0, 3), (710, 711)])
def test_rows_without_an_origin_time_spoil_nothing_else(
    store: DataStore, replayed: OracleReplay, rows: tuple[int, int], wrong_ns: int
) -> None:
    """0 is a time that is not known: it makes no second, no window and no weight, and is counted."""
    sound = measure(store)
    number = pl.int_range(pl.len())
    wrong = number.is_between(rows[0], rows[1] - 1)
    found = damage(
        store,
        replayed,
        lambda frame: frame.with_columns(
            origin_time=pl.when(wrong).then(pl.lit(wrong_ns)).otherwise(pl.col("origin_time"))
        ),
    )
    assert failed(found) == failed(sound) == set()
    assert (value(sound, "mistimed_rows"), value(found, "mistimed_rows")) == (0, rows[1] - rows[0])
    for name in ("kurtosis", "vol_clustering_1", "crossed_tw", "ks_spread"):
        assert value(found, name) == value(sound, name) is not None, name
    assert found.snapshots.windows["start_ns"].to_list() == sound.snapshots.windows["start_ns"].to_list()
    assert (found.snapshots.windows["n"] > 0).all()
    assert 0 <= found.steps.first_ns - sound.steps.first_ns < 10**9
    assert found.steps.last_ns == sound.steps.last_ns
    assert found.snapshots.level_windows["start_ns"] == sound.snapshots.level_windows["start_ns"]


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
    assert measured.snapshots.levels["level"].max() == 5
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
    assert len(measured.snapshots.levels) == 2 * DEPTH


def test_the_rows_to_be_drawn_are_taken_on_the_way(store: DataStore) -> None:
    """The picture's sample equals one read from the published book, though the book is read once."""
    measured = measure(store)
    ours, theirs = (
        measured.steps.sample(measured.snapshots.shown),
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
    assert len(measured.snapshots.shown) == len(measured.steps.rows) > 0


def test_an_equal_book_passes_and_its_placebos_fail(
    store: DataStore, golden: DataStore, replayed: OracleReplay
) -> None:
    """Each row of the sample that claims all levels is compared with the last row not above its number."""
    measured = measure(store, golden=golden)
    found = metrics_by_gate(measured)
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
    assert metrics_by_gate(measured)["bbo_exact_seq_golden"].value == 1.0
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
    exact = metrics_by_gate(measure(store, golden=golden))["bbo_exact_seq_golden"]
    beyond = int((np.array(replayed.rows["sequence_number"]) > last).sum())
    assert exact.value == 1.0
    assert exact.unmatched == beyond > 0


def test_tickers_of_the_sample_stand_in(store: DataStore, golden: DataStore, replayed: OracleReplay) -> None:
    """Where our store has no ticker stream, that of the capture is evidence."""
    publish(golden, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    found = metrics_by_gate(measure(store, golden=golden))
    assert found["bbo_exact_seq_tickers"].value == 1.0
    assert found["bbo_exact_time_tickers"].value == 1.0


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
    assert measured.tickers is not None
    assert measured.snapshots.windows["n"].sum() == measured.references["snapshots"].held_out
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
