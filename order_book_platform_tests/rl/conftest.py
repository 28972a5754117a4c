"""Recordings replayed once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.model import PartitionKey
from order_book_platform_tests.rl.recorded import replay
from order_book_platform_tests.rl.streams import KEY


@pytest.fixture(scope="session")
def usdm_key() -> PartitionKey:
    """The USD-M recording."""
    return KEY


@pytest.fixture(scope="session")
def usdm_books(recordings: Path, usdm_key: PartitionKey) -> pa.Table:
    """Its books after every message, from a plain replay."""
    return replay(recordings, usdm_key)
