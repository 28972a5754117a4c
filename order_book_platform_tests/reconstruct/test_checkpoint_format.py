"""What checkpoints of days and live captures share: arrays there and back, identity, and when one is due."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from order_book_platform.clock import ManualClock
from order_book_platform.reconstruct import checkpoint_format
from order_book_platform.reconstruct.checkpoint_format import CheckpointTimer, SavedReplay, identity
from order_book_platform.replay.book import Book
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage.checkpoints import Checkpoint
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch


def settings(**reconstruct: Any) -> Settings:
    """Settings without any data."""
    return Settings(
        lake_root=Path("lake"),
        data_root=Path("data"),
        first_day=date(2024, 1, 1),
        instruments=({"symbol": "TEST:ABC"},),  # type: ignore[arg-type]
        reconstruct=reconstruct,  # type: ignore[arg-type]
    )


def test_a_saved_replay_comes_back() -> None:
    """Position, book, outcomes and sizes are those that were packed; arrays of others are left alone."""
    book = Book(STEP, depth=2)
    list(book.feed(delta_batch([[(True, CENTRE, 1)]], [10])))
    outcomes = {"used": np.arange(4).reshape(2, 2)}
    saved = SavedReplay(
        ReplayPosition(7, 3, 1, 10),
        book.saved(),
        outcomes,
        np.array([[1, 2]], np.uint64),
        np.array([True, False]),
    )
    arrays = {**saved.arrays(), "recover_from": np.arange(3)}
    found = SavedReplay.of(Checkpoint({"position": asdict(saved.position)}, arrays, outcomes))
    assert found.position == saved.position
    assert found.book.keys() == saved.book.keys()
    for name, array in saved.book.items():
        np.testing.assert_array_equal(found.book[name], array)
    np.testing.assert_array_equal(found.outcomes["used"], outcomes["used"])
    assert (found.sizes.tolist(), found.shown_sizes.tolist()) == ([[1, 2]], [True, False])
    assert found.nbytes == saved.nbytes


def test_a_checkpoint_is_due_after_events_or_time() -> None:
    """Counted from the last one that was due."""
    clock = ManualClock()
    timer = CheckpointTimer(settings(checkpoint_events=100, checkpoint_interval="10s"), clock)
    timer.last_events = 50
    assert [timer.due(events) for events in (149, 150, 151, 249)] == [False, True, False, False]
    clock.advance(10 * 10**9)
    assert [timer.due(events) for events in (249, 250)] == [True, False]


def test_no_checkpoint_is_due_without_events() -> None:
    """The setting 0 takes none, however long it takes."""
    clock = ManualClock()
    timer = CheckpointTimer(settings(checkpoint_events=0), clock)
    clock.advance(10**15)
    assert not timer.due(10**9)


def test_identity_names_what_shapes_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, inputs, name, code and libraries change it; when checkpoints are taken does not."""
    plain = identity(settings(), "a", {"raw_deltas": "1"})
    assert (
        identity(settings(checkpoint_events=5, checkpoint_interval="1s"), "a", {"raw_deltas": "1"}) == plain
    )
    others = [
        identity(settings(depth=3), "a", {"raw_deltas": "1"}),
        identity(settings(), "b", {"raw_deltas": "1"}),
        identity(settings(), "a", {"raw_deltas": "2"}),
    ]
    monkeypatch.setattr(checkpoint_format, "code_version", lambda _: "another")
    others.append(identity(settings(), "a", {"raw_deltas": "1"}))
    monkeypatch.setattr(checkpoint_format, "version", lambda _: "0")
    others.append(identity(settings(), "a", {"raw_deltas": "1"}))
    assert len({plain, *others}) == 6
