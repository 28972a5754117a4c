"""Joining streams and looking ahead, against loops over all pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last, with_placebos

numbers = st.lists(st.integers(0, 30), max_size=20).map(sorted)
cuts = st.lists(st.integers(0, 20), max_size=4).map(sorted)


def stream(values: list[int], edges: list[int]) -> Iterator[ReferenceRows]:
    """Rows with these sequence numbers and times, their position as price, cut at the edges; some parts are empty."""
    bounds = [0, *(min(edge, len(values)) for edge in edges), len(values)]
    for start, stop in itertools.pairwise(bounds):
        part = np.array(values[start:stop], dtype=np.int64)
        place = np.tile(np.arange(start, stop)[:, None, None], (1, 2, 1))
        yield ReferenceRows(part, part * 10, place, place + 1_000)


@given(numbers, numbers, cuts, cuts, st.booleans(), st.booleans())
def test_each_left_row_meets_the_last_right_row_not_above_it(
    left: list[int], right: list[int], left_cuts: list[int], right_cuts: list[int], equal: bool, beyond: bool
) -> None:
    """Wherever both streams are cut, the pairs are those of a loop over all rows."""
    expected = []
    for place, number in enumerate(left):
        partners = [at for at, other in enumerate(right) if other <= number]
        ends = bool(right) and number > right[-1] and not beyond
        if partners and not ends and not (equal and right[partners[-1]] != number):
            expected.append((place, partners[-1]))
    found = []
    pairs = pair_with_last(stream(left, left_cuts), stream(right, right_cuts), equal=equal, beyond_end=beyond)
    for ours, theirs in pairs:
        assert len(ours) == len(theirs) > 0
        found += list(
            zip(ours.encoded_price[:, 0, 0].tolist(), theirs.encoded_price[:, 0, 0].tolist(), strict=True)
        )
    assert found == expected


@given(numbers, cuts, st.sampled_from([(10,), (30, 100), (100, 30)]), st.integers(1, 4))
def test_a_placebo_is_the_reference_of_a_later_time(
    times: list[int], edges: list[int], shifts: tuple[int, ...], step: int
) -> None:
    """Wherever the stream is cut, each row comes once, every m-th with the last row up to its time plus the shift."""
    parts = list(with_placebos(stream(times, edges), shifts, step))
    assert [number for part in parts for number in part.sequence_number.tolist()] == times
    place = 0
    for part in parts:
        sampled = np.arange(len(part))[part.sampled].tolist()
        assert sampled == [row for row in range(len(part)) if (place + row) % step == 0]
        for row in range(len(part)):
            for index, shift in enumerate(shifts):
                if row not in sampled:
                    assert not part.shifted_valid[row, index]
                    continue
                wanted = times[place] * 10 + shift
                assert part.shifted_valid[row, index] == (wanted <= times[-1] * 10)
                if part.shifted_valid[row, index]:
                    latest = max(at for at, time in enumerate(times) if time * 10 <= wanted)
                    assert part.shifted_price[row, index, 0, 0] == latest
                    assert part.shifted_size[row, index, 0, 0] == latest + 1_000
            assert part.encoded_price[row, 0, 0] == place
            place += 1


def test_only_the_rows_of_the_longest_shift_are_held() -> None:
    """Rows whose placebos are settled are handed on before the stream ends."""
    taken = 0

    def counted() -> Iterator[ReferenceRows]:
        nonlocal taken
        for part in stream(list(range(100)), list(range(1, 100))):
            taken += 1
            yield part

    first = next(with_placebos(counted(), (50,)))
    assert first.sequence_number.tolist() == [0]
    assert taken == 7


def test_chosen_references_keep_their_placebos() -> None:
    """A row's placebos are its own wherever it goes: taken by number, by mask or as a run."""
    whole = next(with_placebos(stream(list(range(40)), []), (50, 100)))
    for rows in (np.array([3, 9, 28]), np.arange(len(whole)) % 3 == 1, slice(5, 9)):
        chosen = whole.take(rows)
        assert chosen.sequence_number.tolist() == whole.sequence_number[rows].tolist()
        for name in ("shifted_price", "shifted_size", "shifted_valid", "encoded_price"):
            assert np.array_equal(getattr(chosen, name), getattr(whole, name)[rows]), name


def test_a_row_that_begins_a_batch_is_the_last_of_its_number() -> None:
    """A number that ends one batch and begins the next belongs to the next; the one before it to the batch before."""
    pairs = list(pair_with_last(stream([1, 2, 3], []), stream([1, 2, 2, 3], [2, 3])))
    assert [row for _, theirs in pairs for row in theirs.encoded_price[:, 0, 0].tolist()] == [0, 2, 3]
