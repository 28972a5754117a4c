"""Steps hold whole messages and the snapshots due by the last of them, however deltas come in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError, ReconstructionError
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.reconstruct.book_stages import configured_book, size_of
from order_book_platform.reconstruct.live.live_stream import LiveReplay
from order_book_platform.reconstruct.replay_checkpoints import LiveCheckpoint
from order_book_platform.replay import recent_messages, replay_steps, snapshot_inbox
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.replay_steps import (
    Instant,
    LiveState,
    LiveSteps,
    ReplayStep,
    ReplaySteps,
    SnapshotSteps,
)
from order_book_platform.replay.snapshot_scheduler import (
    AllButEveryNth,
    EveryNthSnapshot,
    ReplayPosition,
    SnapshotScheduler,
    snapshot_defects,
)
from order_book_platform.settings import Settings
from order_book_platform_tests.streams import (
    CENTRE,
    STEP,
    cut,
    delta_batch,
    snapshot_batch,
    streams,
    witnessed_streams,
)

NONE = np.empty(0, np.int64)
DELTAS = delta_batch([[(True, CENTRE, 1), (True, CENTRE - 1, 1)]] * 6, [10, 20, 30, 40, 50, 60])


def shots(*numbers: int) -> SnapshotBatch:
    """Snapshots with these sequence numbers."""
    return snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in numbers])


def heads(steps: list[ReplayStep]) -> list[tuple[int, list[int], int, bool]]:
    """Last message, snapshots due, position in the deltas, and whether a part ends."""
    return [
        (
            int(step.deltas.sequence_number[-1]) if step.deltas else -1,
            step.due.used.sequence_number.tolist(),
            step.position.deltas,
            step.ends_part,
        )
        for step in steps
    ]


@pytest.mark.parametrize("every", [1, 2, 6])
def test_parts_end_with_a_message_however_batches_are_cut(
    monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """The message that completes five deltas ends a part, and with it a step."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 5)
    steps = ReplaySteps(SnapshotScheduler(iter([shots(20, 45, 70)]), EveryNthSnapshot(1), NONE, STEP))
    found = [step for batch in cut(DELTAS, every) for step in steps.take(batch)]
    ends = [(last, at) for last, _, at, ends_part in heads(found) if ends_part]
    assert ends == [(30, 6), (60, 12)]
    assert [number for _, used, _, _ in heads(found) for number in used] == [20, 45]
    assert list(steps.finish()) == []


def test_steps_end_at_an_instant() -> None:
    """Deltas behind it are not wanted, and are not in the last step."""
    steps = ReplaySteps(
        SnapshotScheduler(iter([]), EveryNthSnapshot(1), NONE, STEP), Instant(sequence_number=35)
    )
    assert not steps.ended()
    assert heads(list(steps.take(DELTAS))) == [(30, [], 6, False)]
    assert steps.ended()


