"""Sealing: the sealed form is there before the open one goes, and a half-done one is done again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from order_book_platform.errors import LogCorruptError
from order_book_platform.storage.log import LogWriter, sealing
from order_book_platform.storage.log.sealing import SEALING_PREFIX, finish_sealing, seal
from order_book_platform.storage.log.segments import open_path, sealed_path
from order_book_platform_tests.storage.log.rows import SCHEMA, append, checked_rows, names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with five rows in an open segment."""
    with LogWriter(tmp_path / "log", SCHEMA) as writer:
        append(writer, 5)
    return tmp_path / "log"


def test_the_form_changes_and_the_rows_do_not(folder: Path) -> None:
    """One file is replaced by the other."""
    seal(folder, 0, 5, 2)
    assert names(folder) == ["0.parquet"]
    assert checked_rows(folder) == 5


def test_equal_rows_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    """However they came: in one batch or in several."""
    with LogWriter(tmp_path / "other", SCHEMA) as writer:
        for rows in (2, 1, 2):
            append(writer, rows)
    for each in (folder, tmp_path / "other"):
        seal(each, 0, 5, 2)
    assert sealed_path(folder, 0).read_bytes() == sealed_path(tmp_path / "other", 0).read_bytes()


def test_a_segment_that_ends_elsewhere_stays_open(folder: Path) -> None:
    """Nothing is sealed that is not all there, and nothing is left beside it."""
    with pytest.raises(LogCorruptError, match="expected rows up to 6, found rows up to 5"):
        seal(folder, 0, 6, 2)
    assert names(folder) == ["0.log"]
    assert checked_rows(folder) == 5


@pytest.mark.parametrize("step", ["write_checksum", "sync_path"])
def test_an_error_leaves_the_open_form(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """After an error before the rename the new file is removed, and sealing again succeeds."""

    def fail(path: Path) -> None:
        assert path.name.startswith(SEALING_PREFIX)
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(sealing, step, fail)
        with pytest.raises(OSError, match="no"):
            seal(folder, 0, 5, 2)
    assert names(folder) == ["0.log"]
    seal(folder, 0, 5, 2)
    assert checked_rows(folder) == 5


def test_the_open_form_goes_only_when_the_sealed_one_is_sound(folder: Path) -> None:
    """A damaged or short sealed form keeps it; a sound one is taken as it is, without writing it again."""
    kept = folder.parent / "kept"
    shutil.copytree(folder, kept)
    seal(folder, 0, 5, 2)
    shutil.copy(open_path(kept, 0), open_path(folder, 0))
    with pytest.raises(LogCorruptError, match="expected rows up to 4, found rows up to 5"):
        finish_sealing(folder, 0, 4)
    assert open_path(folder, 0).exists()
    before = sealed_path(folder, 0).stat().st_ino
    seal(folder, 0, 5, 2)
    assert (names(folder), sealed_path(folder, 0).stat().st_ino) == (["0.parquet"], before)
