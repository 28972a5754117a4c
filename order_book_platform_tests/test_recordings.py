"""The platform on real recordings: what has to hold there, against the exchange's own best bid and ask."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.simulate import Faults, inject_faults
from order_book_platform_tests.chain import Chain, failed
from order_book_platform_tests.conftest import RECORDED_KEYS

MARKETS = ("BINANCE", "BINANCE_DELIVERY", "BINANCE_FUTURES")
NO_TICKER_ROW = [50093478174, 50093480542]
"""Spot messages whose state of the best prices the exchange never sent as a ticker: the row before is another one."""
BEST = ["bid_0_price_pips", "bid_0_size_pips", "ask_0_price_pips", "ask_0_size_pips"]


def of_market(exchange: str) -> list[PartitionKey]:
    """The recorded days of a market, in order."""
    return [key for key in RECORDED_KEYS if key.instrument.exchange == exchange]


def best_matches(chain: Chain, recordings: Path, key: PartitionKey) -> np.ndarray:
    """Per message from the seed on: best bid and ask equal the last ticker row at or before its id."""
    books = chain.store.frame("reconstructed_books", key).select("sequence_number", "flags", *BEST).collect()
    ticker = pl.read_parquet(
        recordings / "truth/book_ticker" / key.path / "*.parquet", hive_partitioning=False
    )
    at = np.searchsorted(ticker["update_id"].to_numpy(), books["sequence_number"].to_numpy(), "right") - 1
    names = ["bid_price", "bid_size", "ask_price", "ask_size"]
    truth = np.stack([float_to_pips(ticker[name].to_numpy(), 8)[0] for name in names], axis=1)[at]
    equal = (books.select(BEST).fill_null(-1).to_numpy() == truth).all(axis=1)
    return equal[(at >= 0) & (books["flags"].to_numpy() & BookFlag.SEEDED != 0)]


def held_out(chain: Chain, key: PartitionKey) -> tuple[np.ndarray, np.ndarray]:
    """Per held-out snapshot: the book knew all levels; all 40 levels are equal."""
    books = chain.store.frame("reconstructed_books", key).collect()
    snapshots = SnapshotBatch.from_arrow(chain.store.table("snapshots", key))
    used = chain.store.table("reconstructed_books", key, "used_snapshots.parquet")[
        "sequence_number"
    ].to_numpy()
    snapshots = snapshots.take(~np.isin(snapshots.sequence_number, used))
    at = np.searchsorted(books["sequence_number"].to_numpy(), snapshots.sequence_number, "right") - 1
    levels = books.select(pl.col("^.*_pips$").fill_null(-1)).to_numpy()[at].reshape(len(at), 2, 20, 2)
    equal = (levels[..., 0] == snapshots.encoded_price) & (levels[..., 1] == snapshots.encoded_size)
    known = (books["known_bid_levels"] == 20) & (books["known_ask_levels"] == 20)
    return known.to_numpy()[at], equal.all(axis=(1, 2))


@pytest.mark.parametrize("continued", [False, True])
def test_best_prices_and_known_depth_are_exact(recordings: Path, tmp_path: Path, continued: bool) -> None:
    """Best prices equal the ticker; where all levels are claimed known they equal every held-out snapshot."""
    wanted = {"cadence": "message", "continue_previous_day": continued}
    chain = Chain.over(tmp_path, recordings / "lake", RECORDED_KEYS, reconstruct=wanted)
    for market in MARKETS:
        best, known, equal = [], [], []
        for key in of_market(market):
            chain.books(key)
            best.append(best_matches(chain, recordings, key))
            day_known, day_equal = held_out(chain, key)
            known.append(day_known)
            equal.append(day_equal)
            assert day_known.mean() >= 0.90, key
            assert day_equal[day_known].all(), key
        exact = np.concatenate(best).mean()
        assert exact == 1 if market != "BINANCE" else exact >= 0.9995, market
        if continued or market != "BINANCE":
            assert np.concatenate(equal).mean() >= 0.975, market


@pytest.mark.parametrize("continued", [False, True])
def test_a_book_seeded_once_disclaims_what_it_cannot_know(
    recordings: Path, tmp_path: Path, continued: bool
) -> None:
    """With the first snapshot alone, a best price is wrong only where the book says that it does not know it."""
    wanted = {"cadence": "message", "extend_every": 0, "continue_previous_day": continued}
    chain = Chain.over(tmp_path, recordings / "lake", RECORDED_KEYS, reconstruct=wanted)
    for market in MARKETS:
        best = []
        for key in of_market(market):
            chain.books(key)
            equal = best_matches(chain, recordings, key)
            books = chain.store.frame("reconstructed_books", key).filter(
                pl.col("flags") & int(BookFlag.SEEDED) != 0
            )
            levels = books.select(
                "sequence_number", known=pl.min_horizontal("known_bid_levels", "known_ask_levels")
            ).collect()[-len(equal) :]
            comparable = ~levels["sequence_number"].is_in(NO_TICKER_ROW).to_numpy()
            assert equal[comparable & (levels["known"].to_numpy() > 0)].all(), key
            best.append(equal[comparable])
        exact = np.concatenate(best).mean()
        assert exact >= (0.9995 if market == "BINANCE" or not continued else 1), market


def test_the_ticker_lacks_a_row_where_the_exchange_s_own_snapshot_disagrees_with_it(recordings: Path) -> None:
    """Seeded with all 1,000 levels of the REST snapshot, plain dicts differ from the ticker at these ids alone."""
    captures = sorted((recordings / "captures/binance_spot").glob("*.gz"))
    lines = [line for path in captures for line in gzip.decompress(path.read_bytes()).splitlines()]
    messages = [json.loads(line.split(b" ", 1)[1]) for line in lines]
    snapshot = next(message for message in messages if "lastUpdateId" in message)
    sides = [{_pips(p): _pips(q) for p, q in snapshot[name]} for name in ("bids", "asks")]
    ticker = pl.read_parquet(
        recordings / "truth/book_ticker/exchange=BINANCE/*/*/*.parquet", hive_partitioning=False
    ).sort("update_id", maintain_order=True)
    names = ["bid_price", "bid_size", "ask_price", "ask_size"]
    truth = np.stack([float_to_pips(ticker[name].to_numpy(), 8)[0] for name in names], axis=1)
    different, seen = [], 0
    for update in (message["data"] for message in messages if "data" in message):
        if update.get("e") != "depthUpdate" or update["u"] <= snapshot["lastUpdateId"]:
            continue
        for levels, name in zip(sides, "ba", strict=True):
            levels.update((_pips(p), _pips(q)) for p, q in update[name])
            for price in [price for price, size in levels.items() if size == 0]:
                del levels[price]
        bid, ask = max(sides[0]), min(sides[1])
        at = int(ticker["update_id"].search_sorted(update["u"], side="right")) - 1
        seen += 1
        if truth[at].tolist() != [bid, sides[0][bid], ask, sides[1][ask]]:
            different.append(update["u"])
    assert seen > 6_000
    assert different == NO_TICKER_ROW


def _pips(decimal: str) -> int:
    return int(Decimal(decimal) * 10**8)


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_all_assets_pass_their_gates_and_repeat_byte_for_byte(
    recordings: Path, tmp_path: Path, key: PartitionKey
) -> None:
    """The whole chain twice over the same files: nothing fails, no byte differs, every hash verifies."""
    chain = Chain.over(tmp_path, recordings / "lake", [key])
    gaps, fidelity, features = chain.all(key)
    assert gaps.report["gaps"] == 0
    assert not [
        gate for gate in (*fidelity.gates, *features.gates) if not gate.passed and gate.severity == "error"
    ]
    files = [path for path in chain.store.root.rglob("*.*") if path.is_file() and "/." not in str(path)]
    before = {path: path.read_bytes() for path in files}
    chain.all(key)
    assert len(before) > 12
    assert {path: path.read_bytes() for path in files} == before
    assert Reconstructor(chain.store, chain.settings).verify(key, batch_rows=4_321).matches


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_sixteen_lost_messages_are_caught(
    recordings: Path, tmp_path: Path, key: PartitionKey, seed: int
) -> None:
    """Wherever they are lost: the gap is found and located, its rows are flagged, gates fail, placebos fail."""
    report = inject_faults(recordings / "lake", tmp_path / "lake", key, Faults.parse("drop=16"), seed)
    lost = report.injected[0]
    chain = Chain.over(tmp_path, tmp_path / "lake", [key])
    gaps, fidelity, _ = chain.all(key)
    found = chain.store.frame("sequence_gap_report", key).collect()
    first, last = lost["first_sequence_number"], lost["last_sequence_number"]
    around = found.filter((pl.col("from_sequence_number") < first) & (pl.col("to_sequence_number") > last))
    assert len(around) >= 1
    assert around["proven"].any()
    books = chain.store.frame("reconstructed_books", key).collect()
    doubtful = books.filter(pl.col("flags") & int(BookFlag.GAP | BookFlag.HINDSIGHT) != 0)
    assert len(doubtful)
    assert doubtful["sequence_number"].min() <= around["to_sequence_number"].min()
    vouched = books.filter(pl.col("flags") & int(BookFlag.GAP) != 0)
    assert vouched["known_bid_levels"].sum() == 0
    assert {"unseen_references"} <= failed(fidelity.gates)
    assert "placebo_fails" not in failed(fidelity.gates)
    assert gaps.report["by_cause"]["unseen_snapshot"] >= 1
