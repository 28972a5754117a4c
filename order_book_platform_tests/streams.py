"""Random books for property tests: messages, snapshots and ways of cutting them, as hypothesis strategies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from order_book_platform.model import DeltaBatch, SnapshotBatch
from order_book_platform.model.schemas import MISSING_PIPS

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
    """

    deltas: DeltaBatch
    snapshots: SnapshotBatch
    forced: frozenset[int]
    edges: tuple[tuple[int, int], ...]


near = st.integers(-12, 12)
far = st.one_of(st.integers(-3_000, 3_000), st.integers(-9_000, 9_000), st.integers(-400_000, 400_000))


@st.composite
def messages(draw: st.DrawFn, largest: int = 40) -> list[Message]:
    """Messages of a market that drifts, jumps and empties; sides overlap, so that books cross and lock."""
    centre = CENTRE
    out: list[Message] = []
    for _ in range(draw(st.integers(1, largest))):
        centre += draw(st.sampled_from([0, 0, 0, 1, -1, 5, -5, 900, -900, 5_000, -5_000, 60_000, -60_000]))
        centre = max(centre, 450_000)
        rows = draw(
            st.lists(
                st.tuples(
                    st.booleans(), st.one_of(near, near, near, far), st.sampled_from([0, 0, 1, 2, 3, 10**12])
                ),
                min_size=1,
                max_size=10,
            )
        )
        out.append([(is_bid, centre + offset, size) for is_bid, offset, size in rows])
    return out


@st.composite
def snapshot_at(draw: st.DrawFn, centre: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """A sound snapshot around a tick: strictly sorted, uncrossed, at least one level a side."""
    mid = centre + draw(near)
    sides = []
    for sign in (-1, 1):
        steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3, 50, 2_000]), min_size=1, max_size=5))
        ticks = mid + sign * np.cumsum(steps)
        sides.append([(int(tick), draw(st.integers(1, 3))) for tick in ticks])
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
    forced = frozenset(number for number, _ in shots if draw(st.integers(0, 4)) == 0)
    doubt = st.sampled_from([0, 0, 2, 2 + 256, 128, 2 + 64 + 256])
    places = sorted(draw(st.sets(st.integers(1, 10 * len(made) + 5), max_size=3)))
    return Stream(
        delta_batch(made, sequence),
        snapshot_batch(shots),
        forced,
        tuple((place, draw(doubt)) for place in places),
    )


def delta_batch(made: list[Message], sequence: list[int]) -> DeltaBatch:
    """A batch of messages; origin time is 1,000 ns a message, arrival 7 ns later."""
    rows = [(number, *row) for number, message in zip(sequence, made, strict=True) for row in message]
    number = np.array([row[0] for row in rows], np.int64)
    return DeltaBatch(
        origin_time=number * 100,
        received_time=number * 100 + 7,
        sequence_number=number,
        is_bid=np.array([row[1] for row in rows], np.bool_),
        price_pips=np.array([row[2] for row in rows], np.int64) * STEP,
        size_pips=np.array([row[3] for row in rows], np.int64),
    )


def snapshot_batch(
    shots: list[tuple[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]]],
) -> SnapshotBatch:
    """A batch of (sequence number, (bids, asks)) with levels as (tick, size), best first."""
    depth = max([1, *(len(side) for _, sides in shots for side in sides)])
    prices = np.full((len(shots), 2, depth), MISSING_PIPS, np.int64)
    sizes = np.zeros((len(shots), 2, depth), np.int64)
    for i, (_, sides) in enumerate(shots):
        for s, side in enumerate(sides):
            for k, (tick, size) in enumerate(side):
                prices[i, s, k] = tick * STEP
                sizes[i, s, k] = size
    number = np.array([number for number, _ in shots], np.int64)
    return SnapshotBatch(number * 100, number * 100 + 7, number, prices, sizes)


def cut(batch: DeltaBatch, every: int) -> list[DeltaBatch]:
    """The batch in pieces of whole messages, `every` messages each."""
    starts = np.flatnonzero(np.diff(batch.sequence_number, prepend=-1))[::every]
    stops = [*starts[1:].tolist(), len(batch)]
    return [batch.slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]
