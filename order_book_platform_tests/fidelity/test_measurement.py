"""A faithful book passes every gate; each kind of damage fails the gate that is there for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.datasets.reconstructed_books.schema import (
    books_schema,
    level_columns,
)
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.model import BookFlag, Gate, Severity
from order_book_platform.model.arrays import DEPTH
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import (
    Damage,
    damage,
    failed,
    far_off,
    held_out_row,
    some,
    value,
)
from order_book_platform_tests.fidelity.partitions import (
    DAY_NS,
    POINT,
    Market,
    drop_messages,
    measure,
    publish,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay

TICK = POINT.tick_pips


def shift_levels(frame: pl.DataFrame, side: str, first: int, new: tuple[int, int] | None) -> pl.DataFrame:
    """Insert a level before level `first` (price: ticks from its price, size) or, with None, take it out."""
    columns = {}
    step = -1 if new else 1
    for level in range(first, DEPTH):
        for what in ("price", "size"):
            name, other = f"{side}_{level}_{what}_pips", f"{side}_{level + step}_{what}_pips"
            last = pl.lit(None, pl.Int64)
            columns[name] = pl.col(other) if 0 <= level + step < DEPTH else last
    if new:
        columns[f"{side}_{first}_price_pips"] = pl.col(f"{side}_{first}_price_pips") + new[0] * TICK
        columns[f"{side}_{first}_size_pips"] = pl.lit(new[1], pl.Int64)
    return frame.with_columns(**columns)


def only_some(frame: pl.DataFrame, changed: pl.DataFrame, every: int) -> pl.DataFrame:
    """Every n-th row changed, the others as they were."""
    return (
        pl.concat([frame.with_row_index().filter(~some(every)), changed.with_row_index().filter(some(every))])
        .sort("index")
        .drop("index")
    )


def swap_sides(frame: pl.DataFrame) -> pl.DataFrame:
    """Best bid and best ask exchanged in one row of 111: crossed, and wrong on both sides."""
    names = [f"{side}_0_{what}_pips" for side in ("bid", "ask") for what in ("price", "size")]
    swapped = frame.with_columns(
        **{name: pl.col(("ask" if name.startswith("bid") else "bid") + name[3:]) for name in names}
    )
    return only_some(frame, swapped, 111)


def stale(frame: pl.DataFrame) -> pl.DataFrame:
    """The levels of the row before, in every row."""
    return frame.with_columns(pl.col(level_columns(DEPTH)).shift(1).fill_null(strategy="backward"))


def noisy(frame: pl.DataFrame) -> pl.DataFrame:
    """One level's size multiplied at random."""
    factor = pl.Series(np.random.default_rng(1).integers(1, 9, len(frame)))
    return frame.with_columns(pl.col("ask_7_size_pips") * factor)


DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    "ghost level": (
        lambda frame: shift_levels(
            frame.with_columns(pl.col("bid_3_price_pips") - 1, pl.col("bid_4_price_pips") - 1),
            "bid",
            3,
            (0, 7),
        ),
        {
            "topk_ghost",
            "topk_missing",
            "topk_exact",
            "topk_exact_all",
            "depth_corr_pearson",
            "depth_corr_spearman",
            "depth_corr_pearson_detrended",
            "depth_l1",
        },
    ),
    "swapped side": (
        swap_sides,
        {"bbo_exact_seq", "bbo_rms_seq_bid", "bbo_rms_seq_ask", "crossed_tw"},
    ),
    "stale book": (
        stale,
        {"bbo_exact_seq", "topk_exact", "topk_exact_all", "bbo_rms_seq_bid", "depth_corr_pearson"},
    ),
    "size noise": (
        noisy,
        {
            "topk_exact",
            "topk_exact_all",
            "depth_corr_pearson",
            "depth_corr_spearman",
            "depth_corr_pearson_detrended",
            "depth_corr_spearman_detrended",
            "depth_l1",
        },
    ),
    "one level missing": (
        lambda frame: shift_levels(frame, "ask", 5, None),
        {"topk_missing", "topk_exact", "topk_exact_all", "depth_corr_pearson"},
    ),
    "price off by a tick": (
        lambda frame: frame.with_columns(pl.col("bid_0_price_pips") + TICK),
        {"bbo_exact_seq", "bbo_rms_seq_bid", "topk_exact"},
    ),
    "known depth not claimed": (
        lambda frame: frame.with_columns(known_ask_levels=pl.lit(0, pl.UInt8)),
        {
            "bbo_known_share",
            "bbo_rms_seq_ask",
            "topk_known_share",
            "topk_exact",
            "depth_corr_pearson",
            "depth_corr_spearman",
        },
    ),
    "rows out of order": (
        lambda frame: pl.concat([frame[:100], frame[102:104], frame[100:102], frame[104:]]),
        {"out_of_order_rows"},
    ),
    "never seeded": (
        lambda frame: frame.with_columns(pl.col("flags") & (255 - int(BookFlag.SEEDED))),
        {"bbo_exact_seq", "topk_exact", "crossed_tw", "unseen_references", "placebo_fails"},
    ),
}


