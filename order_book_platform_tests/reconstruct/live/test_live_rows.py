"""Rows in the log of books: when they are synced, when a checkpoint may be saved, and what findings say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from order_book_platform.clock import ManualClock
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.sequence_gap_report import FINDINGS_SCHEMA
from order_book_platform.reconstruct.live.idempotent_log import IdempotentLog
from order_book_platform.reconstruct.live.live_rows import LiveRows, findings_table
from order_book_platform.reconstruct.live.live_source import Quiet
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.replay.replay_steps import LiveState
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform_tests.reconstruct.live.test_live_checkpoints import checkpoint
from order_book_platform_tests.reconstruct.test_checkpoint_format import settings
from order_book_platform_tests.streams import CENTRE, snapshot_batch


def test_findings_are_late_snapshots_then_gaps() -> None:
    """A late snapshot lies between its own message and the last one applied."""
    gap = GapCandidate("chain", 20, 40, 2_000, 4_000, 3, "U is 24 where 21 was due")
    late = snapshot_batch([(5, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    none = np.empty(0, np.int64)
    state = LiveState(
        InboxState(), (True, 4, 40, 4_000), (0, 0), none, FlagChanges.none(), [gap], late, (20, 2_000)
    )
    first, second = findings_table(state).to_pylist()
    assert (first["cause"], first["from_sequence_number"], first["to_sequence_number"]) == (
        "late_snapshot",
        5,
        20,
    )
    assert (first["from_origin_time"], first["to_origin_time"], first["proven"]) == (500, 2_000, False)
    assert second == {
        "cause": "chain",
        "from_sequence_number": 20,
        "to_sequence_number": 40,
        "from_origin_time": 2_000,
        "to_origin_time": 4_000,
        "missing_ids": 3,
        "proven": True,
        "detail": "U is 24 where 21 was due",
    }


def test_rows_are_synced_by_count_and_time_and_checkpoints_wait_for_their_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is saved once the deltas and snapshots that it stands on are on the device."""
    syncs: list[str] = []
    sync = IdempotentLog.sync

    def noted(self: IdempotentLog) -> None:
        syncs.append(self._folder.name)
        sync(self)

    monkeypatch.setattr(IdempotentLog, "sync", noted)
    clock, saved = ManualClock(), list[Any]()
    source: Any = SimpleNamespace(synced=(0, 0))
    replay: Any = SimpleNamespace(begin=ReplayPosition())
    checkpoints: Any = SimpleNamespace(save=saved.append)
    with (
        IdempotentLog(tmp_path / "books", books_schema(1)) as books,
        IdempotentLog(tmp_path / "findings", FINDINGS_SCHEMA) as findings,
    ):
        sink = LiveRows(books, findings, replay, source, checkpoints, settings(depth=1), clock)
        table = sink.table(np.array([[1, 1, 1, 0, 0, 0, 100, 1, 105, 1]]))
        sink.write(table)
        assert syncs == []
        clock.advance(10**9)
        sink.write(table)
        assert syncs == ["findings", "books"]
        waits = checkpoint()
        sink.write(waits)
        assert saved == []
        source.synced = (waits.saved.position.deltas, waits.state.inbox.row)
        sink.write(Quiet())
        assert saved == [waits]
        assert syncs[2:] == ["findings", "books"] * 2
