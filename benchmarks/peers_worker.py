"""What the worker processes of the peers have in common: a stream from files, one line in and one line out for a run.

Imports numpy only: it runs with the peers' packages, not with this project's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STREAM, BEST, TOP = "stream.json", "best.npy", "top.npy"
"""Files of a stream's folder: its numbers; what the last run saw."""

MISSING_PIPS = -1
DEPTH = 20
PIPS = 1e8
"""Of both a price and a size, per unit."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Deltas:
    """A stream as every peer can use it.

    Attributes:
        is_bid: bool[n].
        price: float64[n], the nearest one to each decimal.
        size: float64[n].
        message: int64[n]: counted from 0.
        tick: the increment of prices.
    """

    is_bid: NDArray[np.bool_]
    price: Floats
    size: Floats
    message: Ints
    tick: float

    @property
    def messages(self) -> int:
        """How many there are."""
        return int(self.message[-1]) + 1


def read_stream(folder: Path, rows: int) -> Deltas:
    """The first rows of a stream."""
    is_bid, encoded_price, encoded_size = (
        np.load(folder / f"{name}.npy", mmap_mode="r")[:rows]
        for name in ("is_bid", "encoded_price", "encoded_size")
    )
    starts = np.load(folder / "starts.npy")
    message = np.zeros(len(is_bid), np.int64)
    message[starts[(starts > 0) & (starts < len(is_bid))]] = 1
    np.cumsum(message, out=message)
    tick_pips = json.loads((folder / STREAM).read_text(encoding="utf-8"))["tick_pips"]
    return Deltas(np.array(is_bid), encoded_price / PIPS, encoded_size / PIPS, message, tick_pips / PIPS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run gave.

    Attributes:
        elapsed_ns: of the run alone, on its core.
        best: int64[m, 2], pips: best bid and ask after each message.
        top: int64[2, n, 2], pips: price and size of the best levels at the end; n up to `DEPTH`.
    """

    elapsed_ns: int
    best: Ints
    top: Ints


def levels(
    bids: Sequence[Sequence[float]], asks: Sequence[Sequence[float]], pips_per_unit: float = PIPS
) -> Ints:
    """Levels of both sides as pips, int64[2, DEPTH, 2]; missing ones are `MISSING_PIPS`, 0.

    Args:
        bids: price and size, best first.
        asks: the same.
        pips_per_unit: of their numbers; 1 where they are pips already.
    """
    top = np.full((2, DEPTH, 2), [MISSING_PIPS, 0], np.int64)
    for side, pairs in enumerate((bids, asks)):
        for level, pair in enumerate(pairs[:DEPTH]):
            top[side, level] = [round(number * pips_per_unit) for number in pair]
    return top


def serve(packages: tuple[str, ...], prepare: Callable[[Deltas], Mapping[str, Callable[[], Seen]]]) -> None:
    """Answer the parent until it hangs up.

    Args:
        packages: whose versions are reported; the first one is the peer itself, the others are those it runs with.
        prepare: lays a stream out and gives the systems that can run it, by name.
    """
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    try:
        found = {_owned(name, packages[0]): metadata.version(name) for name in packages}
    except metadata.PackageNotFoundError as absent:
        print(json.dumps({"missing": str(absent.name)}), flush=True)
        return
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a peer prints is no answer
    systems = prepare(read_stream(folder, rows))
    print(json.dumps({"versions": found, "systems": list(systems)}), file=answers, flush=True)
    for line in sys.stdin:
        seen = systems[json.loads(line)["system"]]()
        np.save(folder / BEST, seen.best)
        np.save(folder / TOP, seen.top)
        print(json.dumps({"elapsed_ns": seen.elapsed_ns}), file=answers, flush=True)


def _owned(package: str, peer: str) -> str:
    return package if package == peer else f"{package} of {peer}"
