"""Parts of the published books, adopted and written on; and how much disk space they take."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import DiskFullError
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform.observability import silent
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.reconstruct.day.book_writer import BookWriter, bytes_of_books, bytes_of_deltas
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.replay import replay_steps
from order_book_platform.settings import ReconstructSettings
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import DataStore, ParquetSink, PartitionWriter
from order_book_platform.storage.disk import SURE_SHARE_OF_INPUT_ESTIMATE, folder_bytes
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def rows(start: int, count: int) -> np.ndarray:
    """Rows of one level a side; every second one is crossed."""
    number = np.arange(start, start + count)
    flags = np.where(number % 2, int(BookFlag.CROSSED), 0)
    head = np.stack([number, number + 1, number, flags, np.ones(count), np.ones(count)], 1)
    return np.hstack([head, np.tile([100, 1, 99, 2], (count, 1))]).astype(np.int64)


def write(writer: PartitionWriter, parts: list[int], wanted: list[int]) -> BookWriter:
    """Write parts of so many rows, those of `parts` before, as an earlier run would have left them."""
    book = BookWriter(writer, 1, VERBATIM)
    for number, count in enumerate(parts):
        book.write(book.table(rows(100 * number, count)))
        book.end_part()
    if wanted:
        other = BookWriter(writer, 1, VERBATIM)
        other.adopt(book.finished)
        book = other
        for number, count in enumerate(wanted, len(parts)):
            book.write(book.table(rows(100 * number, count)))
            book.end_part()
    book.close()
    return book


def test_parts_that_are_adopted_count_as_written(tmp_path: Path) -> None:
    """The hash, the counts and the files are those of a run that wrote them all."""
    store = DataStore(tmp_path)
    found = []
    for parts, wanted in (([3, 4, 2], []), ([3, 4], [2])):
        with store.write("reconstructed_books", KEY) as writer:
            book = write(writer, parts, wanted)
        files = sorted(path.name for path in store.folder("reconstructed_books", KEY).glob("*.parquet"))
        found.append((book.tables.digest.hexdigest(), book.tables.counts, book.rows, book.table_rows, files))
    assert found[0] == found[1]
    assert found[0][1]["crossed_rows"] == 4
    assert found[0][2:] == (9, 9, ["books-00000.parquet", "books-00001.parquet", "books-00002.parquet"])


def test_a_partition_without_rows_has_one_empty_part(tmp_path: Path) -> None:
    """So that readers find its schema."""
    store = DataStore(tmp_path)
    with store.write("reconstructed_books", KEY) as writer:
        write(writer, [], [])
    (path,) = store.folder("reconstructed_books", KEY).glob("*.parquet")
    table: pa.Table = pq.read_table(path)
    assert (path.name, table.num_rows) == ("books-00000.parquet", 0)
    assert "bid_0_price_pips" in table.schema.names


def test_a_part_without_rows_is_none(tmp_path: Path) -> None:
    """Two ends in a row make one part."""
    with DataStore(tmp_path).write("reconstructed_books", KEY) as writer:
        book = BookWriter(writer, 1, VERBATIM)
        book.end_part()
        book.write(book.table(rows(0, 2)))
        book.end_part()
        book.end_part()
        assert [part.name for part in book.finished] == ["books-00000.parquet"]


KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")

Disk = Callable[[int], None]
"""Gives the disk so many bytes of room in all."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short day."""
    folder = tmp_path_factory.mktemp("lake")
    MarketSimulator(profile("btc-perp"), 5).write(folder, KEY, 700, Faults.parse(""))
    return folder


