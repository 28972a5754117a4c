"""Memory is what docs/memory.md says: the document has the code's numbers, and real processes stay within them."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import limit
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.replay.book import Book
from order_book_platform.replay.snapshot_outcomes import SnapshotOutcomes
from order_book_platform.replay.snapshot_scheduler import DueSnapshots
from order_book_platform.settings import Settings, load_settings
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests.bounds import ASSETS, FREE_BYTES, following
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.memory_of import KEY

DOCUMENT = Path(__file__).parents[1] / "docs" / "memory.md"
MESSAGES = 80_000
"""5.4 M deltas: 220 MB in memory."""
MB = 1_000_000
LIMIT_BYTES = 512 * MB
"""Memory limit that the reconstruction is tested with; see docs/adr/0020."""


def settings_over(folder: Path, lake: Path, **sections: Any) -> Path:
    """A settings file whose data lie beside it."""
    return write_settings(folder, lake_root=str(lake), keys=[KEY], **sections)


def measured(short: Path, long: Path, late: str, *assets: str) -> dict[str, int]:
    """Measure what a process of its own takes for each asset beyond its memory before, in bytes."""
    command = [sys.executable, "-m", "order_book_platform_tests.memory_of", str(short), str(long), late]
    done = subprocess.run([*command, *assets], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return {name: peak - told["before"] for name, peak in told["peaks"].items()}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short day and a long one, each with a store of its own."""
    folder = tmp_path_factory.mktemp("days")
    for name, messages in (("short", 300), ("long", MESSAGES)):
        MarketSimulator(profile("btc-perp"), 1).write(folder / f"{name}-lake", KEY, messages)
        settings_over(folder / name, folder / f"{name}-lake")
    return folder


@pytest.fixture(scope="module")
def chain(days: Path) -> dict[str, int]:
    """Growth of one process by all six assets of the long day, one after another."""
    return measured(days / "short/settings.toml", days / "long/settings.toml", "nothing", *ASSETS)


def rows_of(asset: str) -> dict[str, int]:
    """The table of an asset in the document: MB by what takes them."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"### `{asset}`")[1].split("###")[0]
    return {
        what: int(mb)
        for what, mb in re.findall(r"^\| ([^|]+?) \| [^|]*\| ([\d,]+) \|$", section, re.MULTILINE)
    }


@pytest.mark.parametrize("asset", [*ASSETS, "obp follow"])
def test_the_document_adds_up(days: Path, asset: str) -> None:
    """Every bound of the code is in it, at the default settings, and their sum."""
    bounds = {**ASSETS, "obp follow": following}[asset](load_settings(days / "long/settings.toml"))
    written = rows_of(asset)
    assert written.pop("**sum**") == round(sum(bounds.values()) / MB)
    assert written == {what: round(size / MB) for what, size in bounds.items()}


def test_the_days_of_the_document_are_those_of_the_benchmark() -> None:
    """Peaks in MB of half a day, a day and a double one, as in the committed results."""
    results = json.loads((DOCUMENT.parents[1] / "benchmarks/results/day.json").read_text(encoding="utf-8"))[
        "results"
    ]
    peaks = {
        round(int(each["work"].split()[0].replace(",", "")) / 1e6): round(each["value"] / MB)
        for each in results
        if each["system"] == "all six assets" and each["metric"] == "peak memory"
    }
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    found = re.search(r"measured (\d+) for (\d+) M deltas, (\d+) for (\d+) M, (\d+) for (\d+) M", text)
    assert found
    said = [int(number) for number in found.groups()]
    assert dict(zip(said[1::2], said[::2], strict=True)) == peaks


@pytest.mark.skipif(sys.platform != "linux", reason="peaks come from /proc")
@pytest.mark.parametrize("asset", ASSETS)
def test_a_process_stays_within_the_sum(days: Path, chain: dict[str, int], asset: str) -> None:
    """An asset takes no more than its bounds and what allocators keep of the assets before."""
    bounds = ASSETS[asset](load_settings(days / "long/settings.toml"))
    assert chain[asset] <= sum(bounds.values()) + FREE_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="peaks come from /proc")
@pytest.mark.parametrize(("late", "depth"), [("apply", 20), ("write", 100)])
def test_full_queues_stay_within_the_sum(
    days: Path, chain: dict[str, int], tmp_path: Path, late: str, depth: int
) -> None:
    """A stage that begins late, so that all before it have run until their queues were full: no queue is endless."""
    sections = {"streaming": {"memory_limit": MB * 1_000}, "reconstruct": {"depth": depth}}
    path = settings_over(tmp_path, days / "long-lake", **sections)
    settings: Settings = load_settings(path)
    settings.data_root.symlink_to(days / "long/store")
    found = measured(days / "short/settings.toml", path, late, "reconstructed_books")
    assert found["reconstructed_books"] <= sum(ASSETS["reconstructed_books"](settings).values())


@pytest.mark.skipif(sys.platform != "linux", reason="peaks come from /proc")
@pytest.mark.usefixtures("chain")
def test_a_process_stays_within_the_limit(days: Path, tmp_path: Path) -> None:
    """A process that only reconstructs books stays within the limit, takes less than without it; its rows are equal."""
    (tmp_path / "lake").symlink_to(days / "long-lake")
    (tmp_path / "store").symlink_to(days / "long/store")
    plain, within = limit.measure(tmp_path, None), limit.measure(tmp_path, LIMIT_BYTES)
    assert within["replay_hash"] == plain["replay_hash"]
    assert within["peak_bytes"] <= LIMIT_BYTES
    assert within["peak_bytes"] < 0.95 * plain["peak_bytes"], (within, plain)


def test_a_day_grows_by_what_is_kept_of_its_snapshots() -> None:
    """Each used snapshot takes 48 bytes, twice at most, in however many steps they come; nothing else grows."""
    steps, each = 4_000, 5
    levels = np.tile(np.array([[[100, 99], [101, 102]]], np.int64), (each, 1, 1))
    book, history = Book(1), SnapshotOutcomes()

    def take(step: int) -> None:
        numbers = np.arange(step * each, (step + 1) * each, dtype=np.int64)
        snapshots = SnapshotBatch(numbers, numbers, numbers, levels, levels)
        due = DueSnapshots(snapshots, snapshots, np.zeros(each, np.bool_), SnapshotBatch.nothing())
        history.add_due(due)
        book.add_snapshots(due.used, due.forced)
        for _ in book.show_snapshots():
            pass

    take(0)  # loads the loop
    tracemalloc.start()
    try:
        for step in range(1, steps):
            take(step)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(book.outcomes) == len(history.saved()["used"]) == steps * each
    assert size <= 2 * 48 * steps * each + 100_000
