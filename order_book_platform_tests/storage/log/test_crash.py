"""Killed anywhere, or without power: what was synced is there, once and in order, and sealed files never change."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.storage.log import LogWriter
from order_book_platform_tests.conftest import MANY
from order_book_platform_tests.storage.log.dying import BOUNDARIES, work
from order_book_platform_tests.storage.log.executors import Lazy
from order_book_platform_tests.storage.log.rows import (
    SCHEMA,
    append,
    checked_rows,
    names,
    sealed_hashes,
)

SEGMENT_BYTES = 6_000
KILLS = max(40, MANY // 250)
"""Random kills; a nightly run, which sets OBP_EXAMPLES, has more."""


class Children:
    """The process that forks writers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "order_book_platform_tests.storage.log.dying"],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *, kill_after: int | None = None, **order: Any) -> tuple[bool, int]:
        """Let a child write, perhaps kill it after so many lines; returns if it came to its end, and what it synced."""
        defaults = {
            "seed": 0,
            "steps": 12,
            "segment_bytes": SEGMENT_BYTES,
            "die_at": 0,
            "after": False,
            "seal": False,
        }
        self._say(json.dumps({"folder": str(folder), **defaults, **order}))
        assert self._process.stdout is not None
        pid = synced = 0
        for number, line in enumerate(self._process.stdout, 1):
            words = json.loads(line)
            pid = words.get("pid", pid)
            synced = words.get("synced", synced)
            if number == kill_after:
                os.kill(pid, signal.SIGKILL)  # at whatever it is doing by now, or after its end
            if "ended" in words:
                self._say("")
                assert words["ended"] in (0, signal.SIGKILL)
                return words["ended"] == 0, synced
        raise AssertionError("the process that forks has died")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process that forks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(60) == 0


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """A process that forks writers to be killed."""
    made = Children()
    yield made
    made.close()


def check_after_crash(folder: Path, synced: int, before: dict[str, str]) -> None:
    """All that was synced is read, by a reader at once and after recovery; the log goes on; sealed files stay."""
    if folder.exists():
        assert checked_rows(folder) >= synced
    sealed = sealed_hashes(folder)
    assert sealed.items() >= before.items()
    with LogWriter(folder, SCHEMA, segment_bytes=SEGMENT_BYTES) as writer:
        assert writer.next_row >= synced
        assert checked_rows(folder) == writer.next_row
        append(writer, 3)
    assert checked_rows(folder) == writer.next_row
    assert sealed_hashes(folder).items() >= sealed.items()
    left = {path.name for path in folder.iterdir()}
    assert not [name for name in left if name.startswith((".sealing", "writer"))]
    assert not [name for name in left if name.replace(".log", ".parquet") in left and name.endswith(".log")]


@pytest.mark.usefixtures("no_waiting_for_the_device")
def test_killed_at_random(children: Children, tmp_path: Path) -> None:
    """One log, killed over and over at any instant: before recovery and after it, every synced row is there."""
    folder = tmp_path / "log"
    chance = random.Random(1)
    killed = 0
    for number in range(KILLS):
        before = sealed_hashes(folder)
        ended, synced = children.run(folder, kill_after=chance.randint(1, 14), seed=number, steps=100)
        killed += not ended
        check_after_crash(folder, synced, before)
    assert killed > KILLS // 4


SYNCED = (f"{0:020d}.parquet", f"{0:020d}.log")


def left_by_a_crash(folder: Path) -> int:
    """A log with everything recovery knows: half sealed, sealed twice, cut short. Returns what was synced."""
    with LogWriter(folder, SCHEMA) as writer:
        append(writer, 10)
        twice = next(folder.glob("*.log"))
        content = twice.read_bytes()
        writer.rotate()
        append(writer, 10)
        append(writer, 10)
    twice.write_bytes(content)
    tail = max(folder.glob("*.log"))
    tail.write_bytes(tail.read_bytes()[:-40] + b"OBPf")
    (folder / f".sealing-{tail.stem}.parquet").write_bytes(b"PAR1")
    assert len(names(folder)) == 4
    return 30


@pytest.mark.usefixtures("no_waiting_for_the_device")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crashed_before", [False, True], ids=["new", "crashed before"])
def test_killed_at_every_boundary(
    children: Children, tmp_path: Path, *, after: bool, crashed_before: bool
) -> None:
    """It is the same before and after each sync, rename, removal, cut, creation and write, and inside writes."""
    for number in count(1):
        folder = tmp_path / str(number)
        already = left_by_a_crash(folder) if crashed_before else 0
        before = sealed_hashes(folder)
        ended, synced = children.run(folder, die_at=number, after=after, seed=3, seal=True)
        if ended:
            assert number > 40
            return
        check_after_crash(folder, max(synced, already), before)


# --- without power --------------------------------------------------------------------------------------------------


