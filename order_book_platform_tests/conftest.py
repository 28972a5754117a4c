"""Fixtures shared by all tests: where the recordings are, and the settings that point at them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from order_book_platform.model import PartitionKey

# Kernels compile at their first call, so no example has a deadline; CI draws the same examples every time.
settings.register_profile("platform", deadline=None, derandomize=bool(os.environ.get("CI")))
# Without the compiler a loop takes some hundred times as long: the same tests, on fewer examples.
settings.register_profile("uncompiled", settings.get_profile("platform"), max_examples=10)
UNCOMPILED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
settings.load_profile("uncompiled" if UNCOMPILED else "platform")

MANY = int(os.environ.get("OBP_EXAMPLES", "30" if UNCOMPILED else "10000"))
"""Examples on which the replay is held against the oracle; a nightly run may set more."""

RECORDED = (
    ("BINANCE:BTC-USDT", "2024-08-08"),
    ("BINANCE:BTC-USDT", "2024-08-09"),
    ("BINANCE_DELIVERY:BTC-USD-PERP", "2024-08-08"),
    ("BINANCE_DELIVERY:BTC-USD-PERP", "2024-08-09"),
    ("BINANCE_FUTURES:BTC-USDT-PERP", "2024-08-08"),
)
"""The five symbol-days of the recordings."""

RECORDED_KEYS = [PartitionKey.parse(*pair) for pair in RECORDED]

LONGEST = (
    "defs/test_backfill.py",
    "replay/test_book.py",
    "reconstruct/day/test_day_checkpoints.py",
    "cli/commands/test_materialize.py",
    "test_recordings.py",
    "kernels/test_compiled.py",
    "test_no_look_ahead.py",
    "fidelity/test_recordings.py",
    "capture/test_recordings.py",
    "test_benchmarks.py",
    "storage/log/test_crash.py",
    "reconstruct/test_decimals.py",
)
"""Files that take longest, the longest first; all others take less than twenty seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is alone with it at the end."""
    tests = Path(__file__).parent
    place = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of the real recordings; absent only for a user who has nothing but the project."""
    folder = Path(os.environ.get("OBP_RECORDINGS", Path(__file__).parents[2] / "shared" / "data")).resolve()
    if not (folder / "lake").is_dir():
        message = (
            f"no recordings: expected {folder}/lake; set OBP_RECORDINGS to the folder of lake/ and truth/"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
