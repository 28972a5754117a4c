"""Real recordings: a book seeded and extended from `book` rows, against the exchange's own best prices."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests import oracle
from order_book_platform_tests.conftest import RECORDED, RECORDED_KEYS
from order_book_platform_tests.fidelity.partitions import (
    captured_tickers,
    drop_messages,
    make_settings,
    measure,
    publish,
    publish_books,
    ticker_table,
    with_transaction_times,
)

SYMBOLS = tuple(sorted({symbol for symbol, _ in RECORDED}))
SPOT = "BINANCE:BTC-USDT"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> DataStore:
    """All five symbol-days: deltas, snapshots, tickers, and the oracle's book."""
    root = tmp_path_factory.mktemp("recordings")
    store = DataStore(root / "store")
    for key in RECORDED_KEYS:
        LakeIngest(store, make_settings(root, recordings / "lake", SYMBOLS)).run(key)
        point = store.manifest("raw_deltas", key).fixed_point
        file = next((recordings / "truth" / "book_ticker" / key.path).glob("*.parquet"))
        publish(store, "tickers", {"tickers.parquet": ticker_table(file, point)}, key, **point.to_metadata())
        publish_oracle(store, key, deltas(store, key), point)
    return store


def deltas(store: DataStore, key: PartitionKey) -> DeltaBatch:
    """The partition's deltas."""
    return DeltaBatch.from_arrow(store.table("raw_deltas", key))


def publish_oracle(store: DataStore, key: PartitionKey, batch: DeltaBatch, point: FixedPoint) -> None:
    """Replay with the dicts and publish; a row after every message."""
    snapshots = SnapshotBatch.from_arrow(store.table("snapshots", key))
    replayed = oracle.replay(batch, snapshots, tick_pips=point.tick_pips, every_message=True)
    publish_books(store, replayed.rows, replayed.used, key, **point.to_metadata())


@cache
def measured(store: DataStore, key: PartitionKey) -> FidelityResult:
    """The measurement, made once."""
    return measure(store, key)


def metric(found: FidelityResult, name: str) -> float:
    """A figure by its gate's name."""
    value = next(metric.value for metric in found.metrics if metric.gate_name == name)
    assert value is not None
    return value


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_best_prices_equal_the_exchange_s_own(store: DataStore, key: PartitionKey) -> None:
    """After every message, price and size: exact on futures, but for rows that spot's 20 levels cannot know."""
    exact = metric(measured(store, key), "bbo_exact_seq_tickers")
    assert exact == 1.0 if key.instrument.key != SPOT else exact >= 0.999


def test_best_prices_on_spot_over_both_days(store: DataStore) -> None:
    """Of all spot messages with a ticker at least 99.95 % are exact."""
    rows = [
        row
        for key in RECORDED_KEYS
        if key.instrument.key == SPOT
        for row in measured(store, key).metrics
        if row.gate_name == "bbo_exact_seq_tickers"
    ]
    assert sum((row.value or 0.0) * row.n for row in rows) / sum(row.n for row in rows) >= 0.9995


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_what_a_book_claims_to_know_is_exact(store: DataStore, key: PartitionKey) -> None:
    """On held-out rows: all 40 levels equal wherever all are known, no ghost, none missing, at least 90 % known."""
    found = measured(store, key)
    assert metric(found, "topk_exact") == 1.0
    assert metric(found, "topk_missing") == metric(found, "topk_ghost") == 0.0
    assert metric(found, "topk_known_share") >= 0.9
    assert metric(found, "depth_corr_pearson") == metric(found, "depth_corr_spearman") == 1.0
    for name in ("crossed_tw", "resyncs", "unseen_references", "out_of_order_rows", "bad_references"):
        assert metric(found, name) == 0.0


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_claimed_best_prices_are_exact(store: DataStore, key: PartitionKey) -> None:
    """No claimed best price is off on held-out rows, at least 95 % are claimed, and only warnings may fail."""
    found = measured(store, key)
    assert metric(found, "bbo_rms_seq_bid") == metric(found, "bbo_rms_seq_ask") == 0.0
    assert metric(found, "bbo_known_share") >= 0.95
    assert [
        gate
        for gate in found.gates
        if not gate.passed and gate.severity == "error" and not gate.name.endswith("_tickers")
    ] == []


def test_an_unclaimed_price_shows_in_the_figures_of_all_rows(store: DataStore) -> None:
    """On one spot day the price leaves the known levels in one held-out row: 30 ticks off, and published."""
    found = measured(store, next(key for key in RECORDED_KEYS if key.instrument.key == SPOT))
    assert metric(found, "bbo_rms_all_ask") == pytest.approx(0.54, abs=0.01)


CAPTURES = {
    "BINANCE_FUTURES:BTC-USDT-PERP 2024-08-08": "binance_usdm/btcusdt_20240808.gz",
    "BINANCE_DELIVERY:BTC-USD-PERP 2024-08-08": "binance_coinm/btcusd_perp_20240808.gz",
    "BINANCE_DELIVERY:BTC-USD-PERP 2024-08-09": "binance_coinm/btcusd_perp_20240809.gz",
}


