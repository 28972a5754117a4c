"""A short day with faults, shared by the tests of the stages, of restarts and of the spill."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.replay import replay_steps
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform_tests.reconstruct.day_runs import FAULTS, KEY


@pytest.fixture(scope="session")
def faulty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with faults in it."""
    folder = tmp_path_factory.mktemp("faulty_lake")
    MarketSimulator(profile("btc-perp"), 5).write(folder, KEY, 700, Faults.parse(FAULTS))
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts in a short day."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    monkeypatch.setattr(replay_steps, "PART_SNAPSHOTS", 50)
