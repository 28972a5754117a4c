"""Reconstructions that are killed: a server that forks one process for each, so that none has to import anything.

Reads lines from stdin, `boundary N` (killed right before its n-th sync, rename or removal), `instant SECONDS` or
`whole`; answers each with `killed` or `done`, how many boundaries there were, and from which delta the run went on.

Run: `python -m order_book_platform_tests.reconstruct.crashes SETTINGS SYMBOL DAY PART_DELTAS [CAPTURE OUTPUT]`; with
the last two what is killed follows a capture.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.reconstruct.replay_checkpoints import (
    DayCheckpoints,
    LiveCheckpoint,
    LiveCheckpoints,
    SavedReplay,
)
from order_book_platform.replay import replay_steps
from order_book_platform.settings import Settings, load_settings
from order_book_platform.storage import DataStore
from order_book_platform.storage.partition_writer import FinishedFile

FSYNC = os.fsync


def ask(server: subprocess.Popen[str], command: str) -> tuple[str, list[int]]:
    """Send a command to a server of this module; gives the word and the numbers that it answers."""
    assert server.stdin is not None
    assert server.stdout is not None
    print(command, file=server.stdin, flush=True)
    word, *numbers = server.stdout.readline().split()
    return word, [int(number) for number in numbers]


class Boundaries:
    """Counts the calls after which a crash may show another state on disk, and dies at one of them."""

    def __init__(self, dies_at: int | None) -> None:
        self.passed = 0
        self._dies_at = dies_at
        for module, name in (
            (os, "fsync"),
            (os, "rename"),
            (os, "replace"),
            (os, "unlink"),
            (shutil, "rmtree"),
        ):
            setattr(module, name, self._watched(getattr(module, name)))

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.passed += 1
            if self.passed == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            # What a killed process has written stays without being synced; only a machine that dies loses it.
            return None if call is FSYNC else call(*arguments, **named)

        return watched


def reconstruct(settings: Settings, key: PartitionKey, dies_at: int | None, answer: int) -> None:
    """One reconstruction; tells how many boundaries it passed and where it went on."""
    resume = DayCheckpoints.resume

    def noted(self: DayCheckpoints) -> tuple[SavedReplay, tuple[FinishedFile, ...]] | None:
        found = resume(self)
        os.write(answer, f"{found[0].position.deltas if found else 0} ".encode())
        return found

    DayCheckpoints.resume = noted  # type: ignore[method-assign]
    boundaries = Boundaries(dies_at)
    Reconstructor(DataStore(settings.data_root), settings).run(key)
    os.write(answer, f"{boundaries.passed}".encode())


def follow(settings: Settings, key: PartitionKey, dies_at: int | None, answer: int) -> None:
    """One run along a capture that has ended; tells the same."""
    newest = LiveCheckpoints.newest

    def noted(self: LiveCheckpoints, rows: int, findings: int) -> LiveCheckpoint | None:
        found = newest(self, rows, findings)
        os.write(answer, f"{found.saved.position.deltas if found else 0} ".encode())
        return found

    LiveCheckpoints.newest = noted  # type: ignore[method-assign]
    boundaries = Boundaries(dies_at)
    capture, output = (Path(argument) for argument in sys.argv[5:7])
    store = DataStore(settings.data_root)
    Reconstructor(store, settings).follow(key.instrument, capture, output, lambda: False)
    os.write(answer, f"{boundaries.passed}".encode())


def main() -> None:
    """Serve until stdin ends."""
    settings, key = load_settings(Path(sys.argv[1])), PartitionKey.parse(sys.argv[2], sys.argv[3])
    replay_steps.PART_DELTAS = int(sys.argv[4])  # type: ignore[misc]
    # Loads every compiled loop, which all forks then have.
    Reconstructor(DataStore(settings.data_root), settings).run(key)
    work = follow if len(sys.argv) > 5 else reconstruct
    for line in sys.stdin:
        kind, _, value = line.strip().partition(" ")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(settings, key, int(value) if kind == "boundary" else None, write)
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        if kind == "instant":
            time.sleep(float(value))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(read) as pipe:
            told = pipe.read()
        word = "killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed"
        sys.stdout.write(f"{word} {told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
