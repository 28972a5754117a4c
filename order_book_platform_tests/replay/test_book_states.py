"""A book through any sequence of events: messages, losses, snapshots, a crossed or emptied book, refused input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform_tests import oracle
from order_book_platform_tests.conftest import UNCOMPILED
from order_book_platform_tests.replay.test_book import WINDOW, oracle_rows
from order_book_platform_tests.streams import (
    CENTRE,
    STEP,
    Message,
    delta_batch,
    far,
    near,
    snapshot_at,
    snapshot_batch,
)

DEPTH = 3
sizes = st.sampled_from([0, 1, 2, 3, 10**12])
rows = st.lists(st.tuples(st.booleans(), st.one_of(near, near, far), sizes), min_size=1, max_size=6)


class BookStates(RuleBasedStateMachine):
    """A book and everything it was fed; after each step it equals two dicts that were fed the same.

    Snapshots and doubts are decided before the replay, so the machine draws them first and the rules only let them fall
    due: at a message, between two, or in a loss of several messages.
    """

    @initialize(
        marks=st.sets(st.integers(2, 200), max_size=12),
        shots=st.lists(snapshot_at(CENTRE), min_size=12, max_size=12),
        forced=st.sets(st.integers(0, 11)),
        doubts=st.lists(
            st.tuples(st.integers(1, 800), st.sampled_from([0, 2, 2 + PROVEN_LOSS, 128])), max_size=3
        ),
        policy=st.fixed_dictionaries(
            {
                "crossed_after_ns": st.sampled_from([0, 2_000, 2**60]),
            }
        ),
        capacity=st.integers(1, 4),
        streamed=st.booleans(),
    )
    def decide(self, marks, shots, forced, doubts, policy, capacity, streamed) -> None:  # type: ignore[no-untyped-def]
        """The inputs, the policies and the size of the row buffer."""
        numbers = [5 * mark for mark in sorted(marks)]
        self.snapshots = snapshot_batch(list(zip(numbers, shots, strict=False)))
        self.forced = frozenset(numbers[i] for i in forced if i < len(numbers))
        self.edges = tuple(sorted(dict(doubts).items()))
        self.policy = policy
        self.capacity = capacity
        self.streamed = streamed
        self.planned = 0
        self.book = self.empty_book()
        self.made: list[Message] = []
        self.sequence: list[int] = []
        self.rows: list[np.ndarray] = []
        self.centre = CENTRE

    def empty_book(self) -> Book:
        """A book with the inputs still to come, or with its flag changes alone where snapshots come later."""
        edges = np.array(self.edges, np.int64).reshape(-1, 2)
        shots, forced = self.next_snapshots(0 if self.streamed else 10**6)
        book = Book(
            STEP,
            depth=DEPTH,
            cadence="message",
            window_slots=WINDOW,
            row_capacity=self.capacity,
            **self.policy,
        )
        book.add_snapshots(shots, forced)
        book.add_flag_changes(FlagChanges(edges[:, 0].copy(), edges[:, 1].copy()))
        return book

    def next_snapshots(self, until: int) -> tuple[SnapshotBatch, np.ndarray]:
        """Snapshots that have not been scheduled yet, up to a sequence number, and which of them are forced."""
        stop = int(np.searchsorted(self.snapshots.sequence_number, until, "right"))
        shots = self.snapshots.take(slice(self.planned, max(stop, self.planned)))
        self.planned = max(stop, self.planned)
        return shots, np.isin(shots.sequence_number, sorted(self.forced))

    def feed(self, made: list[Message], lost: int = 0) -> None:
        """Some messages in one batch, after so many that never came."""
        start = (self.sequence[-1] if self.sequence else 0) + 10 * (lost + 1)
        sequence = [start + 10 * i for i in range(len(made))]
        self.book.add_snapshots(*self.next_snapshots(sequence[-1]))
        self.rows += [piece.copy() for piece in self.book.feed(delta_batch(made, sequence))]
        self.made += made
        self.sequence += sequence

    @rule(drawn=st.lists(rows, min_size=1, max_size=3))
    def messages(self, drawn: list[list[tuple[bool, int, int]]]) -> None:
        """A batch of messages around the price."""
        self.feed([[(bid, self.centre + tick, size) for bid, tick, size in message] for message in drawn])

    @rule(drawn=rows, lost=st.integers(1, 6))
    def loss(self, drawn: list[tuple[bool, int, int]], lost: int) -> None:
        """Messages that never came, with whatever snapshots belong to them; then one that did."""
        self.feed([[(bid, self.centre + tick, size) for bid, tick, size in drawn]], lost)

    @rule(by=st.sampled_from([1, -1, 700, -700, 5_000, -5_000, 90_000, -90_000]))
    def move(self, by: int) -> None:
        """The price goes elsewhere; levels left behind stay."""
        self.centre = max(self.centre + by, 500_000)

    @rule(over=st.integers(1, 40))
    def cross(self, over: int) -> None:
        """A bid above the best ask, or the only one."""
        asks = self.book.levels(1).encoded_price
        tick = (int(asks[0]) // STEP if len(asks) else self.centre) + over
        self.feed([[(True, tick, 1)]])

    @rule(is_bid=st.booleans())
    def empty(self, is_bid: bool) -> None:
        """Every level of a side goes."""
        levels = self.book.levels(0 if is_bid else 1).encoded_price.tolist()
        if levels:
            self.feed([[(is_bid, price // STEP, 0) for price in levels]])

    @rule(what=st.sampled_from(["off the step", "negative size", "back", "split", "no price"]))
    def refused(self, what: str) -> None:
        """Bad input is an error at once, and nothing has changed: the next rules would notice."""
        last = self.sequence[-1] if self.sequence else 0
        batch = delta_batch(
            [[(True, self.centre, 1)], [(False, self.centre, 7), (True, self.centre, 2)]],
            [last + 10, last + 20],
        )
        price, size, number = (
            batch.encoded_price.copy(),
            batch.encoded_size.copy(),
            batch.sequence_number.copy(),
        )
        if what == "off the step":
            price[-1] += 1
        elif what == "no price":
            price[-1] = 0
        elif what == "negative size":
            size[-1] = -1
        elif what == "back":
            number[-1] -= 15
        elif not self.sequence:
            return
        else:
            number[0] = last
        bad: DeltaBatch = replace(batch, encoded_price=price, encoded_size=size, sequence_number=number)
        with pytest.raises(BatchError):
            self.book.feed(bad)

    @rule()
    def restart(self) -> None:
        """Another book goes on from what was saved of this one."""
        saved = self.book.saved()
        last = self.sequence[-1] if self.sequence else 0
        self.planned = int(np.searchsorted(self.snapshots.sequence_number, last, "right"))
        self.book = self.empty_book()
        self.book.resume(saved)

    @invariant()
    def equal(self) -> None:
        """Rows, levels, known ranges and the fate of every snapshot."""
        if not getattr(self, "sequence", None):
            return
        wanted = oracle.replay(
            delta_batch(self.made, self.sequence),
            self.snapshots,
            tick_pips=STEP,
            extend_every=1,
            depth=DEPTH,
            every_message=True,
            forced=self.forced,
            edges=self.edges,
            **self.policy,
        )
        np.testing.assert_array_equal(np.concatenate(self.rows), oracle_rows(wanted, DEPTH))
        for s, side in enumerate(wanted.book.sides):
            levels = self.book.levels(s)
            assert levels.encoded_price.tolist() == [key * side.sign for key in side.keys]
            assert levels.encoded_size.tolist() == [side.sizes[key] for key in side.keys]
        assert self.book.counts == wanted.book.counts
        assert self.book.messages == len(self.made)
        assert len(self.book.outcomes) == wanted.used.num_rows


TestBookStates = BookStates.TestCase
TestBookStates.settings = settings(
    max_examples=5 if UNCOMPILED else 150, stateful_step_count=10 if UNCOMPILED else 25, deadline=None
)
