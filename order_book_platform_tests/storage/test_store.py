"""The data store: published whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from order_book_platform.errors import (
    DiskFullError,
    PartitionBusyError,
    PartitionCorruptError,
    PartitionMissingError,
    StorageAccessError,
)
from order_book_platform.model import PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.storage import DataStore, ParquetSink, PartitionWriter
from order_book_platform.version import code_version

KEY = PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-08")
OTHER = PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-09")
SCHEMA = pa.schema([pa.field("time", pa.int64(), nullable=False)])
DATASET = "raw_deltas"


def fill(writer: PartitionWriter, values: list[int]) -> None:
    """Write the files of a small partition."""
    sink = writer.parquet(DATASETS[DATASET].table_file, SCHEMA)
    sink.write(pa.table([pa.array(values, pa.int64())], schema=SCHEMA))
    writer.json("report.json", {"n": len(values)})
    writer.text("report.md", "é\n")
    writer.inputs["source"] = "ab"
    writer.metadata.update(price_decimals=2, size_decimals=5, tick_pips=1, lot_pips=1)


def publish(store: DataStore, values: list[int], key: PartitionKey = KEY) -> None:
    """Publish a small partition."""
    with store.write(DATASET, key) as writer:
        fill(writer, values)


def values(store: DataStore, key: PartitionKey = KEY) -> list[int]:
    """Read the values after every hash has been compared."""
    store.check(DATASET, key)
    found: list[int] = store.table(DATASET, key).column("time").to_pylist()
    return found


def beside(store: DataStore, key: PartitionKey = KEY) -> list[str]:
    """List everything in the folder of the symbol's days."""
    return sorted(path.name for path in store.folder(DATASET, key).parent.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """A store with one published partition."""
    made = DataStore(tmp_path / "store")
    publish(made, [1, 2, 3])
    return made


def test_published(store: DataStore) -> None:
    """Every file is listed with its length and hash, rows are counted, the footer carries the units."""
    manifest = store.check(DATASET, KEY)
    assert sorted(manifest.files) == ["deltas.parquet", "report.json", "report.md"]
    assert manifest.rows == {"deltas.parquet": 3}
    assert (manifest.dataset, manifest.symbol, manifest.day) == (DATASET, "BINANCE:BTC-USDT", "2024-08-08")
    assert manifest.fixed_point.price_decimals == 2
    assert store.report(DATASET, KEY) == {"n": 3}
    assert store.frame(DATASET, KEY).collect()["time"].to_list() == [1, 2, 3]
    footer = pq.read_metadata(store.path(DATASET, KEY, "deltas.parquet")).metadata
    assert b'"price_decimals": 2' in footer[b"order_book_platform"]
    assert beside(store) == ["dt=2024-08-08"]


def test_the_same_content_gives_the_same_bytes(store: DataStore, tmp_path: Path) -> None:
    """Published twice, here and elsewhere: no time of day, no place, no order of arrival in it."""
    other = DataStore(tmp_path / "elsewhere")
    with other.write(DATASET, KEY) as writer:
        writer.text("report.md", "é\n")
        writer.json("report.json", {"n": 3})
        sink = writer.parquet(DATASETS[DATASET].table_file, SCHEMA)
        for value in (1, 2, 3):
            sink.write(pa.table([pa.array([value], pa.int64())], schema=SCHEMA))
        writer.metadata.update(lot_pips=1, tick_pips=1, size_decimals=5, price_decimals=2)
        writer.inputs["source"] = "ab"
    before = {path.name: path.read_bytes() for path in store.folder(DATASET, KEY).iterdir()}
    publish(store, [1, 2, 3])
    assert {path.name: path.read_bytes() for path in store.folder(DATASET, KEY).iterdir()} == before
    assert {path.name: path.read_bytes() for path in other.folder(DATASET, KEY).iterdir()} == before


def test_an_error_leaves_the_old_partition(store: DataStore) -> None:
    """Whatever goes wrong while building, readers keep what they had, and nothing is left beside it."""

    class ComponentError(Exception):
        pass

    for kind in (ComponentError, KeyboardInterrupt):
        with pytest.raises(kind), store.write(DATASET, KEY) as writer:
            fill(writer, [9])
            raise kind
        assert values(store) == [1, 2, 3]
        assert beside(store) == ["dt=2024-08-08"]


def test_readers_see_the_old_partition_until_the_end(store: DataStore) -> None:
    """While the new one is being built, and the new one afterwards; an open file stays readable."""
    opened = store.rows(DATASET, KEY)
    with store.write(DATASET, KEY) as writer:
        fill(writer, [9])
        assert values(store) == [1, 2, 3]
    assert values(store) == [9]
    assert opened.read().column("time").to_pylist() == [1, 2, 3]


def test_a_file_that_is_no_longer_written_disappears(store: DataStore) -> None:
    """A partition is replaced as a whole, not file by file."""
    with store.write(DATASET, KEY) as writer:
        writer.text("note.md", "")
    assert sorted(store.check(DATASET, KEY).files) == ["note.md"]


def test_two_writers_of_one_partition(store: DataStore) -> None:
    """The second is told to wait; another day is free."""
    with store.write(DATASET, KEY) as writer:
        fill(writer, [9])
        with pytest.raises(PartitionBusyError), store.write(DATASET, KEY):
            pass
        publish(store, [5], OTHER)
    assert (values(store), values(store, OTHER)) == ([9], [5])


def test_a_file_that_is_finished_after_it_was_forgotten_is_none(
    store: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that hangs: what began the file is given up, and what it says of it later counts no more."""
    with store.write(DATASET, KEY) as writer:
        writer.parquet("late.parquet", SCHEMA)

        def hangs(_: Path) -> None:
            writer.forget()
            fill(writer, [9])

        monkeypatch.setattr("order_book_platform.storage.partition_writer.sync_path", hangs)
        writer.finish("late.parquet")
        monkeypatch.undo()
        (writer.folder / "late.parquet").unlink()
    assert "late.parquet" not in store.check(DATASET, KEY).files
    assert values(store) == [9]


def test_not_a_number_is_not_json(store: DataStore) -> None:
    """A report that other tools could not read is not published."""
    with pytest.raises(ValueError, match="JSON compliant"), store.write(DATASET, KEY) as writer:
        writer.json("report.json", {"value": float("nan")})
    assert values(store) == [1, 2, 3]


# --- killed ---------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from order_book_platform.storage import DataStore, disk, store as store_module
from order_book_platform_tests.storage.test_store import DATASET, KEY, fill

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(module, name, wanted=lambda *_: True):
    function = getattr(module, name)
    def replaced(*arguments):
        if wanted(*arguments):
            die()
        return function(*arguments)
    setattr(module, name, replaced)

point = sys.argv[2]
if point == "sealed":
    before(store_module, "sync_tree")
elif point == "synced":
    before(store_module, "replace_folder")
elif point == "exchanged":
    before(disk.shutil, "rmtree")
elif point == "aside":
    disk._exchange = lambda one, other: False
    before(Path, "rename", lambda path, to: path.name.startswith(".building"))
elif point == "renamed":
    disk._exchange = lambda one, other: False
    before(disk.shutil, "rmtree")
with DataStore(Path(sys.argv[1])).write(DATASET, KEY) as writer:
    fill(writer, [9])
    if point == "building":
        die()
"""


@pytest.mark.parametrize(
    ("point", "seen", "kept"),
    [
        ("building", [1, 2, 3], [1, 2, 3]),
        ("sealed", [1, 2, 3], [1, 2, 3]),
        ("synced", [1, 2, 3], [1, 2, 3]),
        ("aside", None, [1, 2, 3]),
        ("exchanged", [9], [9]),
        ("renamed", [9], [9]),
    ],
)
def test_kill_9_at_every_boundary(
    store: DataStore, point: str, seen: list[int] | None, kept: list[int]
) -> None:
    """The old partition or the new one, whole; the next writer finds no obstacle and leaves nothing behind.

    Only where the kernel cannot exchange names is there an instant without either; the next writer mends it
    before it does anything else.
    """
    command = [sys.executable, "-c", KILLED, str(store.root), point]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (values(store) if store.exists(DATASET, KEY) else None) == seen

    class GivenUpError(Exception):
        pass

    with pytest.raises(GivenUpError), store.write(DATASET, KEY):
        assert values(store) == kept
        raise GivenUpError
    assert values(store) == kept
    publish(store, [4])
    assert values(store) == [4]
    assert beside(store) == ["dt=2024-08-08"]


# --- full disk ------------------------------------------------------------------------------------------------------


def test_a_full_device(store: DataStore) -> None:
    """The kernel's own "no space left", from a device that is always full: named, and the old one stays."""
    with pytest.raises(DiskFullError) as caught, store.write(DATASET, KEY) as writer:
        (writer.folder / DATASETS[DATASET].table_file).symlink_to("/dev/full")
        sink = writer.parquet(DATASETS[DATASET].table_file, SCHEMA, row_group_rows=1_000)
        numbers = np.random.default_rng(0).integers(0, 2**62, 1_000_000)
        sink.write(pa.table([pa.array(numbers)], schema=SCHEMA))
    assert caught.value.where == str(store.folder(DATASET, KEY))
    assert "No space left on device" in caught.value.found
    assert values(store) == [1, 2, 3]
    assert beside(store) == ["dt=2024-08-08"]


def test_the_kernel_refuses_a_larger_file(store: DataStore) -> None:
    """A limit on the size of files, set for real: the writer of a large partition is told, the old one stays."""
    numbers = pa.table([pa.array(np.random.default_rng(0).integers(0, 2**62, 1_000_000))], schema=SCHEMA)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(DiskFullError, match="File too large"), store.write(DATASET, KEY) as writer:
            writer.parquet(DATASETS[DATASET].table_file, SCHEMA, row_group_rows=10_000).write(numbers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert values(store) == [1, 2, 3]
    publish(store, [9])
    assert values(store) == [9]


@pytest.mark.parametrize("where", ["first rows", "footer", "report", "flush"])
def test_a_disk_full_at_every_step(store: DataStore, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Rows, footer, report or the flush at the end: the same error, the same old partition, a free lock."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    places: dict[str, tuple[object, str]] = {
        "first rows": (ParquetSink, "write"),
        "footer": (ParquetSink, "close"),
        "report": (PartitionWriter, "text"),
        "flush": (os, "fsync"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[where], full)
        with pytest.raises(DiskFullError, match="Free space there and run again"):
            publish(store, [9])
    assert values(store) == [1, 2, 3]
    assert beside(store) == ["dt=2024-08-08"]
    publish(store, [9])
    assert values(store) == [9]


def test_a_data_root_that_is_a_file(tmp_path: Path) -> None:
    """Named as what it is, not as a traceback about some folder below it."""
    (tmp_path / "root").write_text("", encoding="utf-8")
    with pytest.raises(StorageAccessError, match="expected a folder that can be written"):
        publish(DataStore(tmp_path / "root"), [1])


# --- forbidden ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manifest.json", DATASETS[DATASET].table_file])
def test_a_file_that_may_not_be_read_is_not_called_corrupt(
    store: DataStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whether it is damaged nobody can tell: the error says who lacks a right, and to what."""
    path, read_bytes, access = store.folder(DATASET, KEY) / name, Path.read_bytes, os.access

    def refused(self: Path) -> bytes:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr(os, "access", lambda each, mode: each != path and access(each, mode))
    for read in (store.rows, store.frame, store.check):
        with pytest.raises(
            StorageAccessError, match="a file that can be read, found Permission denied"
        ) as caught:
            read(DATASET, KEY)
        assert caught.value.where == str(path)


# --- damaged --------------------------------------------------------------------------------------------------------


def test_absent(store: DataStore) -> None:
    """No partition: the error says how to make it; a partition without that file: what it has."""
    with pytest.raises(PartitionMissingError) as caught:
        store.manifest(DATASET, OTHER)
    assert caught.value.remedy == (
        "Run: obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-09 --select raw_deltas"
    )
    with pytest.raises(
        PartitionMissingError, match=r"expected a file x\.parquet .*, found deltas\.parquet, "
    ):
        store.rows(DATASET, KEY, "x.parquet")
    assert not store.exists(DATASET, OTHER)
    assert not store.exists("trades", KEY)


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Damage a published file behind the store's back."""
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[:-10],
        lambda content: content.replace(b"{", b"[", 1),
        lambda content: content.replace(b'"rows"', b'"rwos"'),
        lambda content: b"\xff" + content,
    ],
)
def test_a_damaged_manifest(store: DataStore, change: Callable[[bytes], bytes]) -> None:
    """Never read as something else; every reader says the same."""
    edit(store.folder(DATASET, KEY) / "manifest.json", change)
    for reader in (store.manifest, store.check, store.table, store.frame, store.report):
        with pytest.raises(PartitionCorruptError, match="expected a readable manifest") as caught:
            reader(DATASET, KEY)
        assert caught.value.where.endswith("manifest.json")
    publish(store, [4])
    assert values(store) == [4]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"raw_deltas", b"trades"),
        (b"BINANCE:BTC-USDT", b"BINANCE:ETH-USDT"),
        (b"2024-08-08", b"2024-08-07"),
    ],
)
def test_a_partition_in_the_wrong_place(store: DataStore, old: bytes, new: bytes) -> None:
    """A folder copied to another symbol or day, is not taken for this one."""
    edit(store.folder(DATASET, KEY) / "manifest.json", lambda content: content.replace(old, new))
    with pytest.raises(
        PartitionCorruptError, match=r"expected raw_deltas of BINANCE:BTC-USDT 2024-08-08, found"
    ):
        store.table(DATASET, KEY)