def test_snapshots_alone_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them after the deltas, so many at a time, up to an instant."""
    monkeypatch.setattr(replay_steps, "PART_SNAPSHOTS", 2)
    for until, wanted in (
        (None, [[10, 20], [30, 40], [50]]),
        (Instant(sequence_number=30), [[10, 20], [30]]),
    ):
        scheduler = SnapshotScheduler(iter([shots(10, 20, 30, 40, 50)]), AllButEveryNth(0), NONE, STEP)
        steps = SnapshotSteps(scheduler, until)
        assert steps.ended()
        assert list(steps.take(DELTAS)) == []
        found = list(steps.finish())
        assert [step.due.used.sequence_number.tolist() for step in found] == wanted
        assert [step.ends_part for step in found[:2]] == [True, True]
        assert all(step.deltas is None for step in found)


def test_an_instant_counts_events_up_to_it() -> None:
    """By number or by time, including the event itself."""
    batch = shots(10, 20, 30, 40, 50)
    assert [Instant(sequence_number=n).count(batch) for n in (9, 10, 35, 99)] == [0, 1, 3, 5]
    assert [Instant(at_ns=t).count(batch) for t in (999, 1_000, 3_500, 99_999)] == [0, 1, 3, 5]


SILENCE_NS, SMALL_NS, REACH_NS = 1_500, 3_000, 6_000
REMEMBERED_NS, REMEMBERED_ROWS = 9_000, 30
SETTINGS = Settings(
    lake_root=Path("lake"),
    data_root=Path("data"),
    first_day=date(2024, 1, 1),
    instruments=({"symbol": "TEST:ABC"},),  # type: ignore[arg-type]
    gaps={"silence": SILENCE_NS, "recover_after": SMALL_NS, "snapshot_reach": REACH_NS},  # type: ignore[arg-type]
    reconstruct={"depth": 3, "cadence": "message", "extend_every": 2},  # type: ignore[arg-type]
)
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class Tail:
    """A capture: deltas, and snapshots in order of arrival."""

    deltas: DeltaBatch
    snapshots: SnapshotBatch
    step: int


@st.composite
def tails(draw: st.DrawFn) -> Tail:
    """Messages with pauses, with or without ids, some lost; snapshots that arrive early, in time, or late."""
    stream = draw(st.one_of(streams(), witnessed_streams(0.2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    numbers, message = np.unique(stream.deltas.sequence_number, return_inverse=True)
    pauses = rng.choice([1_000, 1_000, 1_000, 1_000, 2_000, 4_000, 9_000], len(numbers))
    origin = np.cumsum(pauses)
    received = origin + rng.integers(0, 3_000, len(numbers))
    deltas = replace(stream.deltas, origin_time=origin[message], received_time=received[message])
    before = np.append(numbers[0] - 10, numbers[:-1])
    odd = rng.random(len(numbers)) < 0.1  # a loss, or an overlap, which is none
    before[odd] += rng.choice([-10, 5], int(odd.sum()))
    ids = draw(st.sampled_from([None, "prev_final_update_id", "first_update_id"]))
    if ids is not None:
        deltas = replace(deltas, **{ids: (before + (ids == "first_update_id"))[message]})
    shots = stream.snapshots
    at = np.minimum(np.searchsorted(numbers, shots.sequence_number), len(numbers) - 1)
    clock = np.maximum.accumulate(received)
    arrival = clock[at] + rng.choice([-4_000, -500, 0, 0, 1, 2_000, 9_000], len(shots))
    prices = shots.encoded_price.copy()
    crossed = rng.random(len(shots)) < 0.1
    prices[crossed] = prices[crossed][:, ::-1]
    order = np.argsort(arrival, kind="stable")
    shots = replace(shots, origin_time=origin[at], received_time=arrival, encoded_price=prices)
    # One clock that goes back must not change whose turn it is.
    shots = shots.take(order)
    if len(shots) > 2 and rng.random() < 0.3:
        shots.received_time[-1] -= 5_000
    return Tail(deltas, shots, stream.step)


class Naive:
    """The rules of docs/formats/live.md, one message after another, with nothing but lists."""

    def __init__(self, tail: Tail) -> None:
        self.book: Book = configured_book(SETTINGS, tail.step)
        self.rows: list[Ints] = []
        self.late: list[int] = []
        self.causes: list[str] = []
        self._tail = tail
        self._passed: list[DeltaBatch] = []
        self._clock: list[int] = []
        self._waiting: list[int] = []
        self._seen = self._first = 0
        self._sound = False
        self._bits = 0
        self._deadline: int | None = None
        self._recover = False

    def run(self) -> None:
        """All of it."""
        shots, clock, before = self._tail.snapshots, -(2**62), None
        times = np.maximum.accumulate(shots.received_time).tolist()
        arrived = 0
        for message in cut(self._tail.deltas, 1):
            clock = max(clock, int(message.received_time.max()))
            while arrived < len(shots) and times[arrived] <= clock:
                number = int(shots.sequence_number[arrived])
                behind = [each for each in self._passed if each.sequence_number[0] > number]
                if behind and not self._tells_all(behind, number, times[arrived]):
                    self.late.append(number)
                else:
                    self._waiting.append(arrived)
                arrived += 1
            self._message(message, before)
            self._passed.append(message)
            self._clock.append(clock)
            before = message

    def _tells_all(self, behind: list[DeltaBatch], number: int, arrival: int) -> bool:
        if _follows(behind[0]) is None or sum(map(len, behind)) > REMEMBERED_ROWS:
            return False
        if self._clock[-len(behind)] < arrival - REMEMBERED_NS:
            return False
        for message in behind:
            if _follows(message) > number:
                return False
            number = int(message.sequence_number[0])
        return True

    def _up_to_date(self, i: int, message: DeltaBatch) -> SnapshotBatch:
        """The snapshot as the message before it, or the one that it lies in, leaves it."""
        shot = self._tail.snapshots.take(slice(i, i + 1))
        number, follows = int(shot.sequence_number[0]), _follows(message)
        behind = [each for each in self._passed if each.sequence_number[0] > number]
        is_of_a_message = bool(self._passed) and self._passed[-1].sequence_number[0] == number
        if not behind and follows is not None and follows < number < message.sequence_number[0]:
            behind = [] if is_of_a_message else [message]
        if not behind:
            return shot
        sides: list[dict[int, int]] = [{}, {}]
        ends = []
        for s, sign in enumerate((-1, 1)):
            for price, size in zip(shot.encoded_price[0, s], shot.encoded_size[0, s], strict=True):
                sides[s] |= {int(price): int(size)} if price != MISSING_PIPS else {}
            ends.append(max(price * sign for price in sides[s]))
        for each in behind:
            for is_bid, price, size in zip(each.is_bid, each.encoded_price, each.encoded_size, strict=True):
                if price * (-1 if is_bid else 1) <= ends[0 if is_bid else 1]:
                    sides[0 if is_bid else 1][int(price)] = int(size)
        lists = [
            [
                (price // self._tail.step, size)
                for price, size in sorted(levels.items(), key=lambda level: level[0] * sign)
                if size or price * sign == end
            ]
            for levels, sign, end in zip(sides, (-1, 1), ends, strict=True)
        ]
        return snapshot_batch([(int(behind[-1].sequence_number[0]), (lists[0], lists[1]))], self._tail.step)

    def _message(self, message: DeltaBatch, before: DeltaBatch | None) -> None:
        shots, number = self._tail.snapshots, int(message.sequence_number[0])
        due = [i for i in self._waiting if shots.sequence_number[i] <= number]
        due.sort(key=lambda i: int(shots.sequence_number[i]))
        self._waiting = [i for i in self._waiting if i not in due]
        between = [
            i
            for i in due
            if before is not None and before.sequence_number[0] < shots.sequence_number[i] < number
        ]
        used, forced = [], []
        lost = self._last_missing(message, before)
        for i in [i for i in due if shots.sequence_number[i] < lost]:
            self._choose(i, used, forced)
        if before is not None:
            self._look_for_gaps(message, before, bool(between))
        for i in [i for i in due if shots.sequence_number[i] >= lost]:
            self._choose(i, used, forced)
        if self._deadline is not None and message.origin_time[0] > self._deadline:
            self._bits |= BookFlag.CORRUPT
            self._deadline = None
        self.book.add_flag_changes(FlagChanges(np.array([number]), np.array([int(self._bits)])))
        for i, repairs in zip(used, forced, strict=True):
            self.book.add_snapshots(self._up_to_date(i, message), np.array([repairs]))
        self.rows += [rows.copy() for rows in self.book.feed(message)]

    def _choose(self, i: int, used: list[int], forced: list[bool]) -> None:
        sound = snapshot_defects(self._tail.snapshots.take(slice(i, i + 1)), self._tail.step)[0]
        place, self._seen = self._seen, self._seen + 1
        if not self._sound:
            self._sound, self._first = sound == SnapshotDefect.NONE, place
        in_turn = self._sound and (place - self._first) % SETTINGS.reconstruct.extend_every == 0
        proven = self._recover and _follows(self._tail.deltas) is not None
        if (in_turn or proven) and sound == SnapshotDefect.NONE:
            used.append(i)
            forced.append(self._recover)
            self._bits, self._deadline, self._recover = 0, None, False

    def _last_missing(self, message: DeltaBatch, before: DeltaBatch | None) -> int:
        """The number that a snapshot needs in order to hold all that was lost before a message."""
        number, follows = int(message.sequence_number[0]), _follows(message)
        if before is None or follows is None or not before.sequence_number[0] < follows < number:
            return number
        return follows

    def _look_for_gaps(self, message: DeltaBatch, before: DeltaBatch, unseen: bool) -> None:
        pause = int(message.origin_time[0] - before.origin_time[0])
        last = int(before.sequence_number[0])
        found = []
        if message.prev_final_update_id is not None:
            found += ["chain"] if message.prev_final_update_id[0] > last else []
        elif message.first_update_id is not None:
            found += ["chain"] if message.first_update_id[0] > last + 1 else []
        else:
            found += ["silence"] if pause > SILENCE_NS else []
            found += ["unseen_snapshot"] if unseen else []
        for cause in found:
            self.causes.append(cause)
            self._bits |= BookFlag.GAP | (0 if cause == "silence" else PROVEN_LOSS)
            if cause != "silence" or pause > SMALL_NS:
                self._recover = True
                if not self._bits & BookFlag.CORRUPT:
                    end = int(message.origin_time[0]) + REACH_NS
                    self._deadline = end if self._deadline is None else min(self._deadline, end)


def _follows(message: DeltaBatch) -> int | None:
    if message.prev_final_update_id is not None:
        return int(message.prev_final_update_id[0])
    return None if message.first_update_id is None else int(message.first_update_id[0]) - 1


def followed(tail: Tail, every: int, leave_every: int = 0) -> tuple[Ints, LiveReplay, list[ReplayStep]]:
    """Rows of the tail in batches of so many messages; left and taken up after every so many steps."""
    replay, position, state = LiveReplay(SETTINGS, tail.step), ReplayPosition(), None
    steps = LiveSteps(SETTINGS, tail.step, position, state)
    times = np.maximum.accumulate(tail.snapshots.received_time)
    rows, taken, done = [], [], 0
    arrived = 0
    while done < len(tail.deltas):
        rest = tail.deltas.slice(done, len(tail.deltas))
        batch = cut(rest, every)[0]
        clock = int(tail.deltas.received_time[: done + len(batch)].max())
        count = int(np.searchsorted(times, clock, "right"))
        steps.inbox.receive(tail.snapshots.take(slice(arrived, max(count, arrived))))
        arrived = max(count, arrived)
        for step in steps.take(batch):
            rows += [piece.copy() for piece in replay.apply(step)]
            taken.append(step)
            done = step.position.deltas
            if leave_every and len(taken) % leave_every == 0:
                assert step.live is not None
                left = LiveCheckpoint(replay.saved(step), step.live, 0, 0, dict(replay.counts))
                found = LiveCheckpoint.unpacked(left.packed(""))
                replay = LiveReplay(SETTINGS, tail.step, found.saved, found.counts)
                steps = LiveSteps(SETTINGS, tail.step, found.saved.position, found.state)
                arrived = found.state.inbox.row
                break
    return (np.concatenate(rows) if rows else np.empty((0, 18), np.int64)), replay, taken


@given(tails(), st.integers(1, 9), st.integers(0, 3))
def test_every_way_of_cutting_gives_the_rows_of_the_rules(tail: Tail, every: int, leave_every: int) -> None:
    """Also where a run is left and another goes on; late snapshots and gaps are the same as well."""
    limits = {"REMEMBERED_NS": REMEMBERED_NS, "REMEMBERED_ROWS": REMEMBERED_ROWS}
    naive = Naive(tail)
    naive.run()
    with mock.patch.multiple(recent_messages, **limits):
        rows, replay, steps = followed(tail, every, leave_every)
    np.testing.assert_array_equal(rows, np.concatenate(naive.rows))
    late = [n for step in steps if step.live for n in step.live.late_snapshots.sequence_number.tolist()]
    assert sorted(late) == sorted(naive.late)
    assert [gap.cause for step in steps if step.live for gap in step.live.gaps] == naive.causes
    assert replay.counts["late_snapshot"] == len(late)


def test_what_is_remembered_does_not_grow() -> None:
    """Ten thousand gaps and as many snapshots: arrays stay as small as after the first ones."""
    count = 10_000
    number = np.arange(1, count + 1) * 10
    one = np.ones(count, np.int64)
    deltas = DeltaBatch(
        number * 1_000,
        number * 1_000,
        number,
        one.astype(np.bool_),
        one * 50,
        one,
        prev_final_update_id=number - 9,
    )
    levels = np.tile(np.array([[[50]], [[60]]]).reshape(1, 2, 1), (count, 1, 1))
    shots = SnapshotBatch(number * 1_000, number * 1_000, number, levels, levels // levels)
    sizes = []
    for used in (shots, SnapshotBatch.nothing()):
        steps, replay = LiveSteps(SETTINGS, 5, ReplayPosition(), None), LiveReplay(SETTINGS, 5)
        for start in range(0, count, 100):
            part = slice(start, start + 100)
            steps.inbox.receive(used.take(part))
            for step in steps.take(deltas.slice(start, start + 100)):
                for _ in replay.apply(step):
                    pass
        saved = replay.saved(step)
        assert isinstance(step.live, LiveState)
        sizes.append(
            saved.nbytes
            + sum(array.nbytes for array in replay.book._scheduled.arrays)
            + step.live.inbox.nbytes
        )
        assert len(step.live.recover_from) <= 101
        assert len(replay.book.outcomes) == 0
    assert replay.counts["chain"] == count - 1
    assert max(sizes) < 30_000


def test_messages_come_in_order() -> None:
    """A number that has been there, in a later batch, is refused with what the writer has to do."""
    deltas = DeltaBatch(*(np.array([5, 5]),) * 3, np.array([True, True]), *(np.array([50, 50]),) * 2)
    steps = LiveSteps(SETTINGS, 5, ReplayPosition(), None)
    list(steps.take(deltas))
    with pytest.raises(BatchError, match="expected a message after 5, each of them appended as a whole"):
        list(steps.take(deltas))


def test_snapshots_far_ahead_of_the_deltas_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a memory that grows until the process dies."""
    monkeypatch.setattr(snapshot_inbox, "WAITING_BYTES", 500)
    levels = np.full((10, 2, 1), 50)
    shots = SnapshotBatch(*(np.arange(10),) * 3, levels, levels)
    with pytest.raises(ReconstructionError, match="at most 500 bytes of snapshots ahead"):
        LiveSteps(SETTINGS, 5, ReplayPosition(), None).inbox.receive(shots)


def test_a_step_counts_what_waits_behind_it() -> None:
    """A queue is bounded in bytes: the snapshots of a step's state are among them."""
    deltas = delta_batch([[(True, CENTRE, 1)]], [10])
    shots = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in range(20, 40)])
    steps = LiveSteps(SETTINGS, 1, ReplayPosition(), None)
    steps.inbox.receive(replace(shots, received_time=np.zeros(20, np.int64)))
    (step,) = steps.take(deltas)
    assert step.live is not None
    assert step.live.inbox.nbytes >= shots.nbytes
    assert size_of(step) == deltas.nbytes + step.live.inbox.nbytes