def test_a_faithful_book_passes_every_gate(store: DataStore, market: Market, replayed: OracleReplay) -> None:
    """Exact in every figure, all held-out snapshots compared, every placebo failing."""
    measured = measure(store)
    assert failed(measured) == set()
    assert (
        value(measured, "bbo_exact_seq")
        == value(measured, "topk_exact")
        == value(measured, "placebo_fails")
        == 1.0
    )
    counts = measured.references["snapshots"]
    assert counts.used == replayed.used.num_rows
    assert counts.held_out == len(market.snapshots) - replayed.used.num_rows
    assert next(metric.n for metric in measured.metrics if metric.name == "bbo_exact_seq") == counts.held_out


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_fails_the_gates_that_are_there_for_it(
    store: DataStore, replayed: OracleReplay, kind: str
) -> None:
    """No kind of damage passes."""
    change, gates = DAMAGES[kind]
    assert gates <= failed(damage(store, replayed, change))


def test_a_best_price_that_is_not_claimed_counts_as_unknown(
    store: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """Far off, but said to be unknown: the claimed error stays 0; all rows' error, share and exactness show it."""
    here = held_out_row(replayed, market)
    measured = damage(store, replayed, lambda frame: far_off(frame, here, known=0))
    metrics = {metric.gate_name: metric for metric in measured.metrics}
    rows = metrics["bbo_exact_seq"].n
    assert (metrics["bbo_rms_seq_ask"].value, metrics["bbo_rms_seq_ask"].n) == (0.0, rows - 1)
    assert "1 rows that do not claim it are left out" in metrics["bbo_rms_seq_ask"].note
    assert (metrics["bbo_rms_seq_bid"].value, metrics["bbo_rms_seq_bid"].n) == (0.0, rows)
    assert metrics["bbo_rms_all_ask"].value == pytest.approx(500 / np.sqrt(rows))
    assert (metrics["bbo_rms_all_ask"].n, metrics["bbo_rms_all_ask"].gate) == (rows, None)
    assert metrics["bbo_rms_all_bid"].value == 0.0
    assert metrics["bbo_known_share"].value == (rows - 1) / rows
    assert metrics["bbo_exact_seq"].value == (rows - 1) / rows
    assert failed(measured) == {"bbo_exact_seq"}


def test_a_best_price_that_is_claimed_and_wrong_is_an_error(
    store: DataStore, market: Market, replayed: OracleReplay
) -> None:
    """The same price with the claim to know it fails the gate."""
    here = held_out_row(replayed, market)
    measured = damage(store, replayed, lambda frame: far_off(frame, here, known=1))
    assert {"bbo_rms_seq_ask", "bbo_exact_seq"} <= failed(measured)
    assert value(measured, "bbo_rms_seq_ask") == value(measured, "bbo_rms_all_ask")
    assert value(measured, "bbo_known_share") == 1.0


def test_placebos_are_taken_over_the_rows_that_are_scored(store: DataStore, replayed: OracleReplay) -> None:
    """Rows that are not claimed play no part in the placebo of the claimed error either, and it still fails."""
    whole = {metric.name: metric for metric in measure(store).metrics}
    early = pl.int_range(pl.len()) < pl.len() // 2
    measured = damage(store, replayed, lambda frame: far_off(frame, early, known=0))
    half = {metric.name: metric for metric in measured.metrics}
    claimed, every = half["bbo_rms_seq_ask"], half["bbo_rms_all_ask"]
    assert claimed.value == 0.0
    assert claimed.placebo_fails
    for scored, over_all, before in zip(
        claimed.placebos, every.placebos, whole["bbo_rms_seq_ask"].placebos, strict=True
    ):
        assert 0.1 < scored < 100 < over_all
        assert scored != before
    assert half["bbo_known_share"].placebos == ()
    assert value(measured, "placebo_fails") == 1.0


def test_a_book_that_never_knows_its_best_prices_passes_nothing(
    store: DataStore, replayed: OracleReplay
) -> None:
    """A cold book may be right by luck; without a claim there is nothing to score, which fails."""
    cold = [pl.lit(0, pl.UInt8).alias(f"known_{side}_levels") for side in ("bid", "ask")]
    measured = damage(store, replayed, lambda frame: frame.with_columns(cold))
    metrics = {metric.name: metric for metric in measured.metrics}
    for name in ("bbo_rms_seq_bid", "bbo_rms_seq_ask"):
        assert (metrics[name].value, metrics[name].n) == (None, 0)
    assert metrics["bbo_known_share"].value == 0.0
    assert metrics["bbo_rms_all_ask"].value == 0.0
    assert {"bbo_rms_seq_bid", "bbo_rms_seq_ask", "bbo_known_share", "topk_exact"} <= failed(measured)


def test_what_is_lacking_warns_and_what_is_wrong_is_an_error(
    store: DataStore, replayed: OracleReplay
) -> None:
    """The last level gone wherever it is not claimed: nothing that the book says is wrong, so a warning is all."""

    def shorter(frame: pl.DataFrame) -> pl.DataFrame:
        claimed = {side: pl.col(f"known_{side}_levels") == DEPTH for side in ("bid", "ask")}
        return frame.with_columns(
            pl.when(claimed[side])
            .then(pl.col(f"{side}_{DEPTH - 1}_{what}_pips"))
            .alias(f"{side}_{DEPTH - 1}_{what}_pips")
            for side in claimed
            for what in ("price", "size")
        )

    measured = damage(store, replayed, shorter)
    assert [(gate.name, gate.severity) for gate in measured.gates if not gate.passed] == [
        ("topk_exact_all", Severity.WARN)
    ]


def test_lost_messages_are_caught(store: DataStore, market: Market) -> None:
    """Sixteen messages missing: the book was repaired, and snapshots stand on messages nobody has."""
    numbers = np.unique(market.deltas.sequence_number)[700:716]
    lacking = drop_messages(market.deltas, numbers)
    broken = market.replay(lacking)
    publish_inputs(store, lacking, market.snapshots)
    publish_books(store, broken.rows, broken.used)
    measured = measure(store)
    assert {"resyncs", "unseen_references", "bbo_exact_seq", "topk_exact"} <= failed(measured)
    assert value(measured, "unseen_references") == np.isin(market.snapshots.sequence_number, numbers).sum()
    assert value(measured, "placebo_fails") == 1.0


def test_a_placebo_that_passes_fails_the_partition(tmp_path: Path, market: Market) -> None:
    """In a market that stands still any time's reference fits, so the figures show nothing."""
    still = market.snapshots.take(np.zeros(400, dtype=np.intp))
    times = DAY_NS + np.arange(400) * 100_000_000
    numbers = 1_000 + np.arange(400)
    still = SnapshotBatch(times, times, numbers, still.encoded_price, still.encoded_size)
    first = market.deltas.slice(0, int((market.deltas.sequence_number == 1_000).sum()))
    replayed = Market.replay(market, first)
    rows = pa.concat_tables([replayed.rows] * 400).set_column(0, "origin_time", pa.array(times))
    rows = rows.set_column(2, "sequence_number", pa.array(numbers)).cast(books_schema())
    store = DataStore(tmp_path / "still")
    publish_inputs(store, first, still)
    publish(store, "raw_deltas", {"deltas.parquet": pa.table({"sequence_number": numbers})})
    publish_books(store, rows, replayed.used)
    measured = measure(store)
    assert "placebo_fails" in failed(measured)
    assert not {"bbo_exact_seq", "topk_exact"} & failed(measured)


def test_a_book_that_is_far_off_for_a_while_is_not_spared(store: DataStore, replayed: OracleReplay) -> None:
    """Prices tripled in a part of the day: the references there stay evidence, and the gates fail."""
    late = pl.int_range(pl.len()) > 700
    prices = [name for name in level_columns(DEPTH) if "price" in name]
    measured = damage(
        store,
        replayed,
        lambda frame: frame.with_columns(
            pl.when(late).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name) for name in prices
        ),
    )
    assert measured.references["snapshots"].far_off == 0
    assert {"bbo_exact_seq", "bbo_rms_seq_bid", "topk_missing"} <= failed(measured)


