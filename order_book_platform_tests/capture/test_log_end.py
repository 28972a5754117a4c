"""The end of a raw log: the next connection's number, and whether the last process ended in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.capture.log_end import LogEnd, read_log_end
from order_book_platform.capture.row_buffer import Row, batch_of
from order_book_platform.datasets.raw_capture import raw_capture_schema
from order_book_platform.storage import LogWriter

DETAILS = {
    "close": ("close", '{"code":1000,"reason":"","by":"recorder"}'),
    "lost": ("close", '{"code":null,"reason":"","by":"network"}'),
    **{why: ("gap", f'{{"why":"{why}","streams":[]}}') for why in ("killed", "disconnected", "chain")},
}


def write(folder: Path, *segments: list[tuple[int, str]]) -> None:
    """Write rows of (connection, kind), a segment for each list; a gap is named by its reason."""
    with LogWriter(folder, raw_capture_schema("usdm")) as log:
        for segment in segments:
            for connection, kind in segment:
                name, detail = DETAILS.get(kind, (kind, None))
                log.append(batch_of([Row(1, 7, connection, "", name, False, b"", detail)]), whole=True)
            log.rotate()


def test_an_absent_log_begins_with_one(tmp_path: Path) -> None:
    """Nothing was left open."""
    assert read_log_end(tmp_path / "none") == LogEnd(1, False, 0)


def test_connections_without_an_end_were_left_open(tmp_path: Path) -> None:
    """Also where the connection was opened segments ago; what was closed is not."""
    write(
        tmp_path / "log",
        [(0, "rest"), (1, "connect"), (2, "connect"), (1, "message")],
        [(2, "message"), (1, "close")],
        [(2, "message")],
    )
    assert read_log_end(tmp_path / "log") == LogEnd(3, True, 7)


def test_a_killed_gap_is_the_end_of_all_before_it(tmp_path: Path) -> None:
    """What was closed by it is not reported again; connections behind it count."""
    write(tmp_path / "log", [(1, "connect"), (2, "connect")], [(0, "killed"), (3, "connect"), (3, "close")])
    assert read_log_end(tmp_path / "log") == LogEnd(4, False, 7)
    write(tmp_path / "two", [(1, "connect"), (2, "connect")], [(0, "killed"), (0, "rest")], [(0, "rest")])
    assert read_log_end(tmp_path / "two") == LogEnd(3, False, 7)


@pytest.mark.parametrize(
    ("rows", "was_killed"),
    [
        ([(1, "connect"), (1, "close"), (0, "rest")], False),
        ([(1, "connect"), (1, "lost"), (0, "rest")], True),
        ([(1, "connect"), (1, "lost"), (0, "chain")], True),
        ([(1, "connect"), (1, "lost"), (0, "disconnected")], False),
        ([(1, "connect"), (0, "chain"), (1, "close")], False),
        ([(1, "connect"), (1, "close"), (0, "rules")], True),
    ],
)
@pytest.mark.parametrize("tail", [[], [(0, "clock")]], ids=["one segment", "two"])
def test_a_connection_that_was_lost_needs_a_word(
    tmp_path: Path, rows: list[tuple[int, str]], was_killed: bool, tail: list[tuple[int, str]]
) -> None:
    """A process that ends in order says what its lost connections cost; one that was killed while it waited has not."""
    write(tmp_path / "log", rows, *([tail] if tail else []))
    assert read_log_end(tmp_path / "log") == LogEnd(2, was_killed, 7)
