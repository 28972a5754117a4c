"""What counts as evidence and what never does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.reader import BookHeads
from order_book_platform.datasets.tickers_and_trades import TickerRows
from order_book_platform.fidelity.metrics.book_metrics import BookSummary
from order_book_platform.fidelity.references.held_out import (
    ANY,
    STEP_BACK_NS,
    HeldOut,
    Plausible,
    find_messages,
    first_time,
    held_times,
    hold_times,
)
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.fidelity.partitions import KEY

GOOD = [[50, 40, 30], [60, 70, 80]]
BAD = {
    "crossed": [[60, 40, 30], [60, 70, 80]],
    "unsorted": [[50, 30, 40], [60, 70, 80]],
    "empty_side": [[50, 40, 30], [MISSING_PIPS] * 3],
    "off_tick": [[50, 45, 30], [60, 70, 80]],
}


def references(
    rows: list[tuple[int, list[list[int]]]], *, zero_size_at: int | None = None
) -> Iterator[ReferenceRows]:
    """References in one batch; their time is ten times their number."""
    numbers = np.array([number for number, _ in rows], dtype=np.int64)
    price = np.array([levels for _, levels in rows], dtype=np.int64).reshape(len(rows), 2, 3)
    size = np.where(price == MISSING_PIPS, 0, 7)
    if zero_size_at is not None:
        size[zero_size_at, 1, 2] = 0
    yield ReferenceRows(numbers, numbers * 10, price, size)


def select(held_out: HeldOut, rows: Iterator[ReferenceRows]) -> list[int]:
    """Sequence numbers of the evidence."""
    return [number for part in held_out.select(rows) for number in part.sequence_number.tolist()]


@pytest.mark.parametrize("defect", BAD)
def test_a_reference_that_is_unfit_in_itself_is_left_out_and_counted(defect: str) -> None:
    """A bad row is charged with its defect and never compared."""
    held_out = HeldOut(np.zeros(0, np.int64), 0, 9, 10)
    assert select(held_out, references([(1, GOOD), (2, BAD[defect]), (3, GOOD)])) == [1, 3]
    assert held_out.counts.defects == {**dict.fromkeys(held_out.counts.defects, 0), defect: 1}
    assert (held_out.counts.bad, held_out.counts.held_out, held_out.counts.rows) == (1, 2, 3)


def test_a_reference_of_another_day_or_symbol_is_left_out_and_counted() -> None:
    """Times and best prices outside what this symbol and day can be are charged as such, each once."""
    far = [[5_000, 4_000, 3_000], [6_000, 7_000, 8_000]]
    plausible = Plausible((0, 45), (25, 140))
    held_out = HeldOut(np.zeros(0, np.int64), 0, 9, 10, plausible)
    assert select(held_out, references([(1, GOOD), (2, far), (4, GOOD), (5, GOOD), (6, far)])) == [1, 4]
    counts = held_out.counts
    assert (counts.far_off, counts.other_day, counts.held_out, counts.rows) == (1, 2, 2, 5)
    assert counts.bad == 3
    assert counts.to_dict()["far_off"] == 1


def test_what_is_plausible_comes_of_the_day_and_of_the_whole_day_s_prices() -> None:
    """A day before and after; half the lowest and twice the highest; without prices any will do."""
    start = day_start_ns(KEY.day)
    summary = BookSummary(encoded_lowest=100, encoded_highest=300)
    found = Plausible.of(KEY.day, summary)
    assert found.times_ns == (start - NS_PER_DAY, start + 2 * NS_PER_DAY)
    assert found.encoded_prices == (50, 600)
    assert Plausible.of(KEY.day, BookSummary()).encoded_prices == Plausible().encoded_prices


def test_a_level_without_size_makes_a_reference_unfit() -> None:
    """A size of 0 inside a snapshot is no level."""
    held_out = HeldOut(np.zeros(0, np.int64), 0, 9, 10)
    assert select(held_out, references([(1, GOOD), (2, GOOD)], zero_size_at=0)) == [2]
    assert held_out.counts.defects["bad_size"] == 1


def test_used_snapshots_are_never_evidence() -> None:
    """Whatever it was used for, a snapshot whose number was used is struck out before anything else."""
    held_out = HeldOut(np.array([5, 2, 2]), 0, 9, 10)
    assert select(
        held_out, references([(1, GOOD), (2, GOOD), (2, GOOD), (5, BAD["crossed"]), (6, GOOD)])
    ) == [1, 6]
    assert held_out.counts.used == 3
    assert held_out.counts.bad == 0


def test_references_outside_the_book_are_counted_apart() -> None:
    """Before the first seeded row and after the last message there is nothing to compare with."""
    held_out = HeldOut(np.zeros(0, np.int64), 3, 5, 10)
    assert select(held_out, references([(number, GOOD) for number in range(1, 8)])) == [3, 4, 5]
    assert (held_out.counts.before_seed, held_out.counts.after_end) == (2, 2)


@pytest.mark.parametrize(("first", "last"), [(None, 5), (3, None), (None, None)])
def test_a_book_that_was_never_seeded_has_no_evidence(first: int | None, last: int | None) -> None:
    """No seed or no messages: every reference is unmatched."""
    held_out = HeldOut(np.zeros(0, np.int64), first, last, 10)
    assert select(held_out, references([(4, GOOD)])) == []
    assert held_out.counts.held_out == 0
    assert held_out.counts.before_seed + held_out.counts.after_end == 1


@given(st.lists(st.integers(0, 12), min_size=1, max_size=15), st.sets(st.integers(0, 12)), st.integers(1, 15))
def test_every_row_has_one_fate(numbers: list[int], used: set[int], cut: int) -> None:
    """The counts add up to the rows, wherever the stream is cut, and what is left is in order."""

    def parts() -> Iterator[ReferenceRows]:
        for start in range(0, len(numbers), cut):
            yield from references([(number, GOOD) for number in numbers[start : start + cut]])

    held_out = HeldOut(np.array(sorted(used), dtype=np.int64), 2, 10, 10)
    chosen = list(held_out.select(parts()))
    counts = held_out.counts
    fates = (counts.used, counts.bad, counts.before_seed, counts.after_end, counts.held_out)
    assert sum(fates) == counts.rows == len(numbers)
    kept = [number for part in chosen for number in part.sequence_number.tolist()]
    times = [time for part in chosen for time in part.time_ns.tolist()]
    assert kept == sorted(kept)
    assert times == sorted(times)
    assert not used & set(kept)


def test_time_that_runs_back_is_held(tmp_path: Path) -> None:
    """A clock that steps back must not bring the placebos out of order; the evidence itself is kept."""
    (rows,) = references([(1, GOOD), (2, GOOD), (3, GOOD)])
    stepped = ReferenceRows(
        rows.sequence_number, np.array([10, 5, 30]), rows.encoded_price, rows.encoded_size
    )
    chosen = list(HeldOut(np.zeros(0, np.int64), 0, 9, 10).select(iter([stepped])))
    assert chosen[0].time_ns.tolist() == [10, 10, 30]


LARGEST, SMALLEST = (int(edge(np.iinfo(np.int64))) for edge in (lambda i: i.max, lambda i: i.min))
any_number = st.one_of(st.integers(0, 12), st.sampled_from([SMALLEST, LARGEST]))


@given(st.lists(any_number, max_size=12), st.lists(any_number, max_size=6))
def test_used_references_are_neither_asked_for_nor_admitted(numbers: list[int], used: list[int]) -> None:
    """In any order and repeated: what is left are the other numbers; all that are refused count as used."""
    held_out = HeldOut(np.array(used, np.int64), 2, LARGEST, 10)
    drawn = np.array(numbers, np.int64)
    assert held_out.unused(drawn).tolist() == sorted(
        {number for number in numbers if number >= 2} - set(used)
    )
    for first, last in ((None, 9), (2, None), (20, 30)):
        assert not len(HeldOut(np.array(used, np.int64), first, last, 10).unused(drawn))
    assert held_out.admit(drawn).tolist() == [number not in used for number in numbers]
    refused = sum(number in used for number in numbers)
    assert (held_out.counts.rows, held_out.counts.used) == (refused, refused)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_messages_are_found_by_number(tmp_path: Path, batch_rows: int) -> None:
    """Numbers are looked up in the deltas' one column, wherever its row groups end and in any order."""
    numbers = [10, 10, 12, 12, 12, 15, 14, 20]
    pq.write_table(pa.table({"sequence_number": pa.array(numbers)}), tmp_path / "d.parquet", row_group_size=3)
    wanted = np.array([14, 11, 10, 20, 21, 14, 9])
    file = ParquetRows([tmp_path / "d.parquet"])
    places, highest = find_messages(wanted, file, batch_rows)
    messages = [10, 12, 15, 14, 20]
    assert places.tolist() == [
        messages.index(number) + 1 if number in messages else 0 for number in wanted.tolist()
    ]
    assert highest == 20


