"""`obp import-recording`: a file becomes a capture, and its day can be materialized."""

from __future__ import annotations

from pathlib import Path

from order_book_platform.model import PartitionKey
from order_book_platform.settings import load_settings
from order_book_platform.sources import DayIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import Platform
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.sources.binance.test_recording_import import content

SYMBOL = "BINANCE_FUTURES:BTC-USDT-PERP"
KEY = PartitionKey.parse(SYMBOL, "1970-01-01")


def test_a_file_becomes_a_capture(tmp_path: Path) -> None:
    """Raw log and live logs are there, the counts are printed, and the day is taken from the capture."""
    platform = Platform(write_settings(tmp_path, keys=[KEY]))
    (tmp_path / "recording").write_bytes(content())
    arguments = ("import-recording", str(tmp_path / "recording"), "--market", "usdm", "--symbol", SYMBOL)
    found = platform.json(*arguments, "--name", "imported")
    assert (found["rows"], found["tick"], found["lot"]) == (7, "0.1", "0.25")
    assert found["instruments"][SYMBOL]["depth_taken"] == 1
    assert [Path(folder).name for folder in found["live"]] == ["from=0"]
    settings = load_settings(platform.config)
    published = DayIngest(DataStore(settings.data_root), settings).run(KEY)
    assert published.manifest.metadata["capture"]["name"] == "imported"
    again = platform.obp(*arguments, "--tick", "0.5", "--lot", "0.25").output
    assert "tick 0.5" in " ".join(again.split())  # however long the folder's path makes the title


def test_mistakes_are_clear_errors(tmp_path: Path) -> None:
    """A symbol of another market is wrong usage, a file that is not there a failure, a tick of 0 wrong usage."""
    platform = Platform(write_settings(tmp_path, keys=[KEY]))
    (tmp_path / "recording").write_bytes(content())
    arguments = ("import-recording", str(tmp_path / "recording"), "--symbol", SYMBOL)
    assert platform.obp(*arguments, "--market", "spot").exit_code == 2
    assert platform.obp(*arguments, "--market", "usdm", "--tick", "0").exit_code == 2
    absent = ("import-recording", str(tmp_path / "absent"), "--market", "usdm", "--symbol", SYMBOL)
    assert platform.obp(*absent).exit_code == 1
