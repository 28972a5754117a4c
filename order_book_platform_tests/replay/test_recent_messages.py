"""A snapshot that arrives late, or lies inside a message, gives the book that it would have given on time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.book.replay_arrays import ROW_FLAGS, ROW_HEAD, ROW_KNOWN_BIDS
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.reconstruct.live.live_stream import LiveReplay
from order_book_platform.replay import recent_messages
from order_book_platform.replay.in_memory import replay_in_memory
from order_book_platform.replay.recent_messages import (
    BROKEN,
    FORGOTTEN,
    NUMBER,
    REMEMBERED_NS,
    RecentMessages,
    bring_up_to_date,
)
from order_book_platform.replay.replay_steps import LiveSteps
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings
from order_book_platform_tests.recorded_depth import RECORDED, recorded
from order_book_platform_tests.streams import CENTRE, STEP, cut, delta_batch, snapshot_batch

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Sides = tuple[dict[int, int], dict[int, int]]
SECOND = 10**9


def settings(depth: int = 3) -> Settings:
    """Every snapshot extends, and every message gives a row."""
    return Settings(
        lake_root=Path("lake"),
        data_root=Path("data"),
        first_day=date(2024, 1, 1),
        instruments=({"symbol": "TEST:ABC"},),  # type: ignore[arg-type]
        reconstruct={"depth": depth, "cadence": "message", "extend_every": 1},  # type: ignore[arg-type]
    )


def follow(
    deltas: DeltaBatch, snapshots: SnapshotBatch, step: int, every: int = 10**6, depth: int = 3
) -> tuple[Ints, LiveReplay]:
    """Rows of a live capture, in batches of so many messages."""
    steps = LiveSteps(settings(depth), step, ReplayPosition(), None)
    replay = LiveReplay(settings(depth), step)
    steps.inbox.receive(snapshots)
    rows = [
        piece.copy()
        for batch in cut(deltas, every)
        for taken in steps.take(batch)
        for piece in replay.apply(taken)
    ]
    return np.concatenate(rows), replay


def best(levels: dict[int, int], sign: int, depth: int) -> list[int]:
    """Price and size of the best levels, as a row has them."""
    found = sorted(levels, key=lambda price: price * sign)[:depth]
    pairs = [number for price in found for number in (price, levels[price])]
    return pairs + [MISSING_PIPS, 0] * (depth - len(found))


@dataclass(frozen=True)
class Market:
    """A market whose every change has an id, and what a capture of it holds.

    Attributes:
        truth: All levels before the first change.
        changes: (side, price, size) of ids 1, 2, …
        ends: Last id of each message.
        taken: Id after which each snapshot was taken, and how many levels a side it shows.
        delays: How many messages later than on time each of them arrives.
    """

    truth: Sides
    changes: list[tuple[int, int, int]]
    ends: list[int]
    taken: list[tuple[int, int]]
    delays: list[int]


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Few prices, so that most are touched; bids stay below asks, and sides run empty."""
    offsets, sizes = st.integers(1, 14), st.integers(1, 3)
    truth = tuple(
        {
            (CENTRE + sign * offset) * STEP: size
            for offset, size in draw(st.dictionaries(offsets, sizes)).items()
        }
        for sign in (-1, 1)
    )
    change = st.tuples(st.integers(0, 1), offsets, st.sampled_from([0, 0, 1, 2, 3]))
    changes = [
        (s, (CENTRE + (-1, 1)[s] * offset) * STEP, size)
        for s, offset, size in draw(st.lists(change, min_size=1, max_size=60))
    ]
    ends = sorted(draw(st.sets(st.integers(1, len(changes)), max_size=25)) | {len(changes)})
    taken = draw(st.lists(st.tuples(st.integers(0, len(changes)), st.integers(1, 8)), max_size=5))
    delays = draw(st.lists(st.integers(0, 12), min_size=len(taken), max_size=len(taken)))
    return Market((truth[0], truth[1]), changes, ends, taken, delays)