def test_without_messages_none_is_the_last(tmp_path: Path) -> None:
    """An empty file has no highest number."""
    pq.write_table(pa.table({"sequence_number": pa.array([], pa.int64())}), tmp_path / "d.parquet")
    file = ParquetRows([tmp_path / "d.parquet"])
    assert find_messages(np.array([1]), file)[1] is None


def cut(rows: ReferenceRows, size: int) -> Iterator[ReferenceRows]:
    """The rows in batches of `size`."""
    return (rows.take(slice(start, start + size)) for start in range(0, len(rows), size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("at", [0, 5, 49])
def test_one_number_that_is_far_too_high_costs_one_row(at: int, size: int) -> None:
    """The row after it tells, wherever the batches are cut; at the end the range of numbers does."""
    (rows,) = references([(2**61 if row == at else row, GOOD) for row in range(50)])
    held_out = HeldOut(np.zeros(0, np.int64), *ANY, 10)
    expected = [row for row in range(50) if row != at]
    found = select(held_out, cut(rows, size))
    if at == 49:  # no row contradicts the last one
        assert found == [*expected, 2**61]
        held_out = HeldOut(np.zeros(0, np.int64), *ANY, 10, Plausible(numbers=(-50, 99)))
        found = select(held_out, cut(rows, size))
        assert held_out.counts.far_off == 1
    else:
        assert held_out.counts.out_of_order == 1
    assert found == expected
    assert held_out.counts.bad == 1


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_numbers_that_cannot_be_are_struck_however_many(size: int) -> None:
    """Two in a row do not contradict each other; they are outside the range of the book's numbers."""
    (rows,) = references([(number, GOOD) for number in (1, 2, 2**61, 2**61 + 1, 3, -7, 4)])
    held_out = HeldOut(np.zeros(0, np.int64), *ANY, 10, Plausible(numbers=(0, 9)))
    assert select(held_out, cut(rows, size)) == [1, 2, 3, 4]
    assert (held_out.counts.far_off, held_out.counts.out_of_order) == (3, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_is_unfit_says_nothing_of_the_order(size: int) -> None:
    """Crossed rows with numbers ahead of the stream are struck for being crossed, the others are kept."""
    (rows,) = references([(1, GOOD), (8, BAD["crossed"]), (8, BAD["crossed"]), (2, GOOD), (3, GOOD)])
    held_out = HeldOut(np.zeros(0, np.int64), 0, 9, 10)
    assert select(held_out, cut(rows, size)) == [1, 2, 3]
    assert (held_out.counts.defects["crossed"], held_out.counts.out_of_order) == (2, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("column", ["time_ns", "arrival_ns"])
def test_one_time_that_is_far_too_late_costs_one_row(column: str, size: int) -> None:
    """A day late, inside what the day can have: the times after it are not raised to it."""
    (rows,) = references([(row, GOOD) for row in range(20)])
    times = np.arange(20) * STEP_BACK_NS
    tickers = TickerRows(rows.sequence_number, times, rows.encoded_price, rows.encoded_size, times)
    late = times.copy()
    late[5] += NS_PER_DAY
    late[9] += 2 * STEP_BACK_NS  # as far ahead of the next one as clocks may step: raised, not struck
    held_out = HeldOut(np.zeros(0, np.int64), *ANY, 10)
    found = TickerRows.concat(list(held_out.select(cut(replace(tickers, **{column: late}), size))))
    assert found.sequence_number.tolist() == [row for row in range(20) if row != 5]
    assert held_out.counts.out_of_order == 1
    wanted = np.maximum.accumulate(np.delete(late, 5)) if column == "time_ns" else np.delete(times, 5)
    assert found.time_ns.tolist() == wanted.tolist()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.integers(1, 20))
def test_order_is_judged_alike_wherever_the_stream_is_cut(drawn: list[tuple[int, int]], size: int) -> None:
    """Numbers and times of any order: batches change neither rows nor counts."""
    (rows,) = references([(number, GOOD) for number, _ in drawn] or [(0, GOOD)])
    times = np.array([time for _, time in drawn] or [0], dtype=np.int64) * STEP_BACK_NS
    rows = replace(rows, time_ns=times)
    whole, parts = HeldOut(np.zeros(0, np.int64), *ANY, 10), HeldOut(np.zeros(0, np.int64), *ANY, 10)
    one, many = (
        [(row, time) for part in found for row, time in zip(part.sequence_number, part.time_ns, strict=True)]
        for found in (whole.select(iter([rows])), parts.select(cut(rows, size)))
    )
    assert one == many
    assert whole.counts == parts.counts
    assert parts.counts.held_out == len(many)


def test_plausible_numbers_reach_as_far_as_a_day_has_them() -> None:
    """As far as the book's own ran, or at its pace in a day where it is shorter; any without a book."""
    whole = BookSummary(first_seed=1_000, span_ns=NS_PER_DAY)
    assert Plausible.of(KEY.day, whole, 1_500).numbers == (500, 2_000)
    half = BookSummary(first_seed=1_000, span_ns=NS_PER_DAY // 2)
    assert Plausible.of(KEY.day, half, 1_100).numbers == (800, 1_300)
    assert Plausible.of(KEY.day, whole).numbers == Plausible.of(KEY.day, BookSummary(), 9).numbers == ANY


def test_what_has_no_place_in_the_order_has_no_partner() -> None:
    """Rows out of order are unmatched, as are those outside the book and those without a row of it."""
    held_out = HeldOut(np.zeros(0, np.int64), 2, 8, 10)
    assert select(held_out, references([(number, GOOD) for number in (1, 3, 5, 2, 6, 9)])) == [3, 5, 6]
    assert held_out.counts.out_of_order == 1
    assert held_out.counts.unmatched(2) == 4


PLAUSIBLE = (100, 200)


def test_a_time_that_cannot_be_is_that_of_the_row_before() -> None:
    """Whether it lies before or after what can be; the first rows have the time that is given."""
    times = np.array([0, 100, 99, 150, 201, 10**18, 120, -1])
    assert held_times(times, PLAUSIBLE, 7).tolist() == [7, 100, 100, 150, 150, 150, 120, 120]


def test_sound_times_are_not_touched() -> None:
    """Both ends belong to what can be, and nothing is copied."""
    times = np.array([100, 200, 150])
    assert held_times(times, PLAUSIBLE, 7) is times
    assert len(held_times(times[:0], PLAUSIBLE, 7)) == 0


@pytest.mark.parametrize(
    "times", [[0, 130, 0, 0, 500, 140, 0], [0, 1, 2, 120, 110, 0, 0], [0] * 7, [150] * 7]
)
def test_streams_are_held_across_their_parts(times: list[int]) -> None:
    """However a stream is cut, its times are those of the whole; the other columns stay."""
    rows = BookHeads(np.arange(7), np.array(times), np.zeros(7, np.uint8), np.zeros((7, 2), np.int64))
    wanted = held_times(rows.time_ns, PLAUSIBLE, 110)
    for first, second in itertools.combinations_with_replacement(range(8), 2):
        parts = (rows.take(slice(*cut)) for cut in ((0, first), (first, second), (second, 7)))
        found = BookHeads.concat(list(hold_times(parts, PLAUSIBLE, 110)))
        assert found.time_ns.tolist() == wanted.tolist()
        assert found.sequence_number.tolist() == list(range(7))


@pytest.mark.parametrize(("times", "first"), [([0, 99, 120, 110], 120), ([0, 201], 0), ([], 0), ([100], 100)])
def test_the_first_time_is_the_first_that_can_be(tmp_path: Path, times: list[int], first: int) -> None:
    """0 where none can be."""
    pq.write_table(
        pa.table({"origin_time": pa.array(times, pa.int64())}), tmp_path / "b.parquet", row_group_size=1
    )
    assert first_time(ParquetRows([tmp_path / "b.parquet"]), PLAUSIBLE) == first
