"""When a snapshot is there, when it is late, and where messages have to be cut for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.replay.snapshot_inbox import SnapshotInbox
from order_book_platform_tests.streams import CENTRE, delta_batch, snapshot_batch


def messages(received: list[int]) -> DeltaBatch:
    """Numbers 10, 20, … of two rows each, arriving then."""
    batch = delta_batch([[(True, CENTRE, 1), (True, CENTRE - 1, 1)]] * len(received), numbers(len(received)))
    return replace(batch, received_time=np.repeat(np.array(received), 2))


def numbers(count: int) -> list[int]:
    """Of so many messages."""
    return [10 * (i + 1) for i in range(count)]


def shots(*pairs: tuple[int, int]) -> SnapshotBatch:
    """(number, arrival) of each."""
    batch = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number, _ in pairs])
    return replace(batch, received_time=np.array([arrival for _, arrival in pairs]))


def waiting(inbox: SnapshotInbox) -> SnapshotBatch:
    """Snapshots that have arrived and wait for their messages."""
    return SnapshotBatch.concat(inbox.state.waiting)


@pytest.mark.parametrize(
    ("arrival", "number", "cut", "late"),
    [
        (100, 20, 8, False),  # with its message
        (250, 40, 8, False),  # long before its message
        (201, 20, 4, False),  # right behind it: between the two
        (200, 20, 8, False),  # no later than it
        (201, 10, 4, True),  # a message has gone by
        (201, 25, 8, False),  # of a message that never came
        (401, 40, 8, False),  # nothing has arrived as late: not there yet
        (0, 5, 8, False),  # before the first message
    ],
)
def test_where_a_snapshot_comes_in(arrival: int, number: int, cut: int, late: bool) -> None:
    """Four messages that arrive at 100, 200, 300, 400."""
    tail, deltas = SnapshotInbox(), messages([100, 200, 300, 400])
    tail.receive(shots((number, arrival)))
    assert tail.rows_until_arrival(deltas) == cut
    found = [tail.advance(deltas.slice(0, cut))[0]]
    released = tail.release(int(deltas.sequence_number[cut - 1])).tolist()
    if cut < len(deltas):
        assert tail.rows_until_arrival(deltas.slice(cut, 8)) == 8 - cut
        found.append(tail.advance(deltas.slice(cut, 8))[0])
        assert released == []
        released = tail.release(40).tolist()
    assert [n for each in found for n in each.sequence_number.tolist()] == ([number] if late else [])
    there = arrival <= 400
    assert released == ([number] if there and not late else [])
    assert (len(tail.state.ahead), len(waiting(tail)), tail.state.late) == (int(not there), 0, int(late))
    assert [len(batch) for batch in tail] == ([1] if released else [])


def test_clocks_that_go_back_do_not_change_the_order() -> None:
    """Of either log: what came before in it had been there before."""
    tail, deltas = SnapshotInbox(), messages([100, 50, 60])
    tail.receive(shots((30, 100), (20, 40)))
    assert len(tail.advance(deltas.slice(0, 2))[0]) == 0
    assert tail.release(10).tolist() == []
    assert waiting(tail).sequence_number.tolist() == [20, 30]
    tail.advance(deltas.slice(2, 6))
    assert tail.release(30).tolist() == [20, 30]


def test_what_waits_goes_on_with_another() -> None:
    """Snapshots that are there, and those that are ahead of every delta."""
    tail, deltas = SnapshotInbox(), messages([100, 200, 300])
    tail.receive(shots((30, 100), (20, 250)))
    tail.advance(deltas.slice(0, 2))
    other = SnapshotInbox(tail.state)
    assert other.state.row == 2
    assert other.rows_until_arrival(deltas.slice(2, 6)) == 2
    other.advance(deltas.slice(2, 4))
    other.advance(deltas.slice(4, 6))
    assert other.release(30).tolist() == [20, 30]


def test_moments_share_what_waits() -> None:
    """Snapshots far ahead of the deltas are not copied for each step that another one arrives in."""
    count = 200
    tail, deltas = SnapshotInbox(), messages([10 * (i + 1) for i in range(count)])
    tail.receive(shots(*((10_000 + i, 10 * (i + 1)) for i in range(count))))
    moments = []
    for i in range(count):
        tail.advance(deltas.slice(2 * i, 2 * i + 2))
        moments.append(tail.state)
    different = {id(piece): piece.nbytes for moment in moments for piece in moment.waiting}
    assert sum(different.values()) <= waiting(tail).nbytes * np.log2(2 * count)
    assert tail.release(10_099).tolist() == list(range(10_000, 10_100))
    assert waiting(tail).sequence_number.tolist() == list(range(10_100, 10_200))
    assert tail.release(20_000).tolist() == list(range(10_100, 10_200))


def test_those_that_arrive_in_another_order_wait_in_that_of_their_numbers() -> None:
    """However the pieces were cut when they came."""
    numbers_ = np.random.default_rng(2).permutation(50).tolist()
    tail, deltas = SnapshotInbox(), messages([10 * (i + 1) for i in range(50)])
    tail.receive(shots(*((1_000 + number, 10 * (i + 1)) for i, number in enumerate(numbers_))))
    for i in range(50):
        tail.advance(deltas.slice(2 * i, 2 * i + 2))
        assert waiting(tail).sequence_number.tolist() == sorted(1_000 + n for n in numbers_[: i + 1])
    assert tail.release(1_020).tolist() == list(range(1_000, 1_021))
    assert tail.release(2_000).tolist() == list(range(1_021, 1_050))
