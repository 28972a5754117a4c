"""Other systems, each in a process of its own, beside which the replay loop is measured.

They come with `benchmarks/requirements.lock` into `.venv-bench` (`make bench` installs it), apart from this project's
packages: hftbacktest wants an older numpy. A worker process (`peers_worker`) reads a stream from files, lays it out
the way its system wants it, and then runs it whenever it is told to; only the run is timed. It hands back what it saw,
and no time is taken from a run that saw another best bid or ask after any message, or ended with another top 20.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers_worker import BEST, STREAM, TOP
from benchmarks.report import ROOT
from benchmarks.streams import Stream
from order_book_platform.errors import BenchmarkError

PYTHON = ROOT / ".venv-bench" / "bin" / "python"
REMEDY = "run `make bench`, which installs the peers in .venv-bench"

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What every system has to see in a stream.

    Attributes:
        best: int64[m, 2]: best bid and ask after each message, pips; −1 where there is none.
        top: int64[2, n, 2]: price and size in pips of the best levels of each side at the end, best first.
    """

    best: Ints
    top: Ints


def write_stream(stream: Stream, folder: Path) -> None:
    """Put a stream where workers read it: one `.npy` file a column, and `stream.json`."""
    for name in ("is_bid", "encoded_price", "encoded_size"):
        np.save(folder / f"{name}.npy", getattr(stream.batch, name))
    starts = stream.starts
    np.save(folder / "starts.npy", starts)
    (folder / STREAM).write_text(json.dumps({"tick_pips": stream.tick_pips}), encoding="utf-8")


class Peer:
    """A worker process with one stream.

    Args:
        module: of the worker, such as `benchmarks.peers_lakeapi`.
        folder: of a stream, from `write_stream`.
        rows: how many of its deltas.

    Raises:
        BenchmarkError: the worker could not start for another reason than that its package is missing.
    """

    def __init__(self, module: str, folder: Path, rows: int) -> None:
        self._folder = folder
        self._errors = (folder / f"{module}-{rows}.stderr").open("w+", encoding="utf-8")
        python = PYTHON if PYTHON.exists() else Path(sys.executable)
        self._process = subprocess.Popen(
            [python, "-m", module, str(folder), str(rows)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
        )
        self._module = module
        try:
            hello = self._answer()
        except BenchmarkError:
            self.close()
            raise
        self.versions: dict[str, str] = hello.get("versions", {})
        self.missing: str | None = hello.get("missing")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the worker end."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def run(self, system: str, truth: Truth) -> int:
        """Let a system go through the stream once, and check what it saw.

        Args:
            system: as the worker names it.
            truth: what it must have seen in the rows that it has.

        Returns:
            Time in ns.

        Raises:
            BenchmarkError: it saw something else, or the worker failed.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # a worker that is gone has no answer either
            self._process.stdin.write(json.dumps({"system": system}) + "\n")
            self._process.stdin.flush()
        elapsed_ns = int(self._answer()["elapsed_ns"])
        compare(system, truth, np.load(self._folder / BEST), np.load(self._folder / TOP))
        return elapsed_ns

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines() or ["nothing"]
            raise BenchmarkError(
                expected="an answer",
                found=f"exit code {self._process.returncode}: {said[-1]}",
                where=self._module,
                remedy="Run `make bench` again after removing .venv-bench; its packages may not fit this machine.",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def compare(system: str, truth: Truth, best: Ints, top: Ints) -> None:
    """Refuse a system that keeps another book.

    Args:
        system: named in the error.
        truth: what is right.
        best: int64[m, 2], as the system saw it; m may be less than in `truth`.
        top: int64[2, n, 2], as the system has it at the end; n may be less than in `truth`.

    Raises:
        BenchmarkError: a best price differs after some message, or a level at the end.
    """
    differs = np.flatnonzero((best != truth.best[: len(best)]).any(axis=1))
    if differs.size:
        message = int(differs[0])
        raise BenchmarkError(
            expected=f"best bid and ask of {truth.best[message].tolist()} pips, as our replay has them",
            found=f"{best[message].tolist()}, and {differs.size - 1:,} further differences",
            where=f"{system}, after message {message:,} of {len(best):,}",
            remedy="Its time would be that of another job; find out which of the two books is right.",
        )
    wrong = np.argwhere((top != truth.top[:, : top.shape[1]]).any(axis=2))
    if wrong.size:
        side, level = (int(place) for place in wrong[0])
        raise BenchmarkError(
            expected=f"{truth.top[side, level].tolist()} pips, as our replay has it",
            found=f"{top[side, level].tolist()}",
            where=f"{system}, {('bid', 'ask')[side]} level {level} at the end",
            remedy="Its time would be that of another job; find out which of the two books is right.",
        )
