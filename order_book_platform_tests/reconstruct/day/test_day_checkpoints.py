"""A reconstruction that dies goes on, and ends with the same bytes as one that was left alone."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.errors import DiskFullError
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor, replay_checkpoints
from order_book_platform.reconstruct.replay_checkpoints import DayCheckpoints
from order_book_platform.replay import replay_steps
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import PartitionWriter
from order_book_platform.storage.checkpoints import Checkpoints
from order_book_platform.storage.partition_writer import FinishedFile
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.reconstruct.crashes import ask
from order_book_platform_tests.reconstruct.day_runs import flip

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
PART_DELTAS = 4_000
INSTANTS = int(os.environ.get("OBP_CRASHES", "200"))
"""Random instants at which a reconstruction is killed."""


@dataclass(frozen=True)
class Crashes:
    """A server of reconstructions that die, and the day they are made of."""

    chain: Chain
    server: subprocess.Popen[str]

    def run(self, command: str) -> tuple[str, list[int]]:
        """How it ended, and what it told: where it went on, and how many boundaries there were if it ended."""
        return ask(self.server, command)

    def forget(self) -> None:
        """Remove everything that was published or left of the books."""
        shutil.rmtree(self.chain.store.root / "reconstructed_books", ignore_errors=True)

    def published(self) -> dict[str, str]:
        """Every file of the partition and its hash; nothing may stand beside the partition."""
        folder = self.chain.store.folder("reconstructed_books", KEY)
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
        self.chain.store.check("reconstructed_books", KEY)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}

    def goes_on(self, wanted: dict[str, str]) -> int:
        """Run to the end: the same bytes; gives the delta it went on from."""
        word, numbers = self.run("whole")
        assert word == "done"
        assert self.published() == wanted
        return numbers[0]


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """A day with faults in it, all inputs of the books published, and the server."""
    folder = tmp_path_factory.mktemp("crashes")
    faults = Faults.parse("drop=16,crossed=2x3s,bad_snapshots=4,silence=1x7s")
    MarketSimulator(profile("btc-perp"), 5).write(folder / "lake", KEY, 700, faults)
    sections = {"reconstruct": {"checkpoint_events": 1}}
    chain = Chain.over(folder, folder / "lake", [KEY], **sections)
    chain.books(KEY)
    settings = write_settings(folder, lake_root=str(folder / "lake"), keys=[KEY], **sections)
    command = [sys.executable, "-m", "order_book_platform_tests.reconstruct.crashes", str(settings)]
    with subprocess.Popen(
        [*command, KEY.instrument.key, KEY.day.isoformat(), str(PART_DELTAS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as server:
        yield Crashes(chain, server)
        server.kill()


@pytest.fixture(scope="module")
def undisturbed(crashes: Crashes) -> dict[str, str]:
    """The files of a run that nothing happened to."""
    crashes.forget()
    assert crashes.run("whole")[0] == "done"
    files = crashes.published()
    assert sum(name.startswith("books-") for name in files) > 5
    return files


def test_killed_at_every_boundary(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """Before each sync, rename and removal of a run; and the run that goes on is killed once more, at its third."""
    boundary, resumed = 0, 0
    while True:
        crashes.forget()
        boundary += 1
        word, _ = crashes.run(f"boundary {boundary}")
        if word == "done":
            break
        assert word == "killed"
        crashes.run("boundary 3")
        resumed += crashes.goes_on(undisturbed) > 0
    assert boundary > 40
    assert resumed > boundary // 2
    assert crashes.published() == undisturbed


def test_killed_at_any_instant(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """Whatever the process was doing."""
    crashes.forget()
    start = time.monotonic()
    crashes.run("whole")
    longest = time.monotonic() - start
    chance, killed, resumed = random.Random(7), 0, 0
    for _ in range(INSTANTS):
        crashes.forget()
        instant = chance.uniform(0, longest)
        word, _ = crashes.run(f"instant {instant:.4f}")
        killed += word == "killed"
        if word == "done":  # other processes had held up the one that was timed
            longest = instant
        resumed += crashes.goes_on(undisturbed) > 0
    assert killed > INSTANTS // 2
    assert resumed > 0


@pytest.mark.parametrize("how", [flip, lambda path: path.write_bytes(path.read_bytes()[:-100]), Path.unlink])
def test_a_damaged_checkpoint_leaves_the_one_before(
    crashes: Crashes, undisturbed: dict[str, str], how: Callable[[Path], None]
) -> None:
    """And without any that can be read the day begins anew; three of them are kept."""
    went_on = []
    for damaged in range(4):
        crashes.forget()
        assert crashes.run("boundary 50")[0] == "killed"
        checkpoints = sorted(
            crashes.chain.store.checkpoints("reconstructed_books", KEY).folder.glob("*.state")
        )
        assert len(checkpoints) == 3
        for path in checkpoints[3 - damaged :]:
            how(path)
        went_on.append(crashes.goes_on(undisturbed))
    assert went_on == sorted(set(went_on), reverse=True)
    assert went_on[-1] == 0


@pytest.mark.parametrize("how", [flip, Path.unlink])
def test_a_damaged_part_is_made_again(
    crashes: Crashes, undisturbed: dict[str, str], how: Callable[[Path], None]
) -> None:
    """Only what stands before it is taken up."""
    crashes.forget()
    assert crashes.run("boundary 50")[0] == "killed"
    folder = crashes.chain.store.folder("reconstructed_books", KEY)
    parts = sorted(folder.with_name(f".building-{folder.name}").glob("books-*.parquet"))
    how(parts[-2])
    assert 0 < crashes.goes_on(undisturbed) <= PART_DELTAS * (len(parts) - 1)


def test_what_was_refused_is_counted(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """A damaged checkpoint, and a part that cannot be read: each costs one checkpoint, and the run says so."""
    crashes.forget()
    assert crashes.run("boundary 50")[0] == "killed"
    store = crashes.chain.store
    folder = store.folder("reconstructed_books", KEY)
    checkpoints = sorted(store.checkpoints("reconstructed_books", KEY).folder.glob("*.state"))
    flip(checkpoints[-1])
    kept = store.checkpoints("reconstructed_books", KEY)
    names = [[each["name"] for each in found.facts["parts"]] for found in kept.newest_first()]
    part = folder.with_name(f".building-{folder.name}") / names[0][-1]
    part.unlink()
    part.mkdir()
    result = Reconstructor(store, crashes.chain.settings).run(KEY)
    assert result.run.checkpoints_refused == 2
    assert result.run.resumed_from > 0


def test_checkpoints_of_what_was_published_are_not_refused(
    crashes: Crashes, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that died right after publishing leaves them behind: the next one begins anew, and nothing is damaged."""
    crashes.forget()
    monkeypatch.setattr(replay_steps, "PART_DELTAS", PART_DELTAS)
    clear = Checkpoints.clear

    def dying(self: Checkpoints) -> None:
        if self.exist():
            raise KeyboardInterrupt
        clear(self)

    store, settings = crashes.chain.store, crashes.chain.settings
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "clear", dying)
        with pytest.raises(KeyboardInterrupt):
            Reconstructor(store, settings).run(KEY)
    assert store.checkpoints("reconstructed_books", KEY).exist()
    result = Reconstructor(store, settings).run(KEY)
    assert (result.run.checkpoints_refused, result.run.resumed_from) == (0, 0)
    assert crashes.published() == undisturbed


