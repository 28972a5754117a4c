"""Checkpoints of a live capture: taken between any two steps, and used by the next run."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.reconstruct.checkpoint_format import SavedReplay
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.replay_steps import LiveState
from order_book_platform.replay.snapshot_inbox import InboxState, joined_snapshots
from order_book_platform.storage.checkpoints import Checkpoint, Checkpoints

_INBOX_NUMBERS = ("row", "clock_ns", "deltas_clock_ns", "last_sequence", "late")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveCheckpoint:
    """The state from which following goes on.

    Attributes:
        saved: State of the replay.
        state: State of the snapshots, gaps and flags.
        rows: Rows in the log of books.
        findings: Rows in the log of findings.
        counts: `LiveReplay.counts`.
    """

    saved: SavedReplay
    state: LiveState
    rows: int
    findings: int
    counts: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the state that waits to be saved."""
        return self.saved.nbytes + self.state.inbox.nbytes

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
        }
        arrays = self.saved.arrays()
        arrays |= {"recover_from": state.recover_from, "ahead_ns": inbox.ahead_ns}
        arrays |= _snapshot_arrays("ahead", inbox.ahead)
        arrays |= _snapshot_arrays("waiting", joined_snapshots(inbox.waiting))
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
            tuple(facts["detector"][2:]),
        )
        return cls(SavedReplay.of(checkpoint), state, facts["rows"], facts["findings"], facts["counts"])


def _snapshot_arrays(name: str, batch: SnapshotBatch) -> dict[str, NDArray[np.int64]]:
    return {f"{name}.{each.name}": getattr(batch, each.name) for each in fields(SnapshotBatch)}


class LiveCheckpoints:
    """Checkpoints of one output folder.

    Args:
        folder: Folder of the checkpoints.
        identity: Identity of everything that shapes the rows.

    Attributes:
        written: Checkpoints saved by this run.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._checkpoints = Checkpoints(folder)
        self._identity = identity
        self._misfits = 0
        self.written = 0

    @property
    def refused(self) -> int:
        """Number of checkpoints that could not be used."""
        return self._misfits + self._checkpoints.damaged

    def newest(self, rows: int, findings: int) -> LiveCheckpoint | None:
        """Return the newest checkpoint that can be used.

        Args:
            rows: Rows in the log of books; a checkpoint that speaks of more is passed over.
            findings: Rows in the log of findings; the same.
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
        """Save a checkpoint; everything it speaks of is on the device."""
        self._checkpoints.save(checkpoint.packed(self._identity))
        self.written += 1
