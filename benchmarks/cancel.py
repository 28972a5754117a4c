"""How long a reconstruction takes to end when it is told to, and whether the next one goes on where it was.

A simulated day of a BTC perpetual. `obp materialize` gets Ctrl-C; a run that Dagster has launched is terminated as the
button in the web UI does. Both at several instants: as soon as the books are begun, and after one, three and six tenths
of them. Each time the next run has to go on from a checkpoint, if one had been taken, and end with the
`replay_hash` of a run that was left alone.

Run: `obp bench cancel [--json] [--messages N]`, or `python -m benchmarks.cancel …`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.launched import CodeLocation, code_location, has_ended
from benchmarks.report import ROOT, Report, arguments, run
from benchmarks.simulated import KEY, simulated_store
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.errors import BenchmarkError
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore

MESSAGES = 290_000
"""Some 20 M deltas."""
DATASET = "reconstructed_books"
SHARES = (0.0, 0.1, 0.3, 0.6)
"""Of the books' parts: when a run is told to end. Later, it may come to its end before it hears of it."""
REQUIRED_S = 5.0
GIVEN_UP_S = 60.0
LOOK_S = 0.02
BEGUN_S = 300.0
"""In which a run has to come as far as it should before it is told to end."""


@dataclass(frozen=True, slots=True)
class Running:
    """A run, whoever started it.

    Attributes:
        end: tells it to end.
        has_ended: whether it has, with all that it records.
    """

    end: Callable[[], None]
    has_ended: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Day:
    """A day whose books can be made.

    Attributes:
        folder: with the settings file, the store and the Dagster instance.
        store: has all inputs of the books.
        settings: of the file.
        replay_hash: of books that were made without a disturbance.
        parts: of these.
    """

    folder: Path
    store: DataStore
    settings: Settings
    replay_hash: str
    parts: int

    @property
    def settings_file(self) -> Path:
        """For runs in other processes."""
        return self.folder / "platform.toml"

    @property
    def building(self) -> Path:
        """Where parts of unfinished books lie."""
        books = self.store.folder(DATASET, KEY)
        return books.with_name(f".building-{books.name}")

    @property
    def checkpoints(self) -> int:
        """How many there are."""
        return len(list(self.store.checkpoints(DATASET, KEY).folder.glob("*.state")))

    def forget(self) -> None:
        """Remove all books, finished or not."""
        shutil.rmtree(self.store.root / DATASET, ignore_errors=True)

    def has_come_to(self, share: float) -> bool:
        """Whether so much of the parts has been begun; with a share of 0, whether anything has."""
        begun = len(list(self.building.glob("books-*.parquet")))
        return self.building.is_dir() if not share else begun > share * self.parts

    @classmethod
    def of(cls, folder: Path, messages: int) -> Day:
        """Simulate it, make the inputs of the books, and once the books."""
        store, settings = simulated_store(folder, messages)
        GapReporter(store, settings).run(KEY)
        DataAssessor(store, settings).run(KEY)
        manifest = Reconstructor(store, settings).run(KEY).manifest
        lines = (
            f'lake_root = "{settings.lake_root}"',
            f'data_root = "{settings.data_root}"',
            f'first_day = "{settings.first_day}"',
            "[[instruments]]",
            f'symbol = "{KEY.instrument.key}"',
        )
        (folder / "platform.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(folder, store, settings, manifest.metadata["replay_hash"], len(manifest.parts()))


def by_command(day: Day) -> Running:
    """`obp materialize`, which gets Ctrl-C as from a terminal: with all that it has started."""
    arguments = ["--config", str(day.settings_file), "materialize", "--symbol", KEY.instrument.key]
    arguments += ["--day", str(KEY.day), "--select", DATASET]
    process = subprocess.Popen(
        [sys.executable, "-c", "from order_book_platform.cli import main; main()", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
        start_new_session=True,
    )
    return Running(lambda: os.killpg(process.pid, signal.SIGINT), lambda: process.poll() is not None)


def by_dagster(location: CodeLocation) -> Running:
    """A run that Dagster has launched; it has ended when its process has, and the instance says so."""
    run_id = location.launch(KEY, [DATASET])
    found: list[psutil.Process] = []

    def ended() -> bool:
        if not found:
            process = location.process(run_id)
            found.extend([process] if process else [])
        return all(has_ended(each) for each in found) and location.is_finished(run_id)

    return Running(lambda: location.terminate(run_id), ended)


def cancelled(day: Day, start: Callable[[], Running], share: float) -> tuple[float, int]:
    """One run that is told to end, and the next one.

    Args:
        day: whose books are made.
        start: the run.
        share: of the parts after which it is told.

    Returns:
        Seconds from being told to the end, and the delta from which the next run went on.

    Raises:
        BenchmarkError: it did not end, or the next one begins anew or makes other books.
    """
    day.forget()
    running = start()
    deadline = time.monotonic() + BEGUN_S
    while not day.has_come_to(share):
        if running.has_ended() or time.monotonic() > deadline:
            raise _unexpected(
                f"a run that makes {share:.0%} of the books", "one that ended or hung before", day
            )
        time.sleep(LOOK_S)
    checkpoints = day.checkpoints
    told = time.monotonic()
    running.end()
    while not running.has_ended():
        if time.monotonic() - told > GIVEN_UP_S:
            raise _unexpected("a run that ends", f"one that goes on for {GIVEN_UP_S:.0f} s", day)
        time.sleep(LOOK_S)
    seconds = time.monotonic() - told
    if day.store.exists(DATASET, KEY):
        raise _unexpected(
            "a run that is stopped", "one that came to its end first; take more --messages", day
        )
    result = Reconstructor(day.store, day.settings).run(KEY)
    if checkpoints and not result.run.resumed_from:
        raise _unexpected("a run that goes on from a checkpoint", "one that began anew", day)
    if result.manifest.metadata["replay_hash"] != day.replay_hash:
        raise _unexpected(f"replay_hash {day.replay_hash}", str(result.manifest.metadata["replay_hash"]), day)
    return seconds, result.run.resumed_from


def _unexpected(expected: str, found: str, day: Day) -> BenchmarkError:
    return BenchmarkError(
        expected=expected,
        found=found,
        where=f"{DATASET} of {KEY} in {day.store.root}",
        remedy="Run obp materialize by hand and look at what it says.",
    )


@contextmanager
def dagster_over(day: Day) -> Iterator[CodeLocation]:
    """The definitions with the day's settings; the environment is as before afterwards."""
    before = os.environ.get("OBP_CONFIG")
    os.environ["OBP_CONFIG"] = str(day.settings_file)
    try:
        with code_location(day.folder / "home") as location:
            yield location
    finally:
        if before is None:
            del os.environ["OBP_CONFIG"]
        else:
            os.environ["OBP_CONFIG"] = before


def measure(report: Report, day: Day, way: str, start: Callable[[], Running]) -> None:
    """All instants of one way to end a run, and its bar."""
    taken = []
    for share in SHARES:
        seconds, resumed_from = cancelled(day, start, share)
        taken.append(seconds)
        at = f"{share:.0%} of the books" if share else "as soon as the books are begun"
        report.add(way, f"told at {at}", "time to the end of the process", "s", [seconds])
        report.add(
            way, f"told at {at}", "deltas that the next run did not apply again", "", [float(resumed_from)]
        )
    report.bar(f"{way}: the longest time to the end, s", REQUIRED_S, max(taken), at_most=True)


def main() -> None:
    """Measure and print."""
    parser = arguments("cancel", "How long a reconstruction takes to end, and whether the next one goes on.")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="of the day (default: %(default)s, 20 M deltas)"
    )
    chosen = parser.parse_args()
    if chosen.messages < 1:
        parser.error("--messages: expected 1 or more")
    report = Report("cancel")
    with tempfile.TemporaryDirectory() as folder:
        day = Day.of(Path(folder), chosen.messages)
        measure(report, day, "obp materialize, Ctrl-C", lambda: by_command(day))
        with dagster_over(day) as location:
            measure(report, day, "a Dagster run, terminated", lambda: by_dagster(location))
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