def test_another_version_of_the_schema(store: DataStore) -> None:
    """The error names dataset, both versions, the code that wrote it, and the command that makes it anew."""
    path = store.folder(DATASET, KEY) / "manifest.json"
    edit(path, lambda content: content.replace(b'"schema_version": 1', b'"schema_version": 7'))
    with pytest.raises(PartitionCorruptError) as caught:
        store.table(DATASET, KEY)
    assert caught.value.expected == "raw_deltas with schema version 1"
    assert caught.value.found == f"schema version 7, written by code {code_version('sources')}"
    assert caught.value.where == str(path)
    assert caught.value.remedy.endswith(
        "obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-08 --select raw_deltas"
    )


@pytest.mark.parametrize("name", ["deltas.parquet", "report.json"])
def test_a_truncated_or_missing_file(store: DataStore, name: str) -> None:
    """Noticed when it is opened, before any row is read."""
    path = store.folder(DATASET, KEY) / name
    readers = [store.check] + ([store.report] if name == "report.json" else [store.table, store.frame])
    edit(path, lambda content: content[:-1])
    for reader in readers:
        with pytest.raises(PartitionCorruptError, match=r"expected \d+ bytes, found \d+ bytes"):
            reader(DATASET, KEY)
    path.unlink()
    for reader in readers:
        with pytest.raises(PartitionCorruptError, match=r"expected \d+ bytes, found no file"):
            reader(DATASET, KEY)


