"""Columns and ranges of single segments: the same of open and sealed ones, encrypted or not, and errors that say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import LogCorruptError, LogKeyError
from order_book_platform.storage import LogWriter
from order_book_platform.storage.log.segment_columns import column_range, segment_bytes, segment_columns
from order_book_platform.storage.log.segments import sealed_path
from order_book_platform.storage.master_keys import MasterKeys

SCHEMA = pa.schema([("time", pa.int64()), ("kind", pa.string()), ("payload", pa.binary())])
KEYS = MasterKeys.new("test")


def write(folder: Path, times: Sequence[int], keys: MasterKeys | None, *, seal: bool) -> None:
    """Write a log of one segment."""
    writer = LogWriter(folder, SCHEMA, keys=keys, row_group_rows=4)
    kinds = ["own" if time % 10 == 0 else "message" for time in times]
    writer.append(pa.record_batch([times, kinds, [b"x"] * len(times)], schema=SCHEMA))
    writer.close(seal=seal)


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["plain", "encrypted"])
def test_open_and_sealed_segments_give_the_same(tmp_path: Path, keys: MasterKeys | None, seal: bool) -> None:
    """The range is that of all rows, wherever the greatest one stands; columns come in the order of the rows."""
    times = [5, 3, 9, 4, 11, 12, 13, 14, 7]
    write(tmp_path, times, keys, seal=seal)
    assert column_range(tmp_path, 0, "time", keys) == (3, 14, 9)
    batches = list(segment_columns(tmp_path, 0, ["time"], keys))
    assert [row for row, _ in batches] == ([0, 4, 8] if seal else [0])
    assert pa.Table.from_batches([batch for _, batch in batches]).to_pydict() == {"time": times}
    assert segment_bytes(tmp_path, 0) > 0


def test_row_groups_that_are_not_wanted_are_left_out(tmp_path: Path) -> None:
    """Statistics of a row group of nothing but messages say so, and it is not read."""
    write(tmp_path, [1, 2, 3, 4, 5, 10, 6, 7], None, seal=True)
    ((row, batch),) = segment_columns(
        tmp_path, 0, ["time"], None, lambda statistics: statistics["kind"] != ("message", "message")
    )
    assert (row, batch.to_pydict()) == (4, {"time": [5, 10, 6, 7]})


def test_a_segment_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    """Somebody may remove an old segment while it is looked at."""
    assert column_range(tmp_path, 0, "time") is None
    assert segment_bytes(tmp_path, 0) == 0


@pytest.mark.parametrize("seal", [False, True])
def test_without_keys_and_damaged(tmp_path: Path, seal: bool) -> None:
    """An encrypted segment needs its keys, and a damaged footer is told as damage."""
    write(tmp_path / "encrypted", [1, 2], KEYS, seal=seal)
    with pytest.raises(LogKeyError):
        column_range(tmp_path / "encrypted", 0, "time")
    with pytest.raises(LogKeyError):
        column_range(tmp_path / "encrypted", 0, "time", MasterKeys.new("another"))
    write(tmp_path / "plain", [1, 2], None, seal=True)
    path = sealed_path(tmp_path / "plain", 0)
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    with pytest.raises(LogCorruptError):
        column_range(tmp_path / "plain", 0, "time")
