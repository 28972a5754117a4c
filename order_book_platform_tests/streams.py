"""Random books for property tests: messages, snapshots and ways of cutting them, as hypothesis strategies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import MISSING_PIPS

STEP = 5
"""Pips per tick of generated prices."""
CENTRE = 1_000_000
"""Ticks; far from 0, so that a book can move by many windows either way."""

Message = list[tuple[bool, int, int]]
"""(is_bid, tick, size) of each row."""


@dataclass(frozen=True)
class Stream:
    """A generated day.

    Attributes:
        deltas: whole messages; sequence numbers 10, 20, 30, …
        snapshots: ascending; some at a message's number, some between two.
        forced: sequence numbers of snapshots that repair without being asked.
        edges: (sequence number, doubt bits).
        step: pips that divide every price.
    """

    deltas: DeltaBatch
    snapshots: SnapshotBatch
    forced: frozenset[int]
    edges: tuple[tuple[int, int], ...]
    step: int = STEP


near = st.integers(-12, 12)
far = st.one_of(st.integers(-3_000, 3_000), st.integers(-9_000, 9_000), st.integers(-400_000, 400_000))
# Made once: strategies made anew for each example take as long as what is drawn from them.
_jumps = st.sampled_from([0, 0, 0, 1, -1, 5, -5, 900, -900, 5_000, -5_000, 60_000, -60_000])
_rows = st.lists(
    st.tuples(st.booleans(), st.one_of(near, near, near, far), st.sampled_from([0, 0, 1, 2, 3, 10**12])),
    min_size=1,
    max_size=10,
)
_gaps = st.lists(st.sampled_from([1, 1, 1, 2, 3, 50, 2_000]), min_size=1, max_size=5)
_small_sizes = st.integers(1, 3)
_one_in_five = st.integers(0, 4)
_doubts = st.sampled_from([0, 0, 2, 2 + 256, 128, 2 + 64 + 256])
_seeds = st.integers(0, 2**32)


@st.composite
def messages(draw: st.DrawFn, largest: int = 40) -> list[Message]:
    """Messages of a market that drifts, jumps and empties; sides overlap, so that books cross and lock."""
    centre = CENTRE
    out: list[Message] = []
    for _ in range(draw(st.integers(1, largest))):
        centre += draw(_jumps)
        centre = max(centre, 450_000)
        out.append([(is_bid, centre + offset, size) for is_bid, offset, size in draw(_rows)])
    return out


@st.composite
def snapshot_at(draw: st.DrawFn, centre: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """A sound snapshot around a tick: strictly sorted, uncrossed, at least one level a side."""
    mid = centre + draw(near)
    sides = []
    for sign in (-1, 1):
        ticks = [mid + sign * gap for gap in accumulate(draw(_gaps))]
        sides.append([(tick, draw(_small_sizes)) for tick in ticks])
    return sides[0], sides[1]


@st.composite
def streams(draw: st.DrawFn, largest: int = 40) -> Stream:
    """A day with snapshots, forced repairs and doubt."""
    made = draw(messages(largest))
    sequence = [10 * (i + 1) for i in range(len(made))]
    marks = sorted(draw(st.sets(st.integers(0, 2 * len(made) + 1), max_size=8)))
    shots = []
    for mark in marks:
        nearest = made[min(max(mark // 2 - 1, 0), len(made) - 1)]
        shots.append((5 * mark, draw(snapshot_at(nearest[0][1]))))
    forced = frozenset(number for number, _ in shots if draw(_one_in_five) == 0)
    places = sorted(draw(st.sets(st.integers(1, 10 * len(made) + 5), max_size=3)))
    return Stream(
        delta_batch(made, sequence),
        snapshot_batch(shots),
        forced,
        tuple((place, draw(_doubts)) for place in places),
    )


SHAPES = ("walk", "crash", "double", "empty", "one_sided", "finer_tick", "scattered", "burst", "crossed")
"""What can happen to a market from one message to the next; see `shaped_streams`."""
_shapes = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=8)
_steps = st.sampled_from([1, 5, 10**6, 10**8, 10**11])


@st.composite
def shaped_streams(draw: st.DrawFn) -> Stream:
    """A day drawn by a seeded generator, so that ten thousand of them take a minute: shapes are hypothesis's to choose.

    A tick of 10^-8 to 10^3 (at 8 decimals), and a market that walks, loses 90 % or doubles at once, is emptied, loses a
    side, goes over to a tenth of its tick, spreads levels over everything between a tenth and twice its price, sends
    hundreds of rows at once, or stays crossed. Snapshots and doubt as in `streams`.
    """
    shapes = draw(_shapes)
    step = draw(_steps)
    rng = np.random.default_rng(draw(_seeds))
    highest = 2**61 // step // 80 if step > 10**9 or rng.random() < 0.1 else 2_000_000
    market = _Market(rng, int(rng.integers(50, highest)) * 10)
    made = [message for shape in shapes for message in market.messages(shape)]
    sequence = [10 * (i + 1) for i in range(len(made))]
    shots = []
    for i in np.flatnonzero(rng.random(len(made)) < 0.2).tolist():
        number = sequence[i] - 5 * int(rng.integers(0, 2))
        for _ in range(1 + int(rng.random() < 0.1)):
            sides = [market.side(int(made[i].tick[0]), sign) for sign in (-1, 1)]
            shots.append((number, (sides[0], sides[1])))
    forced = frozenset(number for number, _ in shots if rng.random() < 0.2)
    bits = [0, 2, 2 + 256, 128, 2 + 64 + 256]
    places = sorted(set(rng.integers(1, sequence[-1] + 5, 2).tolist()))
    edges = tuple((place, bits[int(rng.integers(0, len(bits)))]) for place in places)
    return Stream(
        batch_of(
            np.repeat(sequence, [len(rows.tick) for rows in made]),
            *(np.concatenate(columns) for columns in zip(*made, strict=True)),
            step,
        ),
        snapshot_batch(shots, step),
        forced,
        edges if rng.random() < 0.5 else (),
        step,
    )


@st.composite
def witnessed_streams(draw: st.DrawFn, lost: float) -> Stream:
    """A market that never crosses, snapshots of it as it is, and a feed that loses some of its messages.

    Snapshots of other streams hardly ever agree with a book. These do, as far as nothing is lost: they extend it.

    Args:
        draw: hypothesis's.
        lost: share of the messages that never come, the first one excepted.
    """
    rng = np.random.default_rng(draw(_seeds))
    centre = CENTRE
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for tick, size in rng.integers([-40, 1], [40, 4], (40, 2)).tolist():
        sides[0 if tick < 0 else 1][centre + tick] = size
    made: list[Message] = []
    sequence, shots = [], []
    for number in range(10, 10 * draw(st.integers(2, 40)), 10):
        centre += int(rng.integers(-3, 4))
        message = [(True, tick, 0) for tick in sides[0] if tick >= centre]
        message += [(False, tick, 0) for tick in sides[1] if tick < centre]
        for tick, size in rng.integers([-20, 0], [20, 4], (int(rng.integers(1, 5)), 2)).tolist():
            message.append((tick < 0, centre + tick, size))
        for is_bid, tick, size in message:
            sides[0 if is_bid else 1][tick] = size
        for side in sides:
            for tick in [tick for tick, size in side.items() if not size]:
                del side[tick]
        if not made or rng.random() >= lost:
            made.append(message)
            sequence.append(number)
        if all(sides) and rng.random() < 0.4:
            depths = rng.integers(1, 9, 2).tolist()
            bids, asks = sorted(sides[0].items(), reverse=True), sorted(sides[1].items())
            shots.append((number, (bids[: depths[0]], asks[: depths[1]])))
    forced = frozenset(number for number, _ in shots if rng.random() < 0.2)
    return Stream(delta_batch(made, sequence), snapshot_batch(shots), forced, ())


class _Rows(NamedTuple):
    """The rows of one message."""

    is_bid: NDArray[np.bool_]
    tick: NDArray[np.int64]
    size: NDArray[np.int64]


_SIZES = np.array([0, 0, 1, 2, 3, 10**12])
_GAPS = np.array([1, 1, 2, 10, 50])


class _Market:
    """Draws messages around a tick that moves; prices stay within 1 … 2^61 pips."""

    def __init__(self, rng: np.random.Generator, centre: int) -> None:
        self.rng = rng
        self.centre = self.highest = centre
        self.coarse = 10

    def any_of(self, values: NDArray[Any], count: int) -> NDArray[Any]:
        """So many of the values; what the generator's `choice` does, without its half a hundred microseconds."""
        return values[self.rng.integers(0, len(values), count)]

    def messages(self, shape: str) -> list[_Rows]:
        """The messages of one shape."""
        if shape == "crash":
            self.centre = max(self.centre // 10, 50)
        elif shape == "double":
            self.centre = min(self.centre * 2, self.highest * 2)
        elif shape == "finer_tick":
            self.coarse = 1
        wide, rows, sides = 30, 8, np.array([True, False])
        if shape == "scattered":
            wide = 0
        elif shape == "burst":
            rows = 300
        elif shape == "one_sided":
            sides = np.array([bool(self.rng.integers(0, 2))])
        out = []
        for _ in range(int(self.rng.integers(1, 6))):
            count = int(self.rng.integers(1, rows + 1))
            near = self.centre + self.rng.integers(-wide, wide + 1, count) * self.coarse
            ticks = near if wide else self.rng.integers(self.centre // 10, self.centre * 2, count)
            named = self.any_of(sides, count)
            sizes = self.any_of(_SIZES, count)
            if shape == "empty":
                sizes[:] = 0
            elif shape == "crossed":
                named[:] = ticks > self.centre
                sizes = np.maximum(sizes, 1)
            out.append(_Rows(named, np.maximum(ticks, 1), sizes))
            self.centre = max(self.centre + int(self.rng.integers(-3, 4)) * self.coarse, 50)
        return out

    def side(self, tick: int, sign: int) -> list[tuple[int, int]]:
        """One side of a sound snapshot around a tick."""
        gaps = self.any_of(_GAPS, int(self.rng.integers(1, 6))).cumsum()
        ticks = max(tick, 400) + sign * gaps
        return list(zip(ticks.tolist(), self.rng.integers(1, 4, len(ticks)).tolist(), strict=True))


def delta_batch(made: list[Message], sequence: list[int], step: int = STEP) -> DeltaBatch:
    """A batch of messages; see `batch_of`."""
    rows = [row for message in made for row in message]
    return batch_of(
        np.repeat(np.array(sequence, np.int64), np.array([len(message) for message in made], np.intp)),
        np.array([row[0] for row in rows], np.bool_),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        step,
    )


def batch_of(
    number: NDArray[np.int64],
    is_bid: NDArray[np.bool_],
    tick: NDArray[np.int64],
    size: NDArray[np.int64],
    step: int,
) -> DeltaBatch:
    """A batch of columns; origin time is 1,000 ns a message, arrival 7 ns later."""
    return DeltaBatch(
        origin_time=number * 100,
        received_time=number * 100 + 7,
        sequence_number=number,
        is_bid=is_bid,
        encoded_price=tick * step,
        encoded_size=size,
    )


def snapshot_batch(
    shots: list[tuple[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]]], step: int = STEP
) -> SnapshotBatch:
    """A batch of (sequence number, (bids, asks)) with levels as (tick, size), best first."""
    depth = max([1, *(len(side) for _, sides in shots for side in sides)])
    prices = np.full((len(shots), 2, depth), MISSING_PIPS, np.int64)
    sizes = np.zeros((len(shots), 2, depth), np.int64)
    for i, (_, sides) in enumerate(shots):
        for s, side in enumerate(sides):
            for k, (tick, size) in enumerate(side):
                prices[i, s, k] = tick * step
                sizes[i, s, k] = size
    number = np.array([number for number, _ in shots], np.int64)
    return SnapshotBatch(number * 100, number * 100 + 7, number, prices, sizes)


def cut(batch: DeltaBatch, every: int) -> list[DeltaBatch]:
    """The batch in pieces of whole messages, `every` messages each."""
    starts = np.flatnonzero(np.diff(batch.sequence_number, prepend=-1))[::every]
    stops = [*starts[1:].tolist(), len(batch)]
    return [batch.slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]
