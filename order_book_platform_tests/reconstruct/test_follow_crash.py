"""A follower that is killed is gone on with: every row is in the log once, and equal to that of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import replay_hash_of
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import LogReader
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.reconstruct.captures import arrivals, inputs, shifted, with_ids, write_capture
from order_book_platform_tests.reconstruct.crashes import ask

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
INSTANTS = int(os.environ.get("OBP_CRASHES", "200")) // 8
"""Random instants at which a follower is killed."""


@dataclass(frozen=True)
class Followers:
    """A server of followers that die, and where they write."""

    server: subprocess.Popen[str]
    output: Path

    def run(self, command: str) -> tuple[str, list[int]]:
        """How it ended, and what it told: where it went on, and how many boundaries there were if it ended."""
        return ask(self.server, command)

    def forget(self) -> None:
        """Remove the output."""
        shutil.rmtree(self.output, ignore_errors=True)

    def made(self) -> tuple[str, int, int]:
        """Hash of all rows, and how many rows and findings there are."""
        logs = [LogReader(self.output / name).next_row() for name in ("books", "findings")]
        return replay_hash_of(self.output), logs[0], logs[1]

    def causes(self) -> set[str]:
        """What the findings are of."""
        pieces = [
            rows.batch.column("cause").to_pylist() for rows in LogReader(self.output / "findings").read()
        ]
        return {cause for piece in pieces for cause in piece}


@pytest.fixture(scope="module")
def followers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followers]:
    """A capture of a day with faults and late snapshots, checkpoints as often as can be, and the server."""
    folder = tmp_path_factory.mktemp("followers")
    faults = Faults.parse("drop=8,crossed=1x3s,bad_snapshots=4,silence=1x2s")
    MarketSimulator(profile("btc-perp"), 5).write(folder / "lake", KEY, 400, faults)
    sections = {"reconstruct": {"checkpoint_events": 4_000}, "sources": {"batch_rows": 2_000}}
    chain = Chain.over(folder, folder / "lake", [KEY], **sections)
    chain.books(KEY)
    deltas, snapshots, point = inputs(chain, KEY)
    deltas = with_ids(deltas, "prev_final_update_id", {60, 61, 150, 290})
    late = shifted(snapshots, deltas, np.arange(0, len(snapshots), 2), 4)
    late = late.take(np.argsort(late.received_time, kind="stable"))
    capture = write_capture(
        folder / "capture", KEY.instrument.key, point, arrivals(deltas, late, 300), sync_every=1
    )
    settings = write_settings(folder, lake_root=str(folder / "lake"), keys=[KEY], **sections)
    command = [sys.executable, "-m", "order_book_platform_tests.reconstruct.crashes", str(settings)]
    with subprocess.Popen(
        [
            *command,
            KEY.instrument.key,
            KEY.day.isoformat(),
            "1000000",
            str(capture),
            str(folder / "out"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as server:
        yield Followers(server, folder / "out")
        server.kill()


@pytest.fixture(scope="module")
def undisturbed(followers: Followers) -> tuple[str, int, int]:
    """What a run makes that nothing happens to."""
    followers.forget()
    assert followers.run("whole")[0] == "done"
    made = followers.made()
    assert made[2] >= 3
    assert followers.causes() == {"chain", "late_snapshot"}
    return made


def test_killed_at_every_boundary(followers: Followers, undisturbed: tuple[str, int, int]) -> None:
    """Before each sync, rename and removal; and the run that goes on is killed once more, at its third."""
    boundary, resumed = 0, 0
    while True:
        followers.forget()
        boundary += 1
        word, _ = followers.run(f"boundary {boundary}")
        if word == "done":
            break
        assert word == "killed"
        followers.run("boundary 3")
        word, numbers = followers.run("whole")
        assert word == "done"
        assert followers.made() == undisturbed
        resumed += numbers[0] > 0
    assert boundary > 20
    assert resumed > boundary // 2


def test_killed_at_any_instant(followers: Followers, undisturbed: tuple[str, int, int]) -> None:
    """Whatever it was doing; once more while it goes on."""
    followers.forget()
    start = time.monotonic()
    followers.run("whole")
    longest = time.monotonic() - start
    chance, killed, resumed = random.Random(7), 0, 0
    for _ in range(INSTANTS):
        followers.forget()
        for _ in range(2):
            word, _ = followers.run(f"instant {chance.uniform(0, longest):.4f}")
            killed += word == "killed"
        word, numbers = followers.run("whole")
        assert word == "done"
        assert followers.made() == undisturbed
        resumed += numbers[0] > 0
    assert killed > INSTANTS
    assert resumed > 0