def test_a_flipped_bit(store: DataStore) -> None:
    """The length is right and the content is not: `check` compares hashes, readers refuse what they cannot read."""
    folder = store.folder(DATASET, KEY)
    for name in ("deltas.parquet", "report.json"):
        edit(folder / name, lambda content: content[:-6] + bytes([content[-6] ^ 0xFF]) + content[-5:])
    with pytest.raises(PartitionCorruptError, match=r"expected SHA-256 \w{64}, found \w{64}"):
        store.check(DATASET, KEY)
    with pytest.raises(PartitionCorruptError, match="expected a readable Parquet file"):
        store.table(DATASET, KEY)
    with pytest.raises(PartitionCorruptError, match="expected readable JSON"):
        store.report(DATASET, KEY)


def test_damaged_rows(store: DataStore) -> None:
    """The footer is whole and a page is not: reading the table says so."""
    path = store.folder(DATASET, KEY) / "deltas.parquet"
    edit(path, lambda content: content[:4] + bytes(40) + content[44:])
    with pytest.raises(PartitionCorruptError, match="expected a readable Parquet file"):
        store.table(DATASET, KEY)


# --- listed ---------------------------------------------------------------------------------------------------------


def test_partitions_are_listed_in_order(store: DataStore) -> None:
    """Published ones only: neither what is being built, nor a folder somebody put there."""
    publish(store, [5], OTHER)
    publish(store, [6], PartitionKey.parse("BINANCE:A-USDT", "2024-08-08"))
    folder = store.folder(DATASET, KEY).parent
    (folder / "dt=2024-08-10").mkdir()
    (folder / "dt=2024-08-08.bak").mkdir()
    (folder / "dt=2024-08-08.bak" / "manifest.json").touch()
    with store.write(DATASET, PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-11")) as writer:
        fill(writer, [7])
        found = store.partitions(DATASET)
    assert [str(key) for key in found] == [
        "BINANCE:A-USDT 2024-08-08",
        "BINANCE:BTC-USDT 2024-08-08",
        "BINANCE:BTC-USDT 2024-08-09",
    ]
    assert store.partitions("trades") == []


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary: published, failed and damaged in any order."""

    keys = st.sampled_from([KEY, OTHER])
    content = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(self.temporary())
        self.store = DataStore(self.folder)
        self.model: dict[PartitionKey, list[int]] = {}

    @staticmethod
    def temporary() -> str:
        """A new folder below pytest's own."""
        return os.fspath(StoreMachine.base / str(next(StoreMachine.counter)))

    @rule(key=keys, content=content)
    def publishes(self, key: PartitionKey, content: list[int]) -> None:
        """A partition is written whole."""
        publish(self.store, content, key)
        self.model[key] = content

    @rule(key=keys, content=content)
    def fails(self, key: PartitionKey, content: list[int]) -> None:
        """A component gives up half way."""
        with pytest.raises(ZeroDivisionError), self.store.write(DATASET, key) as writer:
            fill(writer, content)
            raise ZeroDivisionError

    @rule(key=keys)
    def dies(self, key: PartitionKey) -> None:
        """A killed process leaves a half-built folder and its lock file."""
        target = self.store.folder(DATASET, key)
        building = target.with_name(f".building-{target.name}")
        building.mkdir(parents=True, exist_ok=True)
        (building / "deltas.parquet").write_bytes(b"PAR1")
        building.with_name(f"{building.name}.lock").touch()

    @invariant()
    def reads_what_was_published(self) -> None:
        """The store has exactly the partitions of the model, each with its rows and hashes."""
        assert self.store.partitions(DATASET) == sorted(self.model)
        for key, content in self.model.items():
            assert values(self.store, key) == content


@pytest.fixture(autouse=True)
def machine_folder(tmp_path: Path) -> None:
    """Where the machine's stores are."""
    StoreMachine.base = tmp_path / "machine"
    StoreMachine.counter = iter(range(10_000))


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=12)
