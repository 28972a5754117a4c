"""A market with known truth, replayed once, and stores that hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.cli.self_test_days import sound_day
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import later
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    make_settings,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay

TRIAL_KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


@pytest.fixture(scope="session")
def market() -> Market:
    """Thirty seconds of a market, a snapshot after every 4th message."""
    return Market()


@pytest.fixture(scope="session")
def replayed(market: Market) -> OracleReplay:
    """The book of all its messages."""
    return market.replay()


@pytest.fixture
def store(tmp_path: Path, market: Market, replayed: OracleReplay) -> DataStore:
    """A store with the market's deltas, snapshots and faithful book."""
    store = DataStore(tmp_path / "store")
    publish_inputs(store, market.deltas, market.snapshots)
    publish_books(store, replayed.rows, replayed.used)
    return store


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> DataStore:
    """A simulated day with tickers and trades, as the self-test has it; whoever changes it puts it back."""
    return sound_day(tmp_path_factory.mktemp("trial"), TRIAL_KEY, 4_000, 1, silent)


@pytest.fixture
def golden(tmp_path: Path, replayed: OracleReplay) -> DataStore:
    """Another store with the same book from another recording: its messages arrived 1 ms later."""
    store = DataStore(tmp_path / "golden")
    publish_books(store, later(replayed.rows), replayed.used)
    return store


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, market: Market, replayed: OracleReplay) -> DataStore:
    """A store with the report of the faithful book."""
    root = tmp_path_factory.mktemp("published")
    store = DataStore(root / "store")
    publish_inputs(store, market.deltas, market.snapshots)
    publish_books(store, replayed.rows, replayed.used)
    report = FidelityReporter(store, make_settings(root)).run(KEY)
    assert report.passed
    assert report.manifest == store.manifest("fidelity_report", KEY)
    assert {gate.name for gate in report.gates} == {m.gate_name for m in report.metrics if m.gate is not None}
    return store
