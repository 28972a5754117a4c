"""A day comes from the lake where its deltas are there, else from a capture."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.errors import SourceMissingError
from order_book_platform.settings import load_settings
from order_book_platform.sources import DayIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.sources.binance.test_capture_ingest import KEYS, captured, over_midnight


def test_a_capture_is_taken_where_the_lake_has_nothing(tmp_path: Path) -> None:
    """A day that is nowhere is the lake's error, as before; one that was captured is published from there."""
    settings = load_settings(write_settings(tmp_path, keys=KEYS))
    ingest = DayIngest(DataStore(settings.data_root), settings)
    (tmp_path / "lake").mkdir()
    for call in (ingest.run, ingest.require):
        with pytest.raises(SourceMissingError, match="book_delta_v2"):
            call(KEYS[0])
    captured(tmp_path, over_midnight())
    ingest.require(KEYS[0])
    assert ingest.run(KEYS[0]).manifest.metadata["capture"]["name"] == "usdm"
    # As soon as the lake has a file of the day, the day is the lake's, whatever is wrong with the file.
    folder = tmp_path / "lake" / "book_delta_v2" / KEYS[0].path
    folder.mkdir(parents=True)
    (folder / "1.snappy.parquet").write_bytes(b"no parquet")
    with pytest.raises(Exception, match=r"1\.snappy\.parquet"):
        ingest.run(KEYS[0])
