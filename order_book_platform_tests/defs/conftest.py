"""Definitions of two symbols, without data."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from order_book_platform.defs import Platform, build_definitions

SETTINGS = """
lake_root = "lake"
data_root = "store"
first_day = "2024-08-08"

[[instruments]]
symbol = "BINANCE:BTC-USDT"

[[instruments]]
symbol = "BINANCE_FUTURES:BTC-USDT-PERP"
"""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The resource over an empty store."""
    file: Path = tmp_path_factory.mktemp("defs") / "platform.toml"
    file.write_text(SETTINGS)
    return Platform.from_file(file)


@pytest.fixture(scope="session")
def definitions(platform: Platform) -> dg.Definitions:
    """All definitions."""
    return build_definitions(platform)
