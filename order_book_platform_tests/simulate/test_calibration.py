"""Measuring a market: a simulated recording gives its profile back, and profiles are what recordings say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from order_book_platform.errors import SourceMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.simulate import MarketProfile, MarketSimulator, calibrate, profile, profile_names
from order_book_platform.simulate.calibration import read_recording
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.simulate.small import KEY, read, small_profile

SOURCES = {"btc-perp": "BINANCE_FUTURES", "btc-spot": "BINANCE", "coinm": "BINANCE_DELIVERY"}


@pytest.mark.parametrize("name", profile_names())
def test_profiles_are_what_the_recordings_say(recordings: Path, name: str) -> None:
    """Measuring the recordings again gives the profile that comes with the package."""
    packaged = profile(name)
    keys = [key for key in RECORDED_KEYS if key.instrument.exchange == SOURCES[name]]
    measured = calibrate(
        name, recordings / "lake", recordings / "truth", keys, packaged.price_decimals, packaged.size_decimals
    )
    assert measured == packaged


@pytest.fixture(scope="module", params=profile_names())
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MarketProfile, MarketProfile]:
    """A profile, and what calibration finds in 20,000 messages of its market."""
    wanted, root = profile(request.param), tmp_path_factory.mktemp(request.param)
    MarketSimulator(wanted, 7).write(root, KEY, 20_000)
    found = calibrate("found", root, root / "truth", [KEY], wanted.price_decimals, wanted.size_decimals)
    return wanted, found


def knots(profile_: MarketProfile, table: str, *at: int) -> np.ndarray:  # type: ignore[type-arg]
    """Some quantiles of a table, in 128ths."""
    return np.array([getattr(profile_, table)[knot] for knot in at], float)


def test_rows_and_times_of_messages(pair: tuple[MarketProfile, MarketProfile]) -> None:
    """Rows per message, their tail and their spells, and the time between messages are the recorded ones."""
    wanted, found = pair
    assert knots(found, "rows", 32, 64, 96, 122) == pytest.approx(
        knots(wanted, "rows", 32, 64, 96, 122), rel=0.3, abs=2
    )
    assert knots(found, "interval_ms", 32, 64, 96) == pytest.approx(
        knots(wanted, "interval_ms", 32, 64, 96), abs=2
    )
    assert found.rank_keep == pytest.approx(wanted.rank_keep, abs=0.15 * 65_536)
    assert found.rank_return == pytest.approx(wanted.rank_return, abs=0.2 * 65_536)


def test_where_changes_fall(pair: tuple[MarketProfile, MarketProfile]) -> None:
    """Distances from the best price agree in the middle and in the tail."""
    wanted, found = pair
    at = (16, 32, 64, 96, 112)
    assert knots(found, "distance_ticks", *at) == pytest.approx(
        knots(wanted, "distance_ticks", *at), rel=0.35, abs=3
    )


def test_what_changes_do(pair: tuple[MarketProfile, MarketProfile]) -> None:
    """In every busy bucket deletions, repeated sizes and absent removals have the recorded shares."""
    wanted, found = pair
    compared = 0
    for one, other in zip(wanted.buckets, found.buckets, strict=False):
        if one.upper_ticks != other.upper_ticks or not 50 <= one.upper_ticks <= 5_000:
            continue
        compared += 1
        for field in ("absent", "same", "delete"):
            assert getattr(other, field) == pytest.approx(getattr(one, field), abs=0.18 * 65_536)
        assert other.density == pytest.approx(one.density, rel=0.5)
        assert other.size_lots[64] == pytest.approx(one.size_lots[64], rel=1, abs=10)
    assert compared >= 6


@pytest.mark.parametrize("name", profile_names())
def test_the_share_of_deletions(recordings: Path, tmp_path: Path, name: str) -> None:
    """Removals are the recorded share of all rows: 0.22 on USD-M, 0.48 on spot, 0.43 on COIN-M."""
    MarketSimulator(profile(name), 11).write(tmp_path, KEY, 3_000)
    keys = [key for key in RECORDED_KEYS if key.instrument.exchange == SOURCES[name]]
    recorded = [(read(recordings / "lake", "book_delta_v2", key)["size"] == 0).mean() for key in keys]
    simulated = (read(tmp_path, "book_delta_v2")["size"] == 0).mean()
    assert simulated == pytest.approx(np.mean(recorded), abs=0.05)


def test_the_best_price(pair: tuple[MarketProfile, MarketProfile]) -> None:
    """How often the best bid/ask changes, in bursts or not, how far it moves, and how much stands there."""
    wanted, found = pair
    assert found.tickers_per_message == pytest.approx(wanted.tickers_per_message, rel=0.3)
    assert found.same_ms == pytest.approx(wanted.same_ms, abs=0.12 * 65_536)
    assert found.moves_per_message == pytest.approx(wanted.moves_per_message, rel=0.4)
    assert found.trades_per_ticker == pytest.approx(wanted.trades_per_ticker, rel=0.3)
    assert knots(found, "jump_ticks", 32, 64, 112) == pytest.approx(
        knots(wanted, "jump_ticks", 32, 64, 112), rel=0.5, abs=3
    )
    assert knots(found, "best_size_lots", 64, 112) == pytest.approx(
        knots(wanted, "best_size_lots", 64, 112), rel=0.5
    )
    assert knots(found, "trade_lots", 64, 112) == pytest.approx(
        knots(wanted, "trade_lots", 64, 112), rel=0.5, abs=10
    )


def test_signs_of_the_market(pair: tuple[MarketProfile, MarketProfile]) -> None:
    """What tells the markets apart is found again: times, ids, order of rows, removals beyond the best price."""
    wanted, found = pair
    assert (found.best_first, found.transaction_times) == (wanted.best_first, wanted.transaction_times)
    assert found.id_step == pytest.approx(wanted.id_step, rel=0.3)
    assert found.inside_absent == pytest.approx(wanted.inside_absent, abs=0.03 * 65_536)
    assert found.transaction_lag_ms == pytest.approx(wanted.transaction_lag_ms, abs=3)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    """Calibration of nothing says which table was expected where."""
    with pytest.raises(SourceMissingError, match="expected Parquet files of book_ticker"):
        calibrate("x", tmp_path, tmp_path, [PartitionKey.parse("A:B", "2024-08-08")], 1, 3)


def test_changes_know_what_was_there_before(tmp_path: Path) -> None:
    """Ticks, lots, distance from the best price after the message, and the size before, as a plain loop finds them."""
    MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 60)
    recording = read_recording(tmp_path, tmp_path / "truth", KEY, 2, 3)
    tickers = read(tmp_path, "truth/book_ticker")
    before: dict[tuple[bool, int], int] = {}
    expected = []
    deltas = read(tmp_path, "book_delta_v2").select("sequence_number", "side_is_bid", "price", "size")
    for sequence, is_bid, price, size in deltas.iter_rows():
        ticker = tickers.row(int((tickers["update_id"] <= sequence).sum()) - 1, named=True)
        tick, lots = round(price * 100), round(size * 1000)
        best = round(ticker["bid_price" if is_bid else "ask_price"] * 100)
        distance = best - tick if is_bid else tick - best
        expected.append((sequence, tick, lots, is_bid, distance, before.get((is_bid, tick))))
        before[is_bid, tick] = lots
    assert recording.rows.rows() == expected
    assert recording.messages["rows"].sum() == len(expected)
    assert recording.messages.height == recording.chain.height == 60
    assert recording.trade_lots.tolist() == [
        round(each * 1000) for each in read(tmp_path, "trades")["amount"]
    ]
