"""The ladder's own invariants, after every operation on a single side."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels import ladder

SLOTS = 4096


class Side:
    """The arrays of a ladder with room for `room` levels."""

    def __init__(self, room: int) -> None:
        self.sizes = np.zeros((2, SLOTS), np.int64)
        self.words = np.zeros((2, SLOTS // 64), np.uint64)
        self.summary = np.zeros((2, 1), np.uint64)
        self.far_keys = np.zeros((2, room), np.int64)
        self.far_sizes = np.zeros((2, room), np.int64)
        self.side = np.zeros((2, ladder.SIDE_FIELDS), np.int64)
        self.side[:, ladder.BEST] = ladder.NO_KEY

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.sizes, self.words, self.summary, self.far_keys, self.far_sizes, self.side

    def set(self, key: int, size: int) -> int:
        return int(ladder.set_level(*self.arrays, 1, key, size))

    def check(self, model: dict[int, int]) -> None:
        """Every invariant of the module's docstring, and equality with a dict."""
        base, count, far, best = (int(self.side[1, i]) for i in range(4))
        slots = np.flatnonzero(self.sizes[1])
        bits = np.unpackbits(self.words[1].view(np.uint8), bitorder="little")
        np.testing.assert_array_equal(np.flatnonzero(bits), slots)
        groups = np.unpackbits(self.summary[1].view(np.uint8), bitorder="little")
        np.testing.assert_array_equal(np.flatnonzero(groups), np.flatnonzero(self.words[1]))
        assert count == len(slots)
        far_keys = self.far_keys[1, :far].tolist()
        assert far_keys == sorted(set(far_keys))
        assert all(key >= base + SLOTS for key in far_keys)
        assert count > 0 or far == 0
        assert best == min(model, default=ladder.NO_KEY)
        held = {base + int(slot): int(self.sizes[1, slot]) for slot in slots}
        held.update(zip(far_keys, self.far_sizes[1, :far].tolist(), strict=True))
        assert held == model
        walked, key = [], -ladder.NO_KEY
        while (
            key := int(ladder.next_key(self.words, self.summary, self.far_keys, self.side, 1, key))
        ) != ladder.NO_KEY:
            walked.append(key)
        assert walked == sorted(model)


keys = st.one_of(st.integers(-70, 70), st.integers(-5_000, 5_000), st.integers(-50_000, 50_000))


@given(st.lists(st.tuples(keys, st.sampled_from([0, 0, 1, 2])), max_size=80))
def test_levels_and_invariants_hold_after_every_operation(operations: list[tuple[int, int]]) -> None:
    """Any order of settings and removals leaves a ladder equal to a dict, with bitmap and window intact."""
    side, model = Side(200), dict[int, int]()
    for key, size in operations:
        changed = model.get(key, 0) != size
        assert side.set(key, size) == (ladder.CHANGED if changed else ladder.UNCHANGED)
        model[key] = size
        if not size:
            del model[key]
        side.check(model)
        assert int(ladder.size_at(side.sizes, side.far_keys, side.far_sizes, side.side, 1, key)) == size


def test_no_room_changes_nothing() -> None:
    """A ladder without room says so and keeps every level it had, near and far."""
    side, model = Side(3), {0: 1, 10_000: 2, 20_000: 3}
    for key, size in model.items():
        side.set(key, size)
    for key in (5, 15_000, -100_000):
        assert side.set(key, 1) == ladder.NO_ROOM
        side.check(model)
    assert side.set(10_000, 0) == ladder.CHANGED
    assert side.set(-100_000, 1) == ladder.CHANGED
    side.check({-100_000: 1, 0: 1, 20_000: 3})


@given(st.sets(st.integers(0, SLOTS - 1), max_size=20), st.integers(0, SLOTS + 70))
def test_next_slot(slots: set[int], start: int) -> None:
    """The lowest occupied slot at or after any start, up to bit 63 of the last word."""
    side = Side(1)
    for slot in slots:
        ladder.set_bit(side.words, side.summary, 1, slot)
    wanted = min((slot for slot in slots if slot >= start), default=-1)
    assert int(ladder.next_slot(side.words, side.summary, 1, start)) == wanted
