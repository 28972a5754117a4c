"""Checkpoints of a day: saved where a part of its books ends, used by the next run if everything is as it was."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from order_book_platform.clock import Clock
from order_book_platform.reconstruct.checkpoint_format import CheckpointTimer, SavedReplay, identity
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, PartitionWriter
from order_book_platform.storage.checkpoints import Checkpoint
from order_book_platform.storage.partition_writer import FinishedFile, file_sha256

DATASET = "reconstructed_books"
# `asdict` copies deeply, which took longer than all the rest of a checkpoint once a day had a hundred parts.
_PART_FIELDS = tuple(each.name for each in fields(FinishedFile))
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DayCheckpoint:
    """The state that an earlier run left, found to be whole.

    Attributes:
        saved: State of the replay.
        parts: Parts of the books that the run finished.
    """

    saved: SavedReplay
    parts: tuple[FinishedFile, ...]


class DayCheckpoints:
    """Checkpoints of one partition that is being built.

    Args:
        store: Has the inputs and gets the partition.
        settings: All that shape the rows, and how often a checkpoint is due.
        writer: Writes the partition.
        inputs: Dataset to fingerprint.
        clock: Tells when a checkpoint is due.

    Attributes:
        written: Checkpoints saved by this run.
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
        """Number of checkpoints that could not be used."""
        return self._misfits + self._checkpoints.damaged

    def resume(self) -> DayCheckpoint | None:
        """Return the newest checkpoint that is whole; files that it does not name are removed from the partition."""
        found = self._newest()
        self._writer.resumable = found is not None
        kept = {part.name for part in found.parts} if found else set()
        for path in self._writer.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if found is None:
            self._checkpoints.clear()
            return None
        self._timer.last_events = found.saved.position.events
        _LOG.info(
            "%s goes on after %s deltas and %s parts of an earlier run",
            self._writer.key,
            f"{found.saved.position.deltas:,}",
            len(found.parts),
        )
        return found

    def _newest(self) -> DayCheckpoint | None:
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
                return DayCheckpoint(SavedReplay.of(checkpoint), parts)
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

    def due(self, position: ReplayPosition) -> bool:
        """Return whether a checkpoint is due at the end of a part; see `CheckpointTimer`."""
        return self._timer.due(position.events)

    def abandon(self) -> None:
        """Save nothing any more: another attempt has taken over."""
        self._abandoned = True

    def save(self, saved: SavedReplay, parts: BookWriter) -> None:
        """Save a checkpoint; every part so far is on the device."""
        if self._abandoned:
            return
        facts = {
            "identity": self._identity,
            "position": asdict(saved.position),
            "parts": [{name: getattr(part, name) for name in _PART_FIELDS} for part in parts.finished],
        }
        self._checkpoints.save(Checkpoint(facts, saved.arrays(), saved.outcomes))
        self._writer.resumable = True
        self.written += 1