def test_without_references_nothing_passes(store: DataStore, market: Market) -> None:
    """No held-out snapshot: every figure that needs one is null and fails."""
    publish(store, "snapshots", {"snapshots.parquet": market.snapshots.take(slice(0, 0)).to_arrow()})
    measured = measure(store)
    needing = {
        metric.gate_name for metric in measured.metrics if metric.gate and metric.alignment == "sequence"
    }
    assert needing | {"unseen_references", "placebo_fails"} == failed(measured)
    assert all(value(measured, name) is None for name in needing)
    assert all(metric.n == 0 for metric in measured.metrics if metric.alignment == "sequence")


def test_without_the_snapshots_partition_nothing_passes(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """The dataset may not exist at all; that is no pass either."""
    store = DataStore(tmp_path / "bare")
    publish(store, "raw_deltas", {"deltas.parquet": market.deltas.to_arrow()})
    publish_books(store, replayed.rows, replayed.used)
    measured = measure(store)
    assert value(measured, "bbo_exact_seq") is None
    assert "bbo_exact_seq" in failed(measured)


def test_where_nothing_could_be_counted_there_is_no_count(store: DataStore, replayed: OracleReplay) -> None:
    """No snapshot was used, and none comes after a seed that never was: null, not 0, and the gates fail."""
    publish_books(store, replayed.rows.slice(0, 0), replayed.used.slice(0, 0))
    found = measure(store)
    for name in ("resyncs", "unseen_references", "out_of_order_rows"):
        assert value(found, name) is None
        assert name in failed(found)


def test_its_gates_are_those_of_the_gated_metrics_in_order(store: DataStore) -> None:
    """A metric without a gate has no result."""
    metrics = (
        Metric("first", 1.0, 5, Gate(">=", 0.9)),
        Metric("reported", 1.0, 5),
        Metric("second", 0.5, 5, Gate(">=", 0.9), reference="tickers"),
    )
    result = replace(measure(store), metrics=metrics)
    assert [(gate.name, gate.passed) for gate in result.gates] == [("first", True), ("second_tickers", False)]
