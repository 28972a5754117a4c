"""The end of a raw log: the next connection's number, and connections that were left open."""

from __future__ import annotations

from pathlib import Path

from order_book_platform.capture.log_end import LogEnd, read_log_end
from order_book_platform.capture.row_buffer import Row, batch_of
from order_book_platform.datasets.raw_capture import raw_capture_schema
from order_book_platform.storage import LogWriter


def write(folder: Path, *segments: list[tuple[int, str]]) -> None:
    """Write rows of (connection, kind), a segment for each list; `killed` is a gap."""
    with LogWriter(folder, raw_capture_schema("usdm")) as log:
        for segment in segments:
            for connection, kind in segment:
                detail = '{"why":"killed","streams":[]}' if kind == "killed" else None
                name = "gap" if kind == "killed" else kind
                log.append(batch_of([Row(1, 7, connection, "", name, False, b"", detail)]), whole=True)
            log.rotate()


def test_an_absent_log_begins_with_one(tmp_path: Path) -> None:
    """Nothing was left open."""
    assert read_log_end(tmp_path / "none") == LogEnd(1, (), 0)


def test_connections_without_an_end_were_left_open(tmp_path: Path) -> None:
    """Also where the connection was opened segments ago; what was closed is not."""
    write(
        tmp_path / "log",
        [(0, "rest"), (1, "connect"), (2, "connect"), (1, "message")],
        [(2, "message"), (1, "close")],
        [(2, "message")],
    )
    assert read_log_end(tmp_path / "log") == LogEnd(3, (2,), 7)


def test_a_killed_gap_is_the_end_of_all_before_it(tmp_path: Path) -> None:
    """What was closed by it is not reported again; connections behind it count."""
    write(tmp_path / "log", [(1, "connect"), (2, "connect")], [(0, "killed"), (3, "connect"), (3, "close")])
    assert read_log_end(tmp_path / "log") == LogEnd(4, (), 7)
    write(tmp_path / "two", [(1, "connect"), (2, "connect")], [(0, "killed"), (0, "rest")], [(0, "rest")])
    assert read_log_end(tmp_path / "two") == LogEnd(3, (), 7)
