"""Folders of dead runs are told apart from those that a run is writing."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform.storage.disk import locked_file
from order_book_platform.storage.store import find_unfinished_work

KEY = PartitionKey.parse("TEST:ABC-USD", "2024-08-08")
DATASET = "reconstructed_books"


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """A store with a folder for symbols."""
    made = DataStore(tmp_path)
    made.folder(DATASET, KEY).parent.mkdir(parents=True)
    return made


def leave(store: DataStore, name: str, *files: str, at_s: int = 1_000) -> Path:
    """Make a folder beside the partition, with files of 1,000 bytes that were last written at that time."""
    folder = store.folder(DATASET, KEY).with_name(f"{name}-dt=2024-08-08")
    folder.mkdir()
    for file in files:
        (folder / file).write_bytes(bytes(1_000))
        os.utime(folder / file, (at_s, at_s))
    os.utime(folder, (0, 0))
    return folder


def test_an_unfinished_partition_and_its_checkpoints(store: DataStore) -> None:
    """They are one: together they have a size, and the time at which something was last written."""
    building = leave(store, ".building", "books-00000.parquet", "books-00001.parquet")
    checkpoints = leave(store, ".checkpoints", "checkpoint-00000001.state", at_s=2_000)
    (found,) = find_unfinished_work(store.root)
    assert (found.dataset, found.key, found.kind) == (DATASET, KEY, "building")
    assert found.folders == (building, checkpoints)
    assert (found.bytes, found.checkpoints, found.is_published) == (3_000, 1, False)
    assert found.newest_ns == 2_000 * 10**9


def test_everything_else(store: DataStore) -> None:
    """Checkpoints alone, spills, what was replaced; not what has another name, or is a file."""
    store.folder(DATASET, KEY).mkdir()
    for name in (".checkpoints", ".spill-0", ".spill-12", ".replaced", ".other"):
        leave(store, name)
    (store.root / DATASET / "exchange=TEST" / "symbol=ABC-USD" / ".replaced-dt=2024-08-09").write_text("")
    (store.root / DATASET / "exchange=TEST" / "symbol=A:B").mkdir()
    (store.root / DATASET / "exchange=TEST" / "symbol=A:B" / ".spill-0-dt=2024-08-08").mkdir()
    found = list(find_unfinished_work(store.root))
    assert [each.kind for each in found] == ["checkpoints", "replaced", "spill", "spill"]
    assert all(each.is_published for each in found)


def test_what_a_run_is_writing_is_not_left(store: DataStore) -> None:
    """While it holds the lock; the lock is as it was afterwards, and the file of a run that was killed is none."""
    lock = leave(store, ".building").with_name(".building-dt=2024-08-08.lock")
    leave(store, ".spill-0")
    with locked_file(lock):
        assert not list(find_unfinished_work(store.root))
    assert len(list(find_unfinished_work(store.root))) == 2
    lock.touch()
    assert len(list(find_unfinished_work(store.root))) == 2
    with locked_file(lock):
        pass


def test_a_run_that_failed_leaves_none(store: DataStore) -> None:
    """A failed run without checkpoints removes its folder."""
    with pytest.raises(KeyboardInterrupt), store.write(DATASET, KEY, keep=True):
        raise KeyboardInterrupt
    assert not list(find_unfinished_work(store.root))


def test_no_store_no_leftovers(tmp_path: Path) -> None:
    """A data root that does not exist is not made."""
    assert not list(find_unfinished_work(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_what_is_published_meanwhile_is_not_left(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that goes while it is looked at is no error, and the others are still told of."""
    building, rest = leave(store, ".building"), leave(store, ".spill-0")
    listed = Path.rglob

    def gone(self: Path, pattern: str) -> Iterator[Path]:
        if self == building and self.exists():
            self.rmdir()
        return listed(self, pattern)

    monkeypatch.setattr(Path, "rglob", gone)
    assert [each.folders for each in find_unfinished_work(store.root)][-1] == (rest,)
    assert not building.exists()


def test_a_look_at_a_lock_turns_no_run_away(store: DataStore) -> None:
    """Who only looks holds the lock for an instant, which a run waits for."""
    lock = store.root / "some.lock"
    lock.touch()
    descriptor = os.open(lock, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    looking = threading.Timer(0.02, os.close, (descriptor,))
    looking.start()
    with locked_file(lock):
        looking.join()
        with pytest.raises(BlockingIOError), lock.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
