"""`obp follow`: once, again, and until somebody stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import replay_hash_of
from order_book_platform.settings import load_settings
from order_book_platform.storage import DataStore
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.cli.conftest import SYMBOL, Platform
from order_book_platform_tests.reconstruct.captures import captured

SCRIPT = """
import os, sys
from order_book_platform.cli import main
from order_book_platform.reconstruct import Reconstructor
follow = Reconstructor.follow
def watched(self, instrument, capture, output, wait, observe, stopped):
    signals = [int(sys.argv[1])]
    def signalled(ask):
        if signals:
            os.kill(os.getpid(), signals.pop())
            stopped.__self__.wait(60)
        return ask()
    if sys.argv[2] == "waits":
        return follow(self, instrument, capture, output, lambda: signalled(wait), observe, stopped)
    return follow(self, instrument, capture, output, wait, observe, lambda: signalled(stopped))
Reconstructor.follow = watched
main(sys.argv[3:])
"""
"""`obp` that gets a signal when it waits for the first time, or when it reads."""


@pytest.fixture
def capture(materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path) -> Path:
    """The sound day as a capture would have left it."""
    settings = load_settings(materialized[0].config)
    return captured(tmp_path / "capture", Chain(DataStore(settings.data_root), settings), key, 100)


def test_once_and_again(
    materialized: tuple[Platform, Any], key: PartitionKey, capture: Path, tmp_path: Path
) -> None:
    """The books of the day; the second call goes on behind them, and says so on a terminal, too."""
    platform = materialized[0]
    arguments = ("follow", "--symbol", SYMBOL, "--in", str(capture), "--out", str(tmp_path / "out"), "--once")
    manifest = DataStore(platform.store).manifest("reconstructed_books", key)
    found = platform.json(*arguments)
    assert found["rows"] == manifest.main_rows
    assert (found["resumed_from"], found["replay_hash"]) == (0, manifest.metadata["replay_hash"])
    again = platform.obp(*arguments)
    assert again.exit_code == 0
    assert " ".join(again.stdout.split()).find(f"resumed from {found['deltas']:,}") > 0
    assert replay_hash_of(tmp_path / "out") == manifest.metadata["replay_hash"]


def test_a_capture_that_is_not_there(materialized: tuple[Platform, Any], tmp_path: Path) -> None:
    """Exit code 1 and what to do; a symbol that is not listed is wrong usage."""
    arguments = ("--in", str(tmp_path / "none"), "--out", str(tmp_path / "out"))
    result = materialized[0].obp("follow", "--symbol", SYMBOL, *arguments)
    assert result.exit_code == 1
    assert "LogMissingError" in result.stderr
    assert materialized[0].obp("follow", "--symbol", "NO:SUCH", *arguments).exit_code == 2


def signalled(
    platform: Platform, number: int, when: str, capture: Path, output: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """`obp follow` in a process of its own that gets a signal."""
    arguments = ["--config", str(platform.config), "follow", "--symbol", SYMBOL]
    arguments += ["--in", str(capture), "--out", str(output), "--json", *more]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(number)), when, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name != "OBP_CONFIG"},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(
    materialized: tuple[Platform, Any], key: PartitionKey, capture: Path, tmp_path: Path, number: int
) -> None:
    """Exit code 0, a summary, and every row that the capture had."""
    done = signalled(materialized[0], number, "waits", capture, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    manifest = DataStore(materialized[0].store).manifest("reconstructed_books", key)
    assert manifest.metadata["replay_hash"] in done.stdout


@pytest.mark.parametrize("more", [(), ("--once",)])
def test_a_signal_ends_it_while_it_is_behind(
    materialized: tuple[Platform, Any], capture: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Exit code 0 and a summary, though all of the capture is still to be read; --once is no exception."""
    done = signalled(materialized[0], signal.SIGINT, "reads", capture, tmp_path / "out", *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["deltas"] == 0
