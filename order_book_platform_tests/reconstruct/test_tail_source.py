"""Two logs read as one stream: what is read at once, and when all of it has been."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from order_book_platform.model import DeltaBatch, FixedPoint
from order_book_platform.model.arrivals import Arrived
from order_book_platform.reconstruct import tail_source
from order_book_platform.reconstruct.tail_source import CaughtUp, Records, TailSource
from order_book_platform.streaming import Waiting
from order_book_platform_tests.reconstruct.captures import Capture
from order_book_platform_tests.streams import CENTRE, delta_batch

MESSAGE_ROWS = 4


def message(number: int) -> DeltaBatch:
    """Rows of one message, arriving at its number."""
    batch = delta_batch([[(True, CENTRE - level, 1) for level in range(MESSAGE_ROWS)]], [number])
    return replace(batch, received_time=np.full(MESSAGE_ROWS, number))


def kinds(source: TailSource) -> list[str | int]:
    """What a source gives up to its end, waiting where it asks to: rows, or what it says."""
    found: list[str | int] = []
    for item in source.read():
        match item:
            case Records():
                found.append(item.rows)
            case CaughtUp():
                found.append("caught up")
            case Waiting():
                found.append("waits")
                item.call()
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    """Two logs without a row."""
    capture = Capture(tmp_path, "SIMULATED:BTC-USDT-PERP", FixedPoint())
    yield capture
    capture.close()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_last_message_is_complete_wherever_a_pass_ends(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also where the last frame fills what is read at once, so that the next pass finds nothing."""
    monkeypatch.setattr(tail_source, "READ_ROWS", 2 * MESSAGE_ROWS)
    for number in range(1, count + 1):
        capture.append(message(number))
    found = kinds(TailSource(capture.folder, 0, Arrived(), lambda: False))
    assert sum(rows for rows in found if isinstance(rows, int)) == count * MESSAGE_ROWS
    assert found[-2:] == ["caught up", "waits"]
    assert found.count("caught up") == 1