@dataclass
class OnTime:
    """A book of plain dicts that gets each change and each snapshot at its own id."""

    levels: Sides
    known: list[int | None]

    def take(self, truth: Sides, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Take a snapshot of so many levels a side, and return them."""
        sides = []
        for s, sign in enumerate((-1, 1)):
            shown = sorted(truth[s].items(), key=lambda level: level[0] * sign)[:count]
            last = shown[-1][0] * sign
            for price in [price for price in self.levels[s] if price * sign <= last]:
                del self.levels[s][price]
            self.levels[s].update(shown)
            known = self.known[s]
            self.known[s] = last if known is None else max(known, last)
            sides.append([(price // STEP, size) for price, size in shown])
        return sides[0], sides[1]

    def row(self, truth: Sides, depth: int) -> list[int]:
        """Known levels a side, then the visible levels; what is known is the truth."""
        row, known = [], []
        for s, sign in enumerate((-1, 1)):
            bound, levels = self.known[s], self.levels[s]
            shown = best(levels, sign, depth)
            row += shown
            known.append(
                0 if bound is None else sum(p * sign <= bound for p in shown[::2] if p != MISSING_PIPS)
            )
            if bound is not None:
                inside = {price: size for price, size in levels.items() if price * sign <= bound}
                assert inside == {price: size for price, size in truth[s].items() if price * sign <= bound}
        return known + row


@given(markets(), st.sampled_from(["prev_final_update_id", "first_update_id"]), st.integers(1, 9))
def test_late_is_as_good_as_on_time(market: Market, ids: str, every: int) -> None:
    """Once every snapshot has arrived: levels, known range and flags are those of plain dicts that had it on time."""
    truth: Sides = (dict(market.truth[0]), dict(market.truth[1]))
    book = OnTime(({}, {}), [None, None])
    shots: list[tuple[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]]] = []
    arrival: list[int] = []
    wanted: dict[int, list[int]] = {}
    seeded = False

    def take(number: int, message: int) -> None:
        nonlocal seeded
        for (taken, count), delay in zip(market.taken, market.delays, strict=True):
            if taken == number and truth[0] and truth[1]:
                shots.append((number, book.take(truth, count)))
                arrival.append(1_000 * (message + 1 + delay))
                seeded = True

    take(0, 0)
    number = 0
    for message, end in enumerate(market.ends):
        for s, price, size in market.changes[number:end]:
            number += 1
            for levels in (truth[s], book.levels[s]):
                levels.pop(price, None)
                if size:
                    levels[price] = size
            take(number, message)
        if all(time <= 1_000 * (message + 1) for time in arrival):
            wanted[end] = [int(seeded), *book.row(truth, 3)]
    starts = [0, *market.ends]
    rows = [
        [(s == 0, price // STEP, size) for s, price, size in market.changes[a:b]]
        for a, b in zip(starts, market.ends, strict=False)
    ]
    lengths = [len(message) for message in rows]
    deltas = delta_batch(rows, market.ends)
    first = np.repeat(np.array(starts[:-1]) + (ids == "first_update_id"), lengths)
    received = np.repeat(1_000 * np.arange(1, len(rows) + 1), lengths)
    deltas = replace(deltas, received_time=received, **{ids: first})
    order = np.argsort(arrival, kind="stable")
    snapshots = replace(snapshot_batch(shots), received_time=np.array(arrival, np.int64)).take(order)
    found, replay = follow(deltas, snapshots, STEP, every)
    assert not {"late_snapshot", "repaired", "chain"} & set(replay.counts)
    for row in found.tolist():
        if row[2] in wanted:
            assert [row[ROW_FLAGS] & BookFlag.SEEDED, *row[ROW_KNOWN_BIDS:]] == wanted[row[2]]


def batch(*messages: tuple[int, int, int]) -> DeltaBatch:
    """(number, number that it follows, arrival) of messages of one bid each."""
    made = delta_batch([[(True, CENTRE, 1)]] * len(messages), [number for number, _, _ in messages])
    follows, received = (np.array(column) for column in list(zip(*messages, strict=True))[1:])
    return replace(made, prev_final_update_id=follows, received_time=received)


def memory(*messages: tuple[int, int, int]) -> RecentMessages:
    """After these messages, one batch each."""
    found = RecentMessages()
    for message in messages:
        found = found.remember(batch(message), np.array([message[2]]))
    return found


@pytest.mark.parametrize(
    ("number", "arrival", "reason"),
    [
        (10, 45, ""),  # the number of a message
        (15, 45, ""),  # inside a message
        (5, 45, ""),  # inside the first one: pu reaches back to it
        (4, 45, BROKEN),  # what was between is not known
        (10, 20 + REMEMBERED_NS, ""),  # the message behind it arrived 10 s before it
        (10, 21 + REMEMBERED_NS, FORGOTTEN),
    ],
)
def test_what_can_be_brought_up_to_date(number: int, arrival: int, reason: str) -> None:
    """Messages 10, 20, 30 that arrived at 10, 20, 30; the first follows 5."""
    found = memory((10, 5, 10), (20, 10, 20), (30, 20, 30))
    assert found.missing(number, arrival) == reason


@pytest.mark.parametrize(
    ("follows", "number", "reason"),
    [
        (25, 10, BROKEN),  # a message between 20 and 30 is lost, and the snapshot is from before it
        (25, 25, ""),  # it is lost, and the snapshot knows it
        (25, 24, BROKEN),
        (15, 10, ""),  # an overlap loses nothing
    ],
)
def test_a_break_behind_a_snapshot(follows: int, number: int, reason: str) -> None:
    """Messages 10, 20, 30, of which the last follows another number than 20."""
    assert memory((10, 5, 1), (20, 10, 2), (30, follows, 3)).missing(number, 4) == reason


def test_without_ids_nothing_can_be_brought_up_to_date() -> None:
    """No message proves that it follows the one before."""
    deltas = replace(batch((10, 5, 1), (20, 10, 2)), prev_final_update_id=None)
    found = RecentMessages().remember(deltas, deltas.received_time)
    assert (found.number, found.forgotten, found.pieces) == (20, 20, ())
    assert found.missing(10, 3) == FORGOTTEN


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6 * SECOND)), min_size=1, max_size=30),
    st.integers(1, 12),
    st.integers(1, 30),
)
def test_the_memory_is_a_function_of_the_rows(lengths: list[tuple[int, int]], every: int, limit: int) -> None:
    """However the messages are cut: the same answers, 10 s and so many rows at most, all of a message or none."""
    rows = [[(True, CENTRE, 1)] * length for length, _ in lengths]
    numbers = [10 * (i + 1) for i in range(len(rows))]
    times = np.cumsum([pause for _, pause in lengths])
    count = [length for length, _ in lengths]
    deltas = replace(
        delta_batch(rows, numbers),
        received_time=np.repeat(times, count),
        prev_final_update_id=np.repeat(np.array(numbers) - 10, count),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recent_messages, "REMEMBERED_ROWS", limit)
        found = RecentMessages()
        for piece in cut(deltas, every):
            found = found.remember(piece, piece.received_time)
        assert found.changes.shape[1] <= limit
        assert sum(piece.shape[1] for piece in found.pieces) == found.changes.shape[1]
        assert len(found.pieces) <= 2 + np.log2(len(deltas))
        arrival = int(times[-1]) + 1
        for at, number in enumerate(numbers[:-1]):
            holds = sum(count[at + 1 :]) <= limit and times[at + 1] >= arrival - REMEMBERED_NS
            assert found.missing(number, arrival) == ("" if holds else FORGOTTEN)
            if holds:
                assert found.behind(number)[NUMBER].tolist() == [
                    n
                    for n, length in zip(numbers[at + 1 :], count[at + 1 :], strict=True)
                    for _ in range(length)
                ]


def test_states_share_what_is_remembered() -> None:
    """A level change is copied as many times as there may be pieces, not once for each message."""
    found, seen = RecentMessages(), dict[int, int]()
    for i in range(1, 2_001):
        found = found.remember(batch((i, i - 1, i)), np.array([i]))
        seen |= {id(piece.base if piece.base is not None else piece): piece.nbytes for piece in found.pieces}
    assert found.nbytes == 2_000 * 40
    assert sum(seen.values()) <= found.nbytes * 13


def test_a_level_at_the_end_that_is_gone_still_bounds_the_range() -> None:
    """Of a snapshot inside a message: the size of the message, levels between, and nothing beyond its last price."""
    rows = [(True, CENTRE - 3, 0), (True, CENTRE - 2, 7), (True, CENTRE - 9, 5), (False, CENTRE + 1, 0)]
    deltas = replace(delta_batch([rows], [20]), prev_final_update_id=np.full(4, 10))
    shot = snapshot_batch([(15, ([(CENTRE - 1, 1), (CENTRE - 3, 1)], [(CENTRE + 1, 1), (CENTRE + 2, 4)]))])
    made = bring_up_to_date(shot, deltas, RecentMessages())
    wanted = snapshot_batch([(20, ([(CENTRE - 1, 1), (CENTRE - 2, 7), (CENTRE - 3, 0)], [(CENTRE + 2, 4)]))])
    assert made.sequence_number.tolist() == [20]
    np.testing.assert_array_equal(made.encoded_price, wanted.encoded_price)
    np.testing.assert_array_equal(made.encoded_size, wanted.encoded_size)
    for number in (10, 20):  # of the message before, and of the message itself
        same = replace(shot, sequence_number=np.array([number]))
        assert bring_up_to_date(same, deltas, RecentMessages()) is same


@pytest.mark.parametrize("every", [1, 5])
def test_a_day_s_snapshot_inside_a_message_does_not_contradict_the_book(every: int) -> None:
    """It shows a part of message 20. It extends, repairs nothing, and each row is right."""
    rows = [
        [(True, CENTRE, 1), (False, CENTRE + 1, 1)],
        [(True, CENTRE, 2), (False, CENTRE + 1, 3)],
        [(True, CENTRE, 5)],
    ]
    numbers = [10, 20, 30]
    deltas = replace(delta_batch(rows, numbers), prev_final_update_id=np.array([0, 0, 10, 10, 20]))
    shots = snapshot_batch(
        [
            (10, ([(CENTRE, 1)], [(CENTRE + 1, 1)])),
            (15, ([(CENTRE, 2), (CENTRE - 1, 9)], [(CENTRE + 1, 1), (CENTRE + 2, 9)])),
        ]
    )
    made = replay_in_memory(
        cut(deltas, every), shots, tick=STEP, depth=2, cadence="message", strategy=FullEventReplay(1)
    )
    assert made.book.outcomes[:, :3].tolist() == [[1, 0, 0], [2, 2, 0]]
    names = ["bid_0_size_pips", "bid_1_size_pips", "ask_0_size_pips", "known_bid_levels", "flags"]
    rows_made = made.rows.select(names).to_pylist()
    assert [list(row.values()) for row in rows_made][1:] == [[2, 9, 3, 2, 1], [5, 9, 3, 2, 1]]
    assert not any(row["flags"] & BookFlag.REPAIRED for row in rows_made)


@pytest.mark.parametrize("market", RECORDED)
def test_recorded_snapshots_seed_with_every_delay(recordings: Path, market: str) -> None:
    """As recorded, and after every message of the next 5 s: from then on the rows and the book of one on time."""
    deltas, shot = recorded(recordings, market)
    step = int(np.gcd.reduce(deltas.encoded_price))
    numbers, first = np.unique(deltas.sequence_number, return_index=True)
    clock = np.maximum.accumulate(deltas.received_time)[first]
    at = int(np.searchsorted(numbers, shot.sequence_number[0]))
    assert clock[at] < shot.received_time[0], "it arrives after messages that it does not know"
    stop = int(np.searchsorted(clock, clock[at] + 7 * SECOND))
    part = deltas.slice(0, int(first[stop]))
    on_time, book = follow(part, replace(shot, received_time=clock[at : at + 1]), step, depth=20)
    assert book.counts["seeded"] == 1
    arrivals = clock[(clock > clock[at]) & (clock <= clock[at] + 5 * SECOND)]
    assert len(arrivals) > 40
    for arrival in [int(shot.received_time[0]), *arrivals.tolist()]:
        late, replay = follow(part, replace(shot, received_time=np.array([arrival])), step, depth=20)
        assert dict(replay.counts) == {"seeded": 1, "brought_up_to_date": 1}
        since = int(np.searchsorted(clock[:stop], arrival))
        np.testing.assert_array_equal(late[since:], on_time[since:])
        assert not (late[:since, ROW_FLAGS] & BookFlag.SEEDED).any()
        assert replay.book.bounds == book.book.bounds
        for s in (0, 1):
            for name in ("encoded_price", "encoded_size", "known"):
                np.testing.assert_array_equal(
                    getattr(replay.book.levels(s), name), getattr(book.book.levels(s), name)
                )


@pytest.mark.parametrize("market", RECORDED)
def test_a_whole_recording_is_that_of_plain_dicts(recordings: Path, market: str) -> None:
    """Best 20 levels after each message from the late seed on, wherever they are called known."""
    deltas, shot = recorded(recordings, market)
    rows, replay = follow(deltas, shot, int(np.gcd.reduce(deltas.encoded_price)), 700, depth=20)
    assert replay.counts["seeded"] == 1
    assert "late_snapshot" not in replay.counts
    assert "chain" not in replay.counts
    sides = [
        dict(zip(shot.encoded_price[0, s].tolist(), shot.encoded_size[0, s].tolist(), strict=True))
        for s in (0, 1)
    ]
    known = 0
    for message, row in zip(cut(deltas, 1), rows.tolist(), strict=True):
        if row[2] <= shot.sequence_number[0]:
            continue
        for is_bid, price, size in zip(
            message.is_bid.tolist(),
            message.encoded_price.tolist(),
            message.encoded_size.tolist(),
            strict=True,
        ):
            levels = sides[0 if is_bid else 1]
            levels.pop(price, None)
            if size:
                levels[price] = size
        if row[ROW_FLAGS] & BookFlag.SEEDED and row[2] % 50 == 0:
            for s, sign in enumerate((-1, 1)):
                count = 2 * row[ROW_KNOWN_BIDS + s]
                shown = row[ROW_HEAD + 40 * s : ROW_HEAD + 40 * s + count]
                assert shown == best(sides[s], sign, 20)[:count]
                known += count
    assert known > 1_000
