"""Streams of deltas cut anew: no message is split, whatever came."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets import raw_deltas
from order_book_platform.datasets.raw_deltas import DeltaBatch, whole_messages


def numbered(sequence: list[int]) -> DeltaBatch:
    """A delta for each sequence number, its price being its row."""
    numbers, rows = np.array(sequence, dtype=np.int64), np.arange(len(sequence), dtype=np.int64)
    return DeltaBatch(rows, rows, numbers, rows % 2 == 0, rows, rows)


@given(
    st.lists(st.integers(0, 8), max_size=40),
    st.lists(st.integers(0, 40), max_size=12),
    st.sampled_from([0, 5, 65_536]),
)
def test_messages_are_never_split(sequence: list[int], cuts: list[int], small: int) -> None:
    """However a stream was cut, and whichever batches are small, its rows come out in order, each message in one."""
    batch = numbered(sorted(sequence))
    bounds = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_deltas, "JOINED_ROWS", small)
        parts = list(whole_messages(batch.slice(start, stop) for start, stop in pairwise(bounds)))
    assert all(len(part) for part in parts)
    assert [row for part in parts for row in part.encoded_price] == list(range(len(sequence)))
    messages = [set(part.sequence_number.tolist()) for part in parts]
    assert sum(len(each) for each in messages) == len(set(sequence))


@pytest.mark.parametrize(("small", "lengths"), [(4, [3, 4, 1]), (3, [3, 3, 1, 1])])
def test_only_small_batches_are_joined(
    small: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the message that was split, which otherwise comes by itself, and what follows it as a view."""
    monkeypatch.setattr(raw_deltas, "JOINED_ROWS", small)
    batch = numbered([1, 1, 1, 2, 2, 2, 3, 4])
    parts = list(whole_messages([batch.slice(0, 4), batch.slice(4, 8)]))
    assert [len(part) for part in parts] == lengths
    assert np.shares_memory(parts[2].encoded_price, batch.encoded_price) == (small < 4)


@pytest.mark.parametrize("first_has", [False, True])
def test_batches_with_and_without_ids_follow_each_other(first_has: bool) -> None:
    """A source may begin or cease to give an id between two messages, whatever the size of a batch."""

    def part(first: int, has: bool) -> DeltaBatch:
        numbers = np.arange(first, first + 100, dtype=np.int64)
        ids = {"first_update_id": numbers} if has else {}
        return DeltaBatch(numbers, numbers, numbers, numbers > 0, numbers, numbers, **ids)

    whole = list(whole_messages([part(1, first_has), part(101, not first_has)]))
    assert np.concatenate([each.sequence_number for each in whole]).tolist() == list(range(1, 201))
    for each in whole:
        has = each.sequence_number < 101 if first_has else each.sequence_number > 100
        assert has.all() == has.any() == (each.first_update_id is not None)
