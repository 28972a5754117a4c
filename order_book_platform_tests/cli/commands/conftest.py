"""A copy of the simulated lake for commands that look at a lake and publish nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from order_book_platform_tests.cli.conftest import SETTINGS, Platform

OTHER = "SIMULATED:BTC-USDT-PERP"
RANGE = ("--days", "2024-08-07..2024-08-10")


@pytest.fixture
def fresh(simulated: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The simulated lake, copied, with nothing published; the current folder is beside it."""
    shutil.copytree(simulated.config.parent / "lake", tmp_path / "lake")
    (tmp_path / "platform.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return Platform(tmp_path / "platform.toml")
