"""Checkpoints of a live tail: taken between any two steps, and taken up by the next run."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.reconstruct.day.day_replay import SavedReplay
from order_book_platform.reconstruct.day.resumption import packed, unpacked
from order_book_platform.replay.live_flag_timeline import Edges
from order_book_platform.replay.snapshot_inbox import Arrived
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.replay.strategy import LiveState
from order_book_platform.storage.checkpoints import Checkpoint, Checkpoints

_WAITING = ("ahead", "there")
_NUMBERS = ("row", "clock_ns", "deltas_clock_ns", "last_sequence", "late")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveCheckpoint:
    """Where following goes on.

    Attributes:
        saved: the replay.
        state: what was known there.
        rows: in the log of books.
        findings: in the log of findings.
        tally: counts so far.
    """

    saved: SavedReplay
    state: LiveState
    rows: int
    findings: int
    tally: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Bytes of what waits to be saved."""
        return self.saved.nbytes + self.state.arrived.nbytes

    def packed(self, identity: str) -> Checkpoint:
        """As facts and arrays.

        Args:
            identity: of everything that shapes the rows.
        """
        state, arrived = self.state, self.state.arrived
        facts = {
            "identity": identity,
            "place": asdict(self.saved.place),
            "rows": self.rows,
            "findings": self.findings,
            "tally": self.tally,
            "finder": list(state.finder),
            "doubt": list(state.doubt),
            "arrived": {name: getattr(arrived, name) for name in _NUMBERS},
        }
        arrays = packed(self.saved)
        arrays |= {"recover_from": state.recover_from, "ahead_ns": arrived.ahead_ns}
        for name in _WAITING:
            batch = getattr(arrived, name)
            arrays |= {f"{name}.{field.name}": getattr(batch, field.name) for field in fields(SnapshotBatch)}
        return Checkpoint(facts, arrays)

    @classmethod
    def unpacked(cls, checkpoint: Checkpoint) -> LiveCheckpoint:
        """Inverse of `packed`, but for what had been found in the step before it."""
        facts, arrays = checkpoint.facts, checkpoint.arrays
        waiting = {
            name: SnapshotBatch(
                **{field.name: arrays[f"{name}.{field.name}"] for field in fields(SnapshotBatch)}
            )
            for name in _WAITING
        }
        none = np.empty(0, np.int64)
        state = LiveState(
            Arrived(
                **facts["arrived"],
                ahead=waiting["ahead"],
                ahead_ns=arrays["ahead_ns"],
                pieces=(waiting["there"],) if len(waiting["there"]) else (),
            ),
            tuple(facts["finder"]),
            tuple(facts["doubt"]),
            arrays["recover_from"],
            Edges(none, none),
            [],
            SnapshotBatch.nothing(),
            tuple(facts["finder"][2:]),
        )
        saved = unpacked(checkpoint, ReplayPosition(**facts["place"]))
        return cls(saved, state, facts["rows"], facts["findings"], facts["tally"])


class LiveCheckpoints:
    """Checkpoints of one output folder.

    Args:
        folder: of the checkpoints.
        identity: of everything that shapes the rows.

    Attributes:
        refused: that could not be used.
        written: by this run.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._checkpoints = Checkpoints(folder)
        self._identity = identity
        self._misfits = 0
        self.written = 0

    @property
    def refused(self) -> int:
        """That could not be used."""
        return self._misfits + self._checkpoints.damaged

    def newest(self, rows: int, findings: int) -> LiveCheckpoint | None:
        """The newest that holds.

        Args:
            rows: in the log of books; a checkpoint that speaks of more is passed over.
            findings: in the log of findings, the same.
        """
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
        """Keep a checkpoint; everything it speaks of is on the device."""
        self._checkpoints.save(checkpoint.packed(self._identity))
        self.written += 1
