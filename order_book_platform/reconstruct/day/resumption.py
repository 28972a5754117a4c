"""Checkpoints of a reconstruction: taken where a part ends, taken up by the next run if everything is as it was."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

from numpy.typing import NDArray

from order_book_platform.clock import Clock, SystemClock
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import SavedReplay
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.storage.checkpoints import Checkpoint
from order_book_platform.storage.manifest import file_sha256
from order_book_platform.storage.partition_writer import FinishedFile
from order_book_platform.version import code_version

DATASET = "reconstructed_books"
# `asdict` copies deeply, which took longer than all the rest of a checkpoint once a day had a hundred parts.
_PART = tuple(each.name for each in fields(FinishedFile))
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What an earlier run left, and was found to be whole.

    Attributes:
        saved: where the replay goes on.
        parts: that it finished.
    """

    saved: SavedReplay
    parts: tuple[FinishedFile, ...]


class CheckpointTimer:
    """Tells when a checkpoint is due.

    Args:
        settings: `reconstruct`.
        clock: for the interval.

    Attributes:
        last_events: how far the last checkpoint was.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._events = settings.reconstruct.checkpoint_events
        self._interval = settings.reconstruct.checkpoint_interval
        self._clock = clock or SystemClock()
        self._last_ns = self._clock.monotonic_ns()
        self.last_events = 0

    def due(self, events: int) -> bool:
        """Whether a checkpoint is due after so many events; if so, the next one is counted from here.

        Called by the stage that applies, which does not wait until the checkpoint is written.
        """
        if self._events == 0:
            return False
        now_ns = self._clock.monotonic_ns()
        if events - self.last_events < self._events and now_ns - self._last_ns < self._interval:
            return False
        self.last_events, self._last_ns = events, now_ns
        return True


class Resumption:
    """Checkpoints of one partition that is being built.

    Args:
        store: has the inputs and gets the partition.
        settings: all that shape the rows, and how often a checkpoint is due.
        writer: of the partition.
        inputs: dataset to fingerprint.
        clock: tells when a checkpoint is due.

    Attributes:
        written: checkpoints of this run.
    """

    def __init__(
        self,
        store: DataStore,
        settings: Settings,
        writer: PartitionWriter,
        inputs: Mapping[str, str],
        clock: Clock | None = None,
    ) -> None:
        self._checkpoints = store.checkpoints(DATASET, writer.key)
        self._writer = writer
        self._identity = identity(settings, str(writer.key), inputs)
        self._timer = CheckpointTimer(settings, clock)
        self._abandoned = False
        self._misfits = 0
        self.written = 0

    @property
    def refused(self) -> int:
        """Checkpoints that could not be used."""
        return self._misfits + self._checkpoints.damaged

    def take_up(self) -> Unfinished | None:
        """The newest checkpoint that holds; whatever it does not speak of is removed from the partition's folder."""
        found = self._newest()
        self._writer.resumable = found is not None
        kept = {part.name for part in found.parts} if found else set()
        for path in self._writer.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if found is None:
            self._checkpoints.clear()
            return None
        self._timer.last_events = found.saved.place.events
        _LOG.info(
            "%s goes on after %s deltas and %s parts of an earlier run",
            self._writer.key,
            f"{found.saved.place.deltas:,}",
            len(found.parts),
        )
        return found

    def _newest(self) -> Unfinished | None:
        nothing_left = not any(self._writer.folder.iterdir())
        for checkpoint in self._checkpoints.newest_first():
            if checkpoint.facts["identity"] != self._identity:
                _LOG.info(
                    "%s begins anew: inputs, settings or code have changed since it was left",
                    self._writer.key,
                )
                return None
            parts = tuple(FinishedFile(**part) for part in checkpoint.facts["parts"])
            if parts and nothing_left:
                # A run that died between publishing and removing its checkpoints: nothing is damaged.
                _LOG.info(
                    "%s begins anew: what its checkpoints speak of has been published", self._writer.key
                )
                return None
            broken = [part.name for part in parts if not self._is_whole(part)]
            if not broken:
                return _unfinished(checkpoint, parts)
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

    def due(self, place: ReplayPosition) -> bool:
        """Whether a checkpoint is due at the end of a part; see `CheckpointTimer`."""
        return self._timer.due(place.events)

    def abandon(self) -> None:
        """Another attempt has taken over: nothing is saved any more."""
        self._abandoned = True

    def save(self, saved: SavedReplay, parts: BookWriter) -> None:
        """Keep a checkpoint; every part so far is on the device."""
        if self._abandoned:
            return
        facts = {
            "identity": self._identity,
            "place": asdict(saved.place),
            "parts": [{name: getattr(part, name) for name in _PART} for part in parts.finished],
        }
        self._checkpoints.save(Checkpoint(facts, packed(saved), saved.history))
        self._writer.resumable = True
        self.written += 1


def _unfinished(checkpoint: Checkpoint, parts: tuple[FinishedFile, ...]) -> Unfinished:
    return Unfinished(unpacked(checkpoint, ReplayPosition(**checkpoint.facts["place"])), parts)


def packed(saved: SavedReplay) -> dict[str, NDArray[Any]]:
    """Arrays of a replay by names that tell them apart; its history is kept as rows that grow."""
    arrays: dict[str, NDArray[Any]] = {f"book.{name}": array for name, array in saved.book.items()}
    return arrays | {"sizes": saved.sizes, "shown": saved.shown}


def unpacked(checkpoint: Checkpoint, place: ReplayPosition) -> SavedReplay:
    """Inverse of `packed`; other arrays are left alone."""
    arrays = checkpoint.arrays
    return SavedReplay(
        place,
        {name.removeprefix("book."): array for name, array in arrays.items() if name.startswith("book.")},
        checkpoint.growing,
        arrays["sizes"],
        arrays["shown"],
    )


def identity(settings: Settings, of: str, inputs: Mapping[str, object]) -> str:
    """SHA-256 over all that the rows depend on.

    Args:
        settings: `reconstruct` and `gaps`.
        of: what is rebuilt.
        inputs: what it is made of.
    """
    shaping = {
        "key": of,
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
