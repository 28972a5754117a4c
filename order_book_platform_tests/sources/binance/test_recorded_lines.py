"""Lines of recorded messages: plain or gzip, ns or us, files that follow each other, and errors that name the place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from order_book_platform.errors import (
    SourceAccessError,
    SourceCorruptError,
    SourceError,
    SourceMissingError,
    SourceValueError,
)
from order_book_platform.sources.binance.recorded_lines import read_lines

CONTENT = b'5 {"a": 1}\r\n7 {"b":2} \n3 x y\n'


@pytest.mark.parametrize("name", ["a", "a.gz", "a.ndjson"])
@pytest.mark.parametrize(("unit", "ns"), [("ns", 1), ("us", 1_000)])
def test_lines_are_read(tmp_path: Path, name: str, unit: str, ns: int) -> None:
    """The first blank ends the arrival; what is behind it stays to the byte, but for the end of the line."""
    file = tmp_path / name
    file.write_bytes(gzip.compress(CONTENT) if name != "a.ndjson" else CONTENT)
    found = list(read_lines([file, file], unit))
    assert [(line.arrival_ns, line.message) for line in found[:3]] == [
        (5 * ns, b'{"a": 1}'),
        (7 * ns, b'{"b":2} '),
        (3 * ns, b"x y"),
    ]
    assert found[3:] == found[:3]
    assert found[1].where == f"{file}: line 2"


@pytest.mark.parametrize("line", [b"abc {}", b"-1 {}", b"12", b"12 ", b"1" * 20 + b" {}", b"\xff {}", b""])
def test_a_line_of_another_form_is_named(tmp_path: Path, line: bytes) -> None:
    """The error has file and line."""
    (tmp_path / "recording").write_bytes(CONTENT + line + b"\n")
    with pytest.raises(SourceValueError, match="recording: line 4"):
        list(read_lines([tmp_path / "recording"]))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """An absent file, a cut one, one that is called .gz and is none, and a folder are different errors."""
    cut, plain, empty = tmp_path / "cut.gz", tmp_path / "plain.gz", tmp_path / "empty.gz"
    cut.write_bytes(gzip.compress(CONTENT)[:-10])
    plain.write_bytes(CONTENT)
    empty.write_bytes(b"")
    cases: list[tuple[Path, type[SourceError], str]] = [
        (tmp_path / "absent", SourceMissingError, "a file of recorded messages"),
        (cut, SourceCorruptError, "a whole gzip file"),
        (plain, SourceCorruptError, "does not begin as one"),
        (empty, SourceCorruptError, "does not begin as one"),
        (tmp_path, SourceAccessError, "may read"),
    ]
    for file, kind, words in cases:
        with pytest.raises(kind, match=words) as told:
            list(read_lines([file]))
        assert str(file) in str(told.value)
