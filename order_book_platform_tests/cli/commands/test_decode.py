"""`obp decode`: the live logs of a capture, once and again."""

from __future__ import annotations

from pathlib import Path

from order_book_platform.storage import LogWriter
from order_book_platform_tests.cli.conftest import Platform
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.sources.binance.test_capture_ingest import KEYS, captured, over_midnight


def test_once_and_again(tmp_path: Path) -> None:
    """The second call goes on at the end of the log; a capture that is not there is a clear error."""
    platform = Platform(write_settings(tmp_path, keys=KEYS))
    rows = over_midnight()
    captured(tmp_path, rows)
    first = platform.json("decode", "--capture", "usdm", "--once")
    assert (first["resumed_from"], first["next_row"]) == (0, len(rows.rows))
    assert first["instruments"]["BINANCE_FUTURES:BTC-USDT-PERP"]["depth_taken"] == 120
    assert platform.json("decode", "--capture", "usdm", "--once")["resumed_from"] == len(rows.rows)
    assert "depth taken" in platform.obp("decode", "--capture", "usdm", "--once").output
    assert platform.obp("decode", "--capture", "none", "--once").exit_code == 1


def test_a_removed_front_is_told(tmp_path: Path) -> None:
    """A log without its oldest segment is decoded from what is there, and the missing rows are named."""
    platform = Platform(write_settings(tmp_path, keys=KEYS))
    rows, folder = over_midnight(), tmp_path / "captures" / "usdm" / "raw"
    with LogWriter(folder, rows.batch().schema) as writer:
        writer.append(over_midnight().batch(0, 20))
        writer.rotate()
        writer.append(rows.batch())
    (folder / f"{0:020d}.parquet").unlink()
    told = "Gap: the first 20 rows have been removed from the log."
    assert told in platform.obp("decode", "--capture", "usdm", "--once").output
    (gap,) = platform.json("decode", "--capture", "usdm", "--once")["recorder_gaps"]
    assert (gap["row"], gap["why"]) == (20, "removed")
