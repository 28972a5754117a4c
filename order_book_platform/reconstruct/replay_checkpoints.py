"""Checkpoints of a replay: what they hold, when they are due, and whether the next run may use them.

Those of a day are saved where a part of its books ends, those of a live capture between any two steps.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import Clock
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.decimal128 import DecimalWords
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.recent_messages import RecentMessages
from order_book_platform.replay.replay_steps import LiveState
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.storage.checkpoints import Checkpoint, Checkpoints
from order_book_platform.storage.partition_writer import FinishedFile, file_sha256
from order_book_platform.version import code_version

DATASET = "reconstructed_books"
_BOOK = "book."
_INBOX_NUMBERS = ("row", "clock_ns", "deltas_clock_ns", "late")
# `asdict` copies deeply, which took longer than all the rest of a checkpoint once a day had a hundred parts.
_PART_FIELDS = tuple(each.name for each in fields(FinishedFile))
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SavedReplay:
    """The state of a replay between two steps.

    Attributes:
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


def identity(settings: Settings, name: str, inputs: Mapping[str, object]) -> str:
    """Return a SHA-256 over all that the rows depend on; a checkpoint with another identity is not used."""
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


class ReplayCheckpoints:
    """Checkpoints of one output, used by the next run unless something that shapes the rows has changed.

    One is due after so many events or so long, as `reconstruct.checkpoint_events` and `checkpoint_interval` say.

    Attributes:
        last_events: Number of deltas and snapshots before the last checkpoint that was due.
        written: Checkpoints saved by this run.
    """

    def __init__(
        self, checkpoints: Checkpoints, identity: str, settings: Settings, clock: Clock | None = None
    ) -> None:
        self.written = self.last_events = 0
        self._checkpoints = checkpoints
        self._identity = identity
        self._misfits = 0
        self._events = settings.reconstruct.checkpoint_events
        self._interval = settings.reconstruct.checkpoint_interval
        self._clock = clock or Clock()
        self._last_ns = self._clock.monotonic_ns()

    @property
    def refused(self) -> int:
        """Number of checkpoints that could not be used."""
        return self._misfits + self._checkpoints.damaged

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


class DayCheckpoints(ReplayCheckpoints):
    """Checkpoints of one partition that is being built, from inputs with these fingerprints by dataset."""

    def __init__(
        self,
        store: DataStore,
        settings: Settings,
        writer: PartitionWriter,
        inputs: Mapping[str, str],
        clock: Clock | None = None,
    ) -> None:
        shaping = identity(settings, str(writer.key), inputs)
        super().__init__(store.checkpoints(DATASET, writer.key), shaping, settings, clock)
        self._writer = writer
        self._abandoned = False

    def resume(self) -> tuple[SavedReplay, tuple[FinishedFile, ...]] | None:
        """Return the state and the finished parts that an earlier run left; files of no such part are removed."""
        found = self._newest()
        self._writer.resumable = found is not None
        kept = {part.name for part in found[1]} if found else set()
        for path in self._writer.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if found is None:
            self._checkpoints.clear()
            return None
        position = found[0].position
        self.last_events = position.events
        text = "%s goes on after %s deltas and %s parts of an earlier run"
        _LOG.info(text, self._writer.key, f"{position.deltas:,}", len(found[1]))
        return found

    def _newest(self) -> tuple[SavedReplay, tuple[FinishedFile, ...]] | None:
        nothing_left = not any(self._writer.folder.iterdir())
        for checkpoint in self._checkpoints.newest_first():
            if checkpoint.facts["identity"] != self._identity:
                text = "%s begins anew: inputs, settings or code have changed since it was left"
                _LOG.info(text, self._writer.key)
                return None
            parts = tuple(FinishedFile(**part) for part in checkpoint.facts["parts"])
            if parts and nothing_left:
                # A run that died between publishing and removing its checkpoints: nothing is damaged.
                text = "%s begins anew: what its checkpoints speak of has been published"
                _LOG.info(text, self._writer.key)
                return None
            broken = [part.name for part in parts if not self._is_whole(part)]
            if not broken:
                return SavedReplay.of(checkpoint), parts
            self._misfits += 1
            _LOG.warning("%s: part %s is not what its checkpoint says", self._writer.key, broken[0])
        return None

    def _is_whole(self, part: FinishedFile) -> bool:
        path = self._writer.folder / part.name
        try:
            return path.stat().st_size == part.bytes and file_sha256(path) == part.sha256
        except OSError as error:
            _LOG.warning("%s: part %s cannot be read (%s)", self._writer.key, part.name, error)
            return False

    def abandon(self) -> None:
        """Save nothing any more: another attempt has taken over."""
        self._abandoned = True

    def save(self, saved: SavedReplay, finished: Sequence[FinishedFile]) -> None:
        """Save a checkpoint; every part so far is on the device."""
        if self._abandoned:
            return
        facts = {
            "identity": self._identity,
            "position": asdict(saved.position),
            "parts": [{name: getattr(part, name) for name in _PART_FIELDS} for part in finished],
        }
        self._checkpoints.save(Checkpoint(facts, saved.arrays(), saved.outcomes))
        self._writer.resumable = True
        self.written += 1