@cache
def captured(store: DataStore, recordings: Path, folder: Path, name: str) -> FidelityResult:
    """A capture with T, measured: deltas, tickers, trades and the oracle's book, a row after every message."""
    key = next(key for key in RECORDED_KEYS if str(key) == name)
    point = store.manifest("raw_deltas", key).fixed_point
    found = DataStore(folder)
    chain = next((recordings / "truth" / "update_chain" / key.path).glob("*.parquet"))
    timed = with_transaction_times(store.table("raw_deltas", key), chain)
    tickers = captured_tickers(recordings / "captures" / CAPTURES[name], point)
    whole = {"raw_deltas": ("deltas", timed), "tickers": ("tickers", tickers)}
    for dataset in ("snapshots", "trades"):
        whole[dataset] = dataset, store.table(dataset, key)
    for dataset, (file, table) in whole.items():
        publish(found, dataset, {f"{file}.parquet": table}, key, **point.to_metadata())
    publish_oracle(found, key, deltas(found, key), point)
    return measure(found, key)


@pytest.fixture(scope="module")
def capture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the captures' stores are."""
    return tmp_path_factory.mktemp("captures")


def test_the_known_figures_by_time_come_out(store: DataStore, recordings: Path, capture_folder: Path) -> None:
    """USD-M: by number exact; by T 99.83 % of prices, 96.29 % with sizes; by arrival 99.45 % and 92.7 %."""
    found = captured(store, recordings, capture_folder, next(iter(CAPTURES)))
    assert metric(found, "bbo_exact_seq_tickers") == 1.0
    for name, known in (
        ("bbo_exact_time", 0.9983),
        ("bbo_exact_time_size", 0.9629),
        ("bbo_exact_arrival", 0.9945),
        ("bbo_exact_arrival_size", 0.927),
    ):
        assert metric(found, f"{name}_tickers") == pytest.approx(known, abs=0.003), name
    for side in ("bid", "ask"):
        assert 0.75 < metric(found, f"bbo_rms_time_{side}_tickers") < 1.25
        assert metric(found, f"bbo_rms_arrival_{side}_tickers") == pytest.approx(2.6, abs=0.1)
        assert metric(found, f"sampling_rms_tw_{side}_tickers") > 10.0


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_passes_every_gate_by_transaction_time(
    store: DataStore, recordings: Path, capture_folder: Path, name: str
) -> None:
    """Prices by T, trades inside the tickers' range; all placebos fail; the book's own range stays below the bar."""
    found = captured(store, recordings, capture_folder, name)
    by_time = [row for row in found.metrics if row.alignment == "transaction_time" and row.gate is not None]
    assert [row.name for row in by_time] == [
        "bbo_exact_time",
        "bbo_rms_time_bid",
        "bbo_rms_time_ask",
        "trade_in_range",
    ]
    assert all(row.result and row.result.passed and row.placebo_fails for row in by_time)
    assert metric(found, "placebo_fails") == 1.0
    # A perfect book made of messages 50 ms apart, for what the bar of the tickers would say of it.
    assert 0.94 < metric(found, "trade_in_range") < 0.99


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_placebos_fail_every_gate(store: DataStore, key: PartitionKey) -> None:
    """The exchange's state of 1 s or 10 s later passes nothing."""
    found = measured(store, key)
    assert metric(found, "placebo_fails") == 1.0
    assert all(row.placebo_fails is not False for row in found.metrics)


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
@pytest.mark.parametrize("spread", [False, True], ids=["in one go", "spread over the day"])
def test_sixteen_lost_messages_are_caught(
    store: DataStore, tmp_path: Path, key: PartitionKey, spread: bool
) -> None:
    """Whether they are lost together or apart, gates fail and the placebos still do."""
    whole = deltas(store, key)
    point = store.manifest("raw_deltas", key).fixed_point
    numbers = np.unique(whole.sequence_number)
    places = (
        np.linspace(100, len(numbers) - 100, 16).astype(int) if spread else np.arange(16) + len(numbers) // 2
    )
    lacking = drop_messages(whole, numbers[places])
    broken = DataStore(tmp_path / "broken")
    publish(broken, "raw_deltas", {"deltas.parquet": lacking.to_arrow()}, key, **point.to_metadata())
    for name in ("snapshots", "tickers"):
        publish(broken, name, {f"{name}.parquet": store.table(name, key)}, key, **point.to_metadata())
    publish_oracle(broken, key, lacking, point)
    failed = {gate.name for gate in measure(broken, key).gates if not gate.passed}
    assert {"resyncs"} <= failed
    assert {"unseen_references", "topk_exact", "bbo_exact_seq"} & failed
    assert "placebo_fails" not in failed


def test_the_report_of_a_recording_is_published(store: DataStore, tmp_path: Path, recordings: Path) -> None:
    """The whole component on real data: page and figures of sensible size."""
    key = RECORDED_KEYS[-1]
    report = FidelityReporter(store, make_settings(tmp_path, recordings / "lake", SYMBOLS)).run(key)
    assert report.passed
    assert int(report.manifest.files["report.html"]["bytes"]) < 2_000_000