@pytest.mark.parametrize("library", ["numba", "numpy", "pyarrow"])
def test_what_was_left_by_another_version_of_a_library_is_not_taken_up(
    crashes: Crashes, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """It may give other bytes for the same rows."""
    crashes.forget()
    assert crashes.run("boundary 50")[0] == "killed"
    monkeypatch.setattr(replay_steps, "PART_DELTAS", PART_DELTAS)
    monkeypatch.setattr(replay_checkpoints, "version", lambda name: "0" if name == library else version(name))
    result = Reconstructor(crashes.chain.store, crashes.chain.settings).run(KEY)
    assert result.run.resumed_from == 0
    assert crashes.published() == undisturbed


def test_a_run_that_ends_before_it_has_looked_loses_nothing(
    crashes: Crashes, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that is missing, or an interrupt meanwhile: what was left is there for the run after it."""
    crashes.forget()
    assert crashes.run("boundary 50")[0] == "killed"

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DayCheckpoints, "_is_whole", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Reconstructor(crashes.chain.store, crashes.chain.settings).run(KEY)
    assert crashes.goes_on(undisturbed) > 0


def test_checkpoints_go_before_another_run_can_come(
    crashes: Crashes, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are removed under the lock of the partition: the next run's are its own."""
    crashes.forget()
    store, held = crashes.chain.store, []
    folder = store.folder("reconstructed_books", KEY)
    lock = folder.with_name(f".building-{folder.name}.lock")
    clear = Checkpoints.clear

    def watched(self: Checkpoints) -> None:
        held.append(lock.exists())
        clear(self)

    monkeypatch.setattr(Checkpoints, "clear", watched)
    Reconstructor(store, crashes.chain.settings).run(KEY)
    assert held == [True] * len(held)
    assert len(held) > 1


def test_a_spill_of_a_run_that_was_killed_is_removed(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """Of whichever attempt it was."""
    crashes.forget()
    folder = crashes.chain.store.folder("reconstructed_books", KEY)
    for number in (0, 2):
        folder.with_name(f".spill-{number}-{folder.name}").mkdir(parents=True)
    crashes.goes_on(undisturbed)
    assert list(folder.parent.glob(".spill-*")) == []


def test_a_checkpoint_is_due_once(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """Parts that end while one is being written do not ask for it again; events count on where a run goes on."""
    settings = crashes.chain.settings
    wanted = settings.reconstruct.model_copy(update={"checkpoint_events": 100})
    with crashes.chain.store.write("reconstructed_books", KEY) as writer:
        checkpoints = DayCheckpoints(
            crashes.chain.store,
            settings.model_copy(update={"reconstruct": wanted}),
            writer,
            {},
            ManualClock(),
        )
        writer.text("none", "")
    due = [checkpoints.due(deltas + 10) for deltas in (80, 90, 91, 180, 190, 191)]
    assert due == [False, True, False, False, True, False]


def test_what_was_left_by_other_settings_is_not_taken_up(
    crashes: Crashes, undisturbed: dict[str, str]
) -> None:
    """Another depth: the day begins anew, and nothing of the old run is in it."""
    crashes.forget()
    assert crashes.run("boundary 50")[0] == "killed"
    wanted = crashes.chain.settings.reconstruct.model_copy(update={"depth": 3})
    settings = crashes.chain.settings.model_copy(update={"reconstruct": wanted})
    Reconstructor(crashes.chain.store, settings).run(KEY)
    assert crashes.chain.store.rows("reconstructed_books", KEY).schema == books_schema(3)
    assert len(crashes.published()) < len(undisturbed)


def test_an_error_leaves_what_was_done(
    crashes: Crashes, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, a file that cannot be read: the error comes out, and the next run goes on."""
    crashes.forget()
    monkeypatch.setattr(replay_steps, "PART_DELTAS", PART_DELTAS)
    calls = 0

    def failing(self: PartitionWriter, name: str) -> FinishedFile:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.folder / name))
        return finish(self, name)

    finish = PartitionWriter.finish
    monkeypatch.setattr(PartitionWriter, "finish", failing)
    with pytest.raises(DiskFullError, match="run again"):
        Reconstructor(crashes.chain.store, crashes.chain.settings).run(KEY)
    monkeypatch.setattr(PartitionWriter, "finish", finish)
    assert crashes.goes_on(undisturbed) > 3 * PART_DELTAS


def test_in_the_same_process(crashes: Crashes, undisturbed: dict[str, str]) -> None:
    """With parts of the usual length the rows are the same: parts are how rows lie, not what they are."""
    crashes.forget()
    before = crashes.chain.store
    result = Reconstructor(before, crashes.chain.settings).run(KEY)
    crashes.run("boundary 1000000")
    assert crashes.published() == undisturbed
    manifest = before.manifest("reconstructed_books", KEY)
    assert manifest.metadata == result.manifest.metadata
    assert manifest.main_rows == result.manifest.main_rows