@pytest.fixture
def chain(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """A store whose books lie in a folder that can be a disk of its own, in small parts."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    monkeypatch.setattr("order_book_platform.streaming.pipeline.WATCH_S", 0.001)
    monkeypatch.setattr("order_book_platform.streaming.pipeline.OBSERVE_EVERY", 1)
    return Chain.over(tmp_path, lake, [KEY], reconstruct={"checkpoint_events": 1})


@pytest.fixture(params=["device", "injected"])
def disk(request: pytest.FixtureRequest, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A file system in memory, where this user may mount one; and in any case one whose parts hit a limit."""
    folder = chain.store.root / "reconstructed_books"
    folder.mkdir(parents=True)
    if request.param == "injected":
        yield limited(folder, monkeypatch)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")

    def resize(size_bytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size_bytes}", folder], check=True)

    try:
        yield resize
    finally:
        # Lazily: what a failed writer has open is closed when it is collected.
        subprocess.run(["umount", "--lazy", folder], check=True)


def limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A folder that row groups fill."""
    room = 10**12
    write = ParquetSink._write_group

    def refusing(self: ParquetSink, table: pa.Table) -> None:
        if folder_bytes(folder) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, table)

    def resize(size_bytes: int) -> None:
        nonlocal room
        room = size_bytes

    monkeypatch.setattr(ParquetSink, "_write_group", refusing)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=max(0, room - folder_bytes(folder)))
    )
    return resize


def published(chain: Chain) -> dict[str, str]:
    """Every file of the books and its hash; nothing stands beside them."""
    folder = chain.store.folder("reconstructed_books", KEY)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    chain.store.check("reconstructed_books", KEY)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_disk_that_fills(chain: Chain, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published books stay, the error says how much the rest takes, and with that much the next run ends."""
    monkeypatch.setattr("order_book_platform.storage.disk.in_megabytes", str)
    chain.books(KEY)
    wanted, books = published(chain), chain.store.root / "reconstructed_books"
    whole_bytes, folder = folder_bytes(books), chain.store.folder("reconstructed_books", KEY)
    disk(int(1.7 * whole_bytes))
    with pytest.raises(DiskFullError, match="No space left on device") as caught:
        Reconstructor(chain.store, chain.settings).run(KEY)
    chain.store.check("reconstructed_books", KEY)
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == wanted
    needed = re.search(r"about (\d+) more, estimated from what is written so far", caught.value.expected)
    assert needed
    written_bytes = folder_bytes(folder.with_name(f".building-{folder.name}"))
    assert 0.5 * whole_bytes < written_bytes + int(needed[1]) < 3 * whole_bytes
    # What is needed comes on top of what is there; checkpoints come and go beside it.
    disk(folder_bytes(books) + 3 * int(needed[1]) + 500_000)
    assert Reconstructor(chain.store, chain.settings).run(KEY).run.resumed_from > 0
    assert published(chain) == wanted


def estimate(chain: Chain, key: PartitionKey) -> int:
    """What the books of a day are expected to take."""
    audit = chain.store.manifest("raw_deltas", key).metadata["audit"]
    return bytes_of_deltas(chain.settings.reconstruct, audit["rows"], audit["messages"])


def test_a_disk_that_is_too_small(chain: Chain, disk: Disk) -> None:
    """Nothing is begun, and the published books stay; where the estimate may be too high, the run begins."""
    chain.books(KEY)
    wanted, books = published(chain), chain.store.root / "reconstructed_books"
    least_bytes = SURE_SHARE_OF_INPUT_ESTIMATE * estimate(chain, KEY)
    disk(folder_bytes(books) + int(0.7 * least_bytes))
    with pytest.raises(DiskFullError, match="in all, estimated from its input, found 0 MB free without"):
        Reconstructor(chain.store, chain.settings).run(KEY)
    assert published(chain) == wanted
    disk(folder_bytes(books) + int(2.4 * least_bytes))  # less than they take, and pages are taken whole
    with pytest.raises(DiskFullError, match="No space left on device"):
        Reconstructor(chain.store, chain.settings).run(KEY)


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_recorded_days_take_about_what_is_expected(recordings: Path, tmp_path: Path, depth: int) -> None:
    """Less than the share that is sure never, and hardly more than twice as much."""
    keys = [RECORDED_KEYS[0], RECORDED_KEYS[2], RECORDED_KEYS[4]]
    chain = Chain.over(tmp_path, recordings / "lake", keys, reconstruct={"depth": depth})
    for key in keys:
        chain.books(key)
        found = folder_bytes(chain.store.folder("reconstructed_books", key))
        expected = estimate(chain, key)
        assert 1.5 * SURE_SHARE_OF_INPUT_ESTIMATE * expected < found < 3 * expected


def test_a_grid_takes_no_more_than_its_rows() -> None:
    """However many deltas there are."""
    seconds = ReconstructSettings(cadence="grid", grid="1s", depth=20)
    assert bytes_of_deltas(seconds, 10**9, 10**8) == 86_400 * 210
    assert bytes_of_deltas(seconds, 1_000, 50) == 4_200


def test_a_message_gives_one_row_at_most() -> None:
    """However many levels it names, far from the best price."""
    wanted = ReconstructSettings(depth=20)
    assert bytes_of_deltas(wanted, 1_000, 50) == 4_200
    assert bytes_of_deltas(wanted, 450_000, 1_000) == 210_000


def test_what_is_not_written_yet_is_not_counted(chain: Chain) -> None:
    """Deltas that are applied count as far as their rows have been handed to the writer."""
    chain.books(KEY)
    replay = DayReplay.prepare(chain.store, chain.settings, KEY)
    total = chain.store.rows("raw_deltas", KEY).num_rows
    with chain.store.write("reconstructed_books", KEY) as writer:
        parts = BookWriter(writer, chain.settings.reconstruct.depth, replay.encoding)
        parts.deltas_in_all = total
        writer.expected_bytes = bytes_of_books(
            chain.store, KEY, chain.settings.reconstruct, replay.strategy.name
        )
        assert writer.expected_bytes == estimate(chain, KEY)
        rows = next(replay.rows(chain.store, silent, 5_000)).copy()
        tables = [parts.table(rows) for _ in range(4)]
        for table in tables[:3]:
            parts.write(table)
        parts.end_part()
        parts.applied(total // 2)
        assert writer.stored_share == pytest.approx(0.375, abs=1e-3)
        writer.metadata.update(chain.store.manifest("reconstructed_books", KEY).metadata)