@dataclass(frozen=True, slots=True)
class LiveCheckpoint:
    """The state from which following goes on: of the replay, the snapshots, gaps and flags, and rows in both logs."""

    saved: SavedReplay
    state: LiveState
    rows: int
    findings: int
    counts: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the state that waits to be saved."""
        return self.saved.nbytes + self.state.inbox.nbytes + self.state.inbox.recent.nbytes

    def packed(self, identity: str) -> Checkpoint:
        """Return the state as facts and arrays; `identity` is that of everything that shapes the rows."""
        state, inbox = self.state, self.state.inbox
        facts = {
            "identity": identity,
            "position": asdict(self.saved.position),
            "rows": self.rows,
            "findings": self.findings,
            "counts": self.counts,
            "detector": list(state.detector),
            "timeline": list(state.timeline),
            "inbox": {name: getattr(inbox, name) for name in _INBOX_NUMBERS},
            "recent": {"number": inbox.recent.number, "forgotten": inbox.recent.forgotten},
        }
        arrays = self.saved.arrays()
        arrays |= {
            "recover_from": state.recover_from,
            "ahead_ns": inbox.ahead_ns,
            "recent": inbox.recent.changes,
        }
        arrays |= _snapshot_arrays("ahead", inbox.ahead)
        arrays |= _snapshot_arrays("waiting", SnapshotBatch.concat(inbox.waiting))
        return Checkpoint(facts, arrays)

    @classmethod
    def unpacked(cls, checkpoint: Checkpoint) -> LiveCheckpoint:
        """Return the state of a checkpoint; findings of the step before it, which have been written, are left out."""
        facts, arrays = checkpoint.facts, checkpoint.arrays
        ahead, waiting = (
            SnapshotBatch(**{each.name: arrays[f"{name}.{each.name}"] for each in fields(SnapshotBatch)})
            for name in ("ahead", "waiting")
        )
        inbox = InboxState(
            **facts["inbox"],
            ahead=ahead,
            ahead_ns=arrays["ahead_ns"],
            recent=RecentMessages(
                **facts["recent"], pieces=(arrays["recent"],) if arrays["recent"].size else ()
            ),
            waiting=(waiting,) if len(waiting) else (),
        )
        state = LiveState(
            inbox,
            tuple(facts["detector"]),
            tuple(facts["timeline"]),
            arrays["recover_from"],
            FlagChanges.none(),
            [],
            SnapshotBatch.nothing(),
            [],
            tuple(facts["detector"][2:]),
        )
        return cls(SavedReplay.of(checkpoint), state, facts["rows"], facts["findings"], facts["counts"])


def _snapshot_arrays(name: str, batch: SnapshotBatch) -> dict[str, NDArray[np.int64]]:
    return {f"{name}.{each.name}": getattr(batch, each.name) for each in fields(SnapshotBatch)}


class LiveCheckpoints(ReplayCheckpoints):
    """Checkpoints of one output folder of a live capture."""

    def newest(self, rows: int, findings: int) -> LiveCheckpoint | None:
        """Return the newest checkpoint that speaks of no more rows and findings than the logs have."""
        for each in self._checkpoints.newest_first():
            if each.facts["identity"] != self._identity:
                _LOG.info("%s: made by other settings or code; begun anew", self._checkpoints.folder)
                return None
            if each.facts["rows"] <= rows and each.facts["findings"] <= findings:
                return LiveCheckpoint.unpacked(each)
            self._misfits += 1
            _LOG.warning("%s: rows of a checkpoint are gone from the log", self._checkpoints.folder)
        return None

    def save(self, checkpoint: LiveCheckpoint) -> None:
        """Save a checkpoint; everything it speaks of is on the device."""
        self._checkpoints.save(checkpoint.packed(self._identity))
        self.written += 1
