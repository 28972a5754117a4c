"""A market with known truth, replayed once, and stores that hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import Market, publish_books, publish_inputs
from order_book_platform_tests.oracle import OracleReplay


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
