"""Checkpoints of a replay, shared by days and live captures: their arrays, their identity, and when they are due."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from numpy.typing import NDArray

from order_book_platform.clock import Clock, SystemClock
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.decimal128 import DecimalWords
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage.checkpoints import Checkpoint
from order_book_platform.version import code_version

_BOOK = "book."


@dataclass(frozen=True, slots=True)
class SavedReplay:
    """The state of a replay between two steps.

    Attributes:
        position: Position in its inputs.
        book: Arrays of `Book.saved`.
        outcomes: Arrays of `SnapshotOutcomes.saved`, which only get more rows; empty for a live capture.
        sizes: List of `PartitionEncoding.saved_sizes`; empty for pips.
        shown_sizes: `BookTables.shown_sizes` at the same moment: sizes that come later may get other codes when the run
            that resumes meets them again.
    """

    position: ReplayPosition
    book: Mapping[str, Int64Array]
    outcomes: Mapping[str, Int64Array]
    sizes: DecimalWords
    shown_sizes: BoolArray

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (*self.book.values(), *self.outcomes.values(), self.sizes, self.shown_sizes)
        return sum(array.nbytes for array in arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of a checkpoint, by name, without the outcomes, which it keeps as growing arrays."""
        arrays: dict[str, NDArray[Any]] = {f"{_BOOK}{name}": array for name, array in self.book.items()}
        return arrays | {"sizes": self.sizes, "shown_sizes": self.shown_sizes}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> SavedReplay:
        """Return the state that a checkpoint holds, whose fact `position` has the fields of a `ReplayPosition`."""
        arrays = checkpoint.arrays
        return cls(
            ReplayPosition(**checkpoint.facts["position"]),
            {name.removeprefix(_BOOK): array for name, array in arrays.items() if name.startswith(_BOOK)},
            checkpoint.growing,
            arrays["sizes"],
            arrays["shown_sizes"],
        )


class CheckpointTimer:
    """Tells when a checkpoint is due.

    Args:
        settings: `reconstruct.checkpoint_events` and `checkpoint_interval`.
        clock: Measures the interval.

    Attributes:
        last_events: Number of deltas and snapshots before the last checkpoint.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._events = settings.reconstruct.checkpoint_events
        self._interval = settings.reconstruct.checkpoint_interval
        self._clock = clock or SystemClock()
        self._last_ns = self._clock.monotonic_ns()
        self.last_events = 0

    def due(self, events: int) -> bool:
        """Return whether a checkpoint is due after so many events; if so, the next one is counted from here.

        The stage that applies steps asks, and does not wait until the checkpoint is written.
        """
        if self._events == 0:
            return False
        now_ns = self._clock.monotonic_ns()
        if events - self.last_events < self._events and now_ns - self._last_ns < self._interval:
            return False
        self.last_events, self._last_ns = events, now_ns
        return True


def identity(settings: Settings, name: str, inputs: Mapping[str, object]) -> str:
    """Return a SHA-256 over all that the rows depend on; a checkpoint with another identity is not used.

    Args:
        settings: `reconstruct` and `gaps`.
        name: Symbol and day, or the instrument that is followed.
        inputs: JSON-ready description of the inputs.
    """
    shaping = {
        "key": name,
        "inputs": dict(inputs),
        "reconstruct": settings.reconstruct.model_dump(
            mode="json", exclude={"checkpoint_events", "checkpoint_interval"}
        ),
        "gaps": settings.gaps.model_dump(mode="json"),
        "code": code_version("reconstruct"),
        # Arrow writes the parts, numba the loops, numpy what is between: another version of one may give other bytes.
        "libraries": {name: version(name) for name in ("numba", "numpy", "pyarrow")},
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