class Device:
    """The state of a device that lost power: names as of the folder's last sync, bytes as of each file's last sync.

    Every file is also linked into `kept`, so that its bytes can be had when its name is gone, and no number of a file
    is used twice.
    """

    def __init__(self, folder: Path, kept: Path) -> None:
        self.folder = folder
        self.kept = kept
        kept.mkdir()
        self.promised = 0
        self.synced_names: dict[str, int] = {}
        self.synced_bytes: dict[int, bytes] = {}
        self.states: list[tuple[int, dict[str, int], dict[str, int], dict[int, bytes], dict[int, bytes]]] = []

    def names(self) -> dict[str, int]:
        """Return the names as a process sees them now, with the file of each."""
        found = (
            {path.name: path.stat().st_ino for path in self.folder.iterdir()} if self.folder.exists() else {}
        )
        for name, inode in found.items():
            if not (self.kept / str(inode)).exists():
                os.link(self.folder / name, self.kept / str(inode))
        return found

    def look(self) -> None:
        """Record this instant."""
        now = self.names()
        content = {int(path.name): path.read_bytes() for path in self.kept.iterdir()}
        self.states.append((self.promised, dict(self.synced_names), now, dict(self.synced_bytes), content))

    def synced(self, descriptor: int) -> None:
        """Record that a file, or the folder's names, reached the device."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == self.folder:
            self.synced_names = self.names()
        elif path.parent == self.folder:
            self.synced_bytes[os.fstat(descriptor).st_ino] = path.read_bytes()

    def instants(self) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Give, for each instant, the folders that a machine could find afterwards and the rows promised by then."""
        for promised, synced_names, now, synced_bytes, content in self.states:
            namings = [synced_names, now]
            for name in synced_names.keys() ^ now.keys():  # names reach the device in any order
                one = dict(synced_names)
                if name in now:
                    one[name] = now[name]
                else:
                    del one[name]
                namings.append(one)
            for naming in namings:
                for damage in (self._synced, self._zeros, self._half, self._all):
                    yield (
                        promised,
                        {
                            name: damage(synced_bytes.get(inode, b""), content[inode])
                            for name, inode in naming.items()
                        },
                    )

    @staticmethod
    def _synced(synced: bytes, now: bytes) -> bytes:
        return synced

    @staticmethod
    def _zeros(synced: bytes, now: bytes) -> bytes:
        return synced.ljust(len(now), b"\0")

    @staticmethod
    def _half(synced: bytes, now: bytes) -> bytes:
        lost = (len(now) - len(synced)) // 2
        return synced + (bytes(lost) + now[len(synced) + lost :] if lost > 0 else b"")

    @staticmethod
    def _all(synced: bytes, now: bytes) -> bytes:
        return now


@pytest.mark.parametrize("seal_in", [None, Lazy()], ids=["sealed by itself", "sealed later"])
@pytest.mark.parametrize("before", ["new", "crashed", "killed"])
def test_no_power_at_every_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seal_in: Executor | None, before: str
) -> None:
    """Names and bytes that no sync has covered are lost, zero, half there or there: synced rows are, always."""
    folder = tmp_path / "log"
    device = Device(folder, tmp_path / "kept")
    if before == "killed":  # a process, before it had synced anything
        with LogWriter(folder, SCHEMA) as writer:
            append(writer, 10)
            path = next(folder.glob("*.log"))
            content = path.read_bytes()
        path.write_bytes(content)
    if before == "crashed":
        left_by_a_crash(folder)
        device.promised = 10  # and what came later had not been synced
        device.synced_names = {name: inode for name, inode in device.names().items() if name in SYNCED}
        device.synced_bytes = {
            inode: (device.kept / str(inode)).read_bytes() for inode in device.synced_names.values()
        }

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(*arguments: Any, **named: Any) -> Any:
            device.look()
            result = call(*arguments, **named)
            if name == "fsync":
                device.synced(arguments[0])
            device.look()
            return result

        return replaced

    def promise(row: int) -> None:
        device.promised = row

    with monkeypatch.context() as patch:
        for name in set(BOUNDARIES) - {"open"}:
            patch.setattr(os, name, watched(name, getattr(os, name)))
        with LogWriter(folder, SCHEMA, segment_bytes=SEGMENT_BYTES, seal_in=seal_in) as writer:
            promise(writer.synced_row)
            work(writer, 3, 12, promise)
            writer.close(seal=True)
            promise(writer.synced_row)
        device.look()
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    seen = set()
    for number, (promised, files) in enumerate(device.instants()):
        state = (promised, *sorted(files.items()))
        if state in seen:
            continue
        seen.add(state)
        found = tmp_path / f"found-{number}"
        found.mkdir()
        for name, content in files.items():
            (found / name).write_bytes(content)
        assert checked_rows(found) >= promised
        with LogWriter(found, SCHEMA) as writer:
            assert writer.next_row >= promised
            append(writer, 1)
        assert checked_rows(found) == writer.next_row
        shutil.rmtree(found)
    assert len(seen) > 100
