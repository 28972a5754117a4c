"""The replay loop against the plain-dict oracle, on every shape of market that hypothesis can think of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay import book as book_module
from order_book_platform.replay.book import SNAPSHOT_USES, Book, Levels
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.snapshot_scheduler import EveryNthSnapshot, snapshot_defects
from order_book_platform_tests import oracle
from order_book_platform_tests.conftest import MANY
from order_book_platform_tests.streams import (
    CENTRE,
    STEP,
    Stream,
    cut,
    delta_batch,
    shaped_streams,
    snapshot_at,
    snapshot_batch,
    streams,
    witnessed_streams,
)

WINDOW = 4096
"""The smallest window, so that generated prices leave it all the time."""


class Inputs(NamedTuple):
    """Snapshots and flag changes that a stream schedules."""

    snapshots: SnapshotBatch
    forced: np.ndarray
    changes: FlagChanges


def inputs_of(stream: Stream, extend_every: int) -> Inputs:
    """The inputs that the oracle is given too."""
    rows = EveryNthSnapshot(extend_every).rows(snapshot_defects(stream.snapshots, stream.step))
    used = stream.snapshots.take(rows)
    edges = np.array(stream.edges, np.int64).reshape(-1, 2)
    forced = np.isin(used.sequence_number, sorted(stream.forced))
    return Inputs(used, forced, FlagChanges(edges[:, 0].copy(), edges[:, 1].copy()))


def scheduled(book: Book, snapshots: SnapshotBatch) -> Book:
    """A book with snapshots that repair only where they disagree."""
    book.add_snapshots(snapshots, np.zeros(len(snapshots), np.bool_))
    return book


def replayed(
    stream: Stream,
    *,
    extend_every: int = 1,
    depth: int = 3,
    cadence: str = "change",
    every: int = 10**6,
    **options: int,
) -> tuple[np.ndarray, Book]:
    """All rows of a stream, cut into batches of `every` messages, and the book afterwards."""
    book = Book(
        stream.step,
        depth=depth,
        cadence=cadence,
        window_slots=WINDOW,
        **options,
    )
    inputs = inputs_of(stream, extend_every)
    book.add_snapshots(inputs.snapshots, inputs.forced)
    book.add_flag_changes(inputs.changes)
    rows = [rows.copy() for batch in cut(stream.deltas, every) for rows in book.feed(batch)]
    return np.concatenate(rows) if rows else np.empty((0, 6 + 4 * depth), np.int64), book


@pytest.fixture(scope="module")
def recorded_stream() -> Stream:
    """A market of three hundred messages, the same at every run."""
    rng = np.random.default_rng(5)
    count = 30 if config.DISABLE_JIT else 300
    made = [
        [
            (bool(bid), CENTRE + int(tick), int(size))
            for bid, tick, size in rng.integers([0, -40, 0], [2, 40, 4], (9, 3))
        ]
        for _ in range(count)
    ]
    return Stream(
        delta_batch(made, [10 * (i + 1) for i in range(count)]), snapshot_batch([]), frozenset(), ()
    )


def oracle_rows(result: oracle.OracleReplay, depth: int) -> np.ndarray:
    """The oracle's rows in the loop's form."""
    return np.array(result.row_values, np.int64).reshape(-1, 6 + 4 * depth)


def assert_equals_the_oracle(
    stream: Stream, extend_every: int, depth: int, cadence: str, **policy: int
) -> None:
    """Every row, every snapshot's fate and the final book are what two dicts give."""
    rows, book = replayed(stream, extend_every=extend_every, depth=depth, cadence=cadence, **policy)
    wanted = oracle.replay(
        stream.deltas,
        stream.snapshots,
        tick_pips=stream.step,
        extend_every=extend_every,
        depth=depth,
        every_message=cadence == "message",
        forced=stream.forced,
        edges=stream.edges,
        **policy,
    )
    np.testing.assert_array_equal(rows, oracle_rows(wanted, depth))
    assert book.counts == wanted.book.counts
    for s, side in enumerate(wanted.book.sides):
        levels = book.levels(s)
        assert levels.encoded_price.tolist() == [key * side.sign for key in side.keys]
        assert levels.encoded_size.tolist() == [side.sizes[key] for key in side.keys]
        lost = book.gap_flags & PROVEN_LOSS
        known = [not lost and side.bound is not None and key <= side.bound for key in side.keys]
        assert levels.known.tolist() == known
    uses = [(SNAPSHOT_USES[use], *counts) for use, *counts in book.outcomes.tolist()]
    assert uses == [row[2:] for row in wanted.used_values]


choices = st.integers(0, 3), st.integers(1, 6), st.sampled_from(["change", "message"])
policies = st.fixed_dictionaries(
    {},
    optional={
        "crossed_after_ns": st.sampled_from([0, 1_000, 5_000]),
        "warm_up_ns": st.sampled_from([0, 3_000]),
    },
)


@given(streams(), *choices, policies)
def test_equals_the_oracle(
    stream: Stream, extend_every: int, depth: int, cadence: str, policy: dict[str, int]
) -> None:
    """On markets that hypothesis draws row by row, and shrinks to the smallest that fails."""
    assert_equals_the_oracle(stream, extend_every, depth, cadence, **policy)


@settings(max_examples=MANY)
@given(shaped_streams(), *choices, policies)
def test_equals_the_oracle_on_every_shape_of_market(
    stream: Stream, extend_every: int, depth: int, cadence: str, policy: dict[str, int]
) -> None:
    """On ten thousand markets that crash, double, empty, cross, scatter and change their tick."""
    assert_equals_the_oracle(stream, extend_every, depth, cadence, **policy)


@given(witnessed_streams(0.1), *choices, policies)
def test_equals_the_oracle_where_messages_are_lost(
    stream: Stream, extend_every: int, depth: int, cadence: str, policy: dict[str, int]
) -> None:
    """On markets whose snapshots agree with the book until a message is lost, and again after a repair."""
    assert_equals_the_oracle(stream, extend_every, depth, cadence, **policy)


@given(witnessed_streams(0.0), *choices)
def test_a_book_that_has_lost_nothing_agrees_with_every_snapshot(
    stream: Stream, extend_every: int, depth: int, cadence: str
) -> None:
    """The first one seeds, the others extend; only those repair that were told to, and find nothing wrong."""
    assert_equals_the_oracle(stream, extend_every, depth, cadence)
    inputs = inputs_of(stream, extend_every)
    _, book = replayed(stream, extend_every=extend_every, depth=depth, cadence=cadence)
    uses = ["repaired" if forced else "extended" for forced in inputs.forced.tolist()]
    assert [SNAPSHOT_USES[use] for use in book.outcomes[:, 0].tolist()] == ["seeded", *uses[1:]][
        : len(book.outcomes)
    ]
    assert not book.outcomes[:, 2].any()


@given(streams(), st.integers(1, 4), st.integers(1, 5), st.integers(1, 8))
def test_rows_do_not_depend_on_batches_or_buffers(
    stream: Stream, every: int, capacity: int, start: int
) -> None:
    """Any batch size, any row buffer and any initial room for far levels give the same rows."""
    whole, _ = replayed(stream)
    old = book_module._SPARE_BLOCKS
    book_module._SPARE_BLOCKS = start
    try:
        pieces, book = replayed(stream, every=every, row_capacity=capacity)
    finally:
        book_module._SPARE_BLOCKS = old
    np.testing.assert_array_equal(pieces, whole)
    assert book.counts["deltas"] == len(stream.deltas)


ends = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([0, WINDOW]),
        st.one_of(st.sampled_from([-1, 0, 1, 63, 64]), st.integers(-200, 200)),
        st.sampled_from([0, 1, 2]),
    ),
    min_size=1,
    max_size=25,
)


@given(ends, st.integers(1, 3), st.sampled_from(["change", "message"]))
def test_levels_at_the_two_ends_of_the_window(
    named: list[tuple[bool, int, int, int]], rows_each: int, cadence: str
) -> None:
    """The first and the last slot, and the levels just outside, wherever the window has moved meanwhile."""
    book = Book(STEP, depth=5, cadence=cadence, window_slots=WINDOW)
    made = [[(True, CENTRE, 1), (False, CENTRE + 1, 1)]]
    rows = [piece.copy() for piece in book.feed(delta_batch(made, [10]))]
    for first in range(0, len(named), rows_each):
        bids, asks = book._ladder.base.tolist()
        made.append(
            [
                (is_bid, -(bids + end + offset) if is_bid else asks + end + offset, size)
                for is_bid, end, offset, size in named[first : first + rows_each]
            ]
        )
        rows += [piece.copy() for piece in book.feed(delta_batch(made[-1:], [10 * len(made)]))]
    wanted = oracle.replay(
        delta_batch(made, [10 * (i + 1) for i in range(len(made))]),
        snapshot_batch([]),
        tick_pips=STEP,
        depth=5,
        every_message=cadence == "message",
    )
    np.testing.assert_array_equal(np.concatenate(rows), oracle_rows(wanted, 5))


def test_the_times_of_a_message_are_those_of_its_first_row() -> None:
    """Whatever the other rows of it say."""
    made = delta_batch([[(True, CENTRE, 1), (False, CENTRE + 1, 1), (True, CENTRE - 1, 1)]], [10])
    late = np.array([0, 1, 2])
    (rows,) = Book(STEP, depth=1).feed(
        replace(made, origin_time=made.origin_time + late, received_time=made.received_time + late)
    )
    assert rows[0, :3].tolist() == [1_000, 1_007, 10]


@given(
    st.lists(st.integers(-5_000, 5_000).flatmap(lambda by: snapshot_at(CENTRE + by)), min_size=1, max_size=6),
    st.integers(1, 6),
    st.sampled_from(["change", "message"]),
    st.integers(1, 4),
    st.integers(0, 6),
)
def test_snapshots_alone_are_the_book_one_after_another(
    shots: list[tuple[oracle.Levels, oracle.Levels]], depth: int, cadence: str, capacity: int, stop: int
) -> None:
    """Each row is what its snapshot says, nothing is left of the one before, and more may come after a stop."""
    snapshots = snapshot_batch([(10 * (i + 1), shot) for i, shot in enumerate(shots)])
    first, second = snapshots.take(slice(0, stop)), snapshots.take(slice(stop, None))
    book = Book(STEP, depth=depth, cadence=cadence, window_slots=WINDOW, row_capacity=capacity)
    scheduled(book, first)
    rows = [piece.copy() for piece in book.show_snapshots()]
    book.add_snapshots(second, np.zeros(len(second), np.bool_))
    rows += [piece.copy() for piece in book.show_snapshots()]
    wanted: list[list[int]] = []
    for i in range(len(shots)):
        alone = oracle.OracleBook()
        alone.take(oracle.snapshot_levels(snapshots, i))
        row = list(alone.row(depth))
        if cadence == "message" or not wanted or row != wanted[-1][3:]:
            wanted.append([1_000 * (i + 1), 1_000 * (i + 1) + 7, 10 * (i + 1), *row])
    assert np.concatenate(rows).tolist() == wanted
    uses = [(SNAPSHOT_USES[use], *counts) for use, *counts in book.outcomes.tolist()]
    assert uses == [("seeded", 0, 0, len(bids) + len(asks)) for bids, asks in shots]


@given(streams(largest=25), st.integers(1, 700), st.integers(1, 4), policies)
def test_a_grid_shows_the_book_as_of_each_step(
    stream: Stream, grid_ns: int, every: int, policy: dict[str, int]
) -> None:
    """A grid row holds the last message at or before its time, and no step is left out.

    A repair is on one row, the first one after it.
    """
    depth = 2
    messages, _ = replayed(stream, cadence="message", depth=depth, **policy)
    book = Book(
        STEP,
        depth=depth,
        cadence="grid",
        grid_ns=grid_ns,
        window_slots=WINDOW,
        row_capacity=3,
        **policy,
    )
    inputs = inputs_of(stream, 1)
    book.add_snapshots(inputs.snapshots, inputs.forced)
    book.add_flag_changes(inputs.changes)
    rows = [piece.copy() for batch in cut(stream.deltas, every) for piece in book.feed(batch)]
    rows = np.concatenate([*rows, book.finish().copy()])
    times = messages[:, 0]
    first = -(-times[0] // grid_ns) * grid_ns
    assert rows[:, 0].tolist() == list(range(first, times[-1] + 1, grid_ns))
    at = np.searchsorted(times, rows[:, 0], "right") - 1
    np.testing.assert_array_equal(rows[:, 1:3], messages[at, 1:3])
    np.testing.assert_array_equal(rows[:, 4:], messages[at, 4:])
    repaired = int(BookFlag.REPAIRED)
    repairs = np.cumsum(messages[:, 3] & repaired != 0)[at]
    flags = (messages[at, 3] & ~repaired) | repaired * (np.diff(repairs, prepend=0) > 0)
    np.testing.assert_array_equal(rows[:, 3], flags)


@given(streams(), st.integers(1, 30))
def test_a_restored_book_goes_on_as_if_it_had_never_stopped(stream: Stream, after: int) -> None:
    """Levels and known ranges are all of a book's past that its future needs."""
    plain = Stream(stream.deltas, stream.snapshots.take(slice(0, 1)), frozenset(), ())
    batches = cut(plain.deltas, 1)
    seed_before = (
        len(plain.snapshots)
        and plain.snapshots.sequence_number[0] <= batches[min(after, len(batches)) - 1].sequence_number[0]
    )
    first = scheduled(
        Book(STEP, depth=3, cadence="message", window_slots=WINDOW), inputs_of(plain, 0).snapshots
    )
    rows = [[piece.copy() for piece in first.feed(batch)] for batch in batches[:after]]
    second = Book(STEP, depth=3, cadence="message", window_slots=WINDOW)
    second.restore(first.levels(0), first.levels(1), first.bounds)
    for batch in batches[after:]:
        rows = [piece.copy() for piece in first.feed(batch)]
        again = [piece.copy() for piece in second.feed(batch)]
        if seed_before:
            np.testing.assert_array_equal(np.concatenate(again), np.concatenate(rows))


def test_a_day_with_more_levels_than_room_grows_and_stays_exact() -> None:
    """A hundred thousand live levels over a range of a hundred windows are all there (two thousand without the JIT)."""
    rng = np.random.default_rng(7)
    levels_made = 2_000 if config.DISABLE_JIT else 100_000
    ticks = rng.permutation(np.arange(1, levels_made + 1)) * 4
    made = [
        [(True, 500_000 + int(tick), int(tick) % 97 + 1) for tick in ticks[i : i + 500]]
        for i in range(0, levels_made, 500)
    ]
    book = Book(STEP, depth=5, window_slots=WINDOW)
    batch = delta_batch(made, [10 * (i + 1) for i in range(len(made))])
    for _ in book.feed(batch):
        pass
    levels = book.levels(0)
    wanted = np.sort(ticks)[::-1] + 500_000
    np.testing.assert_array_equal(levels.encoded_price, wanted * STEP)
    np.testing.assert_array_equal(levels.encoded_size, (wanted - 500_000) % 97 + 1)


@pytest.mark.parametrize("due", ["between", "at a message", "alone", "restored"])
def test_a_snapshot_with_more_levels_than_room_grows_and_stays_exact(
    due: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand levels at once find room, whenever they come."""
    monkeypatch.setattr(book_module, "_SPARE_BLOCKS", 8)  # enough for the message alone
    bids = [(CENTRE - 7 * k, k % 5 + 1) for k in range(10_000)]
    shots = snapshot_batch([(5 if due == "between" else 10, (bids, [(CENTRE + 1, 1)]))])
    book = Book(STEP, depth=1, window_slots=WINDOW)
    if due != "restored":
        scheduled(book, shots)
    else:
        prices, held = shots.encoded_price[0], shots.encoded_size[0]
        known = np.zeros(len(bids), np.bool_)
        book.restore(
            Levels(prices[0], held[0], known), Levels(prices[1, :1], held[1, :1], known[:1]), (None, None)
        )
    message = delta_batch([[(False, CENTRE + 2, 1)]], [10])
    for _ in book.show_snapshots() if due == "alone" else book.feed(message):
        pass
    levels = book.levels(0)
    assert (
        list(zip((levels.encoded_price // STEP).tolist(), levels.encoded_size.tolist(), strict=True)) == bids
    )
    assert book._ladder.overflow_blocks[0] <= book._ladder.overflow_fill.shape[1]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("is_bid", [True, False])
@pytest.mark.parametrize(
    ("distance", "size", "seen"),
    [
        (0, 9, True),
        (0, 0, True),
        (1, 9, True),
        (1, 0, True),
        (1, 2, False),
        (2 * WINDOW, 9, True),
        (2 * WINDOW, 0, True),
        (2 * WINDOW, 2, False),
        (2 * WINDOW + 1, 2, False),
    ],
)
def test_a_row_comes_with_whatever_changes_a_visible_level_and_with_nothing_else(
    distance: int, size: int, seen: bool, is_bid: bool, alone: bool
) -> None:
    """Best, middle and last level, in the window and beyond; named alone or with a level that stays as it is."""
    away = -1 if is_bid else 1
    held = [(is_bid, CENTRE + away * by, 2) for by in (0, 1, 2 * WINDOW)]
    change = [(is_bid, CENTRE + away * distance, size)]
    made = [held, change if alone else [*change, held[1 if distance != 1 else 0]]]
    book = Book(STEP, depth=3, window_slots=WINDOW)
    rows = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20]))])
    assert rows[:, 2].tolist() == ([10, 20] if seen else [10])
    levels = book.levels(0 if is_bid else 1)
    shown = np.full((3, 2), (MISSING_PIPS, 0))
    shown[: len(levels.encoded_price[:3])] = np.stack([levels.encoded_price, levels.encoded_size], axis=1)[:3]
    np.testing.assert_array_equal(rows[-1, 6 if is_bid else 12 :][:6].reshape(3, 2), shown)


def test_only_the_first_snapshot_after_an_eviction_repairs() -> None:
    """It has nothing known to disagree with, and repairs; the one after it agrees, and extends."""
    later = [(CENTRE + 5, 1)], [(CENTRE + 6, 1)]
    shots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 2, 1)])), (40, later), (50, later)])
    book = scheduled(Book(STEP, depth=2, crossed_after_ns=0, window_slots=WINDOW), shots)
    made = [[(True, tick, 1)] for tick in (CENTRE, CENTRE + 5, CENTRE - 9, CENTRE - 9, CENTRE - 9)]
    list(book.feed(delta_batch(made, [10, 20, 30, 40, 50])))
    assert book.counts["evicted_levels"] == 1
    assert [SNAPSHOT_USES[use] for use in book.outcomes[:, 0].tolist()] == ["seeded", "repaired", "extended"]
    assert book.outcomes[:, 1].tolist() == [0, 0, 2]


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize(
    ("bid", "ask", "moved"),
    [
        ((CENTRE - 5, 1), (CENTRE + 15, 1), False),
        ((CENTRE - 5, 2), (CENTRE + 15, 1), True),
        ((CENTRE - 5, 1), (CENTRE + 15, 2), True),
        ((CENTRE - 4, 1), (CENTRE + 15, 1), True),
        ((CENTRE - 5, 1), (CENTRE + 14, 1), True),
    ],
)
def test_a_snapshot_that_moves_a_best_level_nobody_knew_is_no_market_activity(
    bid: tuple[int, int], ask: tuple[int, int], moved: bool, warm: bool
) -> None:
    """Whether it seeds a book after its warm-up or extends one: the row says repaired where price or size moves."""
    seed = (10, ([(CENTRE, 1)], [(CENTRE + 10, 1)]))
    shots = snapshot_batch([*([] if warm else [seed]), (20, ([bid], [ask]))])
    warm_up_ns = 0 if warm else 10**9
    book = Book(STEP, depth=2, cadence="message", warm_up_ns=warm_up_ns, window_slots=WINDOW)
    scheduled(book, shots)
    gone = [(True, CENTRE, 0), (False, CENTRE + 10, 0)]
    made = [[(True, CENTRE - 5, 1), (False, CENTRE + 15, 1)], gone, gone]
    rows = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20, 30]))])
    assert SNAPSHOT_USES[int(book.outcomes[-1, 0])] == ("seeded" if warm else "extended")
    assert (rows[:, 3] & int(BookFlag.REPAIRED) != 0).tolist() == [False, moved, False]


@pytest.mark.parametrize("s", [0, 1])
def test_a_level_that_becomes_known_gives_a_row(s: int) -> None:
    """A snapshot that agrees with a level and was the first to reach it changes what a row says, though no level."""
    best, behind = (CENTRE, 1), (CENTRE - 1 if s == 0 else CENTRE + 2, 2)
    sides = [[(CENTRE, 1)], [(CENTRE + 1, 1)]]
    reaching = [[*side, behind] if i == s else side for i, side in enumerate(sides)]
    shots = snapshot_batch([(10, (sides[0], sides[1])), (30, (reaching[0], reaching[1]))])
    book = scheduled(Book(STEP, depth=3, window_slots=WINDOW), shots)
    made = [[(True, *best)], [(s == 0, *behind)], [(True, *best)], [(True, *best)]]
    rows = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20, 30, 40]))])
    assert rows[:, 2].tolist() == [10, 20, 30]
    assert rows[:, 4 + s].tolist() == [1, 1, 2]
    assert rows[:, 5 - s].tolist() == [1, 1, 1]


def test_no_level_is_called_known_while_a_loss_is_proven() -> None:
    """The full book says so as its rows do."""
    shots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    book = scheduled(Book(STEP, depth=1), shots)
    book.add_flag_changes(FlagChanges(np.array([20]), np.array([2 | PROVEN_LOSS])))
    for number, known in ((10, True), (20, False)):
        list(book.feed(delta_batch([[(True, CENTRE - 5, number)]], [number])))
        assert bool(book.levels(0).known[0]) is known


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        (
            "encoded_price",
            1,
            CENTRE * STEP + 1,
            r"row 1, sequence number 20: .*multiples of 5,.*found encoded price 5000001",
        ),
        ("encoded_price", 2, 0, r"row 2, sequence number 30: .*found encoded price 0"),
        ("encoded_price", 0, -STEP, r"row 0, sequence number 10: .*found encoded price -5"),
        ("encoded_price", 0, 2**61 // STEP * STEP + STEP, r"found encoded price 2305843009213693955"),
        ("encoded_size", 2, -1, r"row 2, sequence number 30: .*sizes of at least 0.*encoded size -1"),
        ("sequence_number", 2, 15, r"row 2 of a batch of 3: expected whole messages.*found 15 after 20"),
        ("sequence_number", 0, 5, r"row 0 of a batch of 3: .*found 5 after 5"),
    ],
)
def test_bad_arrays_are_refused_before_anything_changes(column: str, row: int, value: int, said: str) -> None:
    """The first wrong row is named, nothing of the batch is applied, and the book goes on as if it had never come."""
    book, twin = Book(STEP, depth=2, cadence="message"), Book(STEP, depth=2, cadence="message")
    for each in (book, twin):
        list(each.feed(delta_batch([[(True, CENTRE - 9, 4)]], [5])))
    good = delta_batch([[(True, CENTRE, 1)], [(False, CENTRE + 3, 2)], [(True, CENTRE, 0)]], [10, 20, 30])
    wrong = getattr(good, column).copy()
    wrong[row] = value
    with pytest.raises(BatchError, match=said):
        book.feed(replace(good, **{column: wrong}))
    assert book.levels(0).encoded_price.tolist() == [(CENTRE - 9) * STEP]
    assert book.counts == twin.counts
    rows = [np.concatenate([piece.copy() for piece in each.feed(good)]) for each in (book, twin)]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize(
    ("column", "array", "said"),
    [
        ("encoded_price", np.ones(3), r"DeltaBatch.encoded_price: expected int64\[3\], found float64\[3\]"),
        ("encoded_size", np.ones(3, np.int32), r"expected int64\[3\], found int32\[3\]"),
        ("sequence_number", np.ones(2, np.int64), r"DeltaBatch"),
        ("is_bid", np.ones(3, np.int64), r"DeltaBatch.is_bid: expected bool\[3\]"),
        ("encoded_price", np.ones((3, 1), np.int64), r"found int64\[3, 1\]"),
    ],
)
def test_wrong_dtypes_and_lengths_do_not_make_a_batch(column: str, array: np.ndarray, said: str) -> None:
    """A batch that is no batch is refused by name, before a book sees it."""
    good = delta_batch([[(True, CENTRE, 1)], [(False, CENTRE + 3, 2)], [(True, CENTRE, 0)]], [10, 20, 30])
    with pytest.raises(BatchError, match=said):
        replace(good, **{column: array})


@given(streams(largest=10))
def test_views_and_read_only_arrays_are_as_good_as_others(stream: Stream) -> None:
    """Every second element of a larger array, frozen: the same rows."""
    columns = {}
    for name in (
        "origin_time",
        "received_time",
        "sequence_number",
        "is_bid",
        "encoded_price",
        "encoded_size",
    ):
        columns[name] = np.repeat(getattr(stream.deltas, name), 2)[::2]
        columns[name].flags.writeable = False
    strided = replace(stream, deltas=replace(stream.deltas, **columns))
    np.testing.assert_array_equal(replayed(strided)[0], replayed(stream)[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"price_step": 0}, r"Book\(price_step\): expected a step of at least 1, found 0"),
        ({"depth": 0}, "at least 1 visible level"),
        ({"cadence": "often"}, "one of change, message, grid, found often"),
        ({"cadence": "grid"}, "a grid of at least 1 ns"),
        ({"row_capacity": 0}, "room for at least 1 row"),
        ({"window_slots": 1_000}, "a power of two of at least 4096, found 1000"),
        ({"window_slots": 5_000}, "a power of two of at least 4096, found 5000"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], said: str) -> None:
    """The loops check no index, so what they are handed is right or refused."""
    with pytest.raises(BatchError, match=said):
        Book(**{"price_step": STEP, **arguments})


@pytest.mark.parametrize(
    ("order", "forced", "said"),
    [
        ([0, 1], np.zeros(1, np.bool_), r"Book.add_snapshots\(forced\): expected bool\[2\]"),
        ([0, 1], np.zeros(2, np.int64), r"found int64\[2\]"),
        ([1, 0], np.zeros(2, np.bool_), "expected ascending sequence numbers, found 10 after 20"),
    ],
)
def test_snapshots_that_do_not_fit_together_are_refused(
    order: list[int], forced: np.ndarray, said: str
) -> None:
    """One truth value each, in order; and none before one that is scheduled."""
    shots = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in (10, 20)])
    book = Book(STEP)
    with pytest.raises(BatchError, match=said):
        book.add_snapshots(shots.take(np.array(order)), forced)
    scheduled(book, shots)
    with pytest.raises(BatchError, match="snapshots from sequence number 20 on, found 10"):
        scheduled(book, shots)


@pytest.mark.parametrize(
    ("sequence", "bits", "said"),
    [
        ([5], np.zeros(0, np.int64), r"two int64 arrays of one length, found int64\[1\] and int64\[0\]"),
        ([5], np.zeros(1), "float64"),
        ([5, 4], np.zeros(2, np.int64), "Book.add_flag_changes: expected ascending.*found 4 after 5"),
    ],
)
def test_flag_changes_that_do_not_fit_together_are_refused(
    sequence: list[int], bits: np.ndarray, said: str
) -> None:
    """Arrays of one length and dtype, in order."""
    with pytest.raises(BatchError, match=said):
        Book(STEP).add_flag_changes(FlagChanges(np.array(sequence), bits))


def test_a_batch_is_taken_to_its_end_before_the_next() -> None:
    """Two batches at once would share what the book knows of their messages."""
    book = Book(STEP, depth=1, cadence="message", row_capacity=1)
    first = book.feed(delta_batch([[(True, CENTRE, 1)], [(True, CENTRE, 2)]], [10, 20]))
    for _ in range(2):
        with pytest.raises(BatchError, match="taken to their end"):
            book.feed(delta_batch([[(True, CENTRE, 3)]], [30]))
        next(first, None)
    assert len(list(first)) <= 1
    assert [rows[0, 7] for rows in book.feed(delta_batch([[(True, CENTRE, 3)]], [30]))] == [3]


def test_prices_up_to_the_limit_are_exact() -> None:
    """At a step of one pip, the highest price allowed, and a snapshot beyond it."""
    made = [[(False, 2**61, 4), (True, 1, 5)], [(False, 2**61 - 1, 3)], [(False, 2**61 - 1, 0)]]
    book = Book(1, depth=2, cadence="message")
    rows = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20, 30], 1))])
    assert rows[:, 10].tolist() == [2**61, 2**61 - 1, 2**61]
    assert rows[:, 6].tolist() == [1, 1, 1]
    beyond = snapshot_batch([(10, ([(5, 1)], [(2**61 + 1, 1)]))], 1)
    with pytest.raises(BatchError, match=r"below 2\^61"):
        scheduled(Book(1), beyond)


def test_a_grid_row_says_that_nobody_has_spoken() -> None:
    """Between two messages far apart, rows later than the threshold carry GAP; those before and after do not."""
    batch = delta_batch([[(True, CENTRE, 1)], [(True, CENTRE, 2)]], [10, 60])
    book = Book(STEP, depth=1, cadence="grid", grid_ns=1_000, silence_ns=2_000)
    rows = np.concatenate([*[piece.copy() for piece in book.feed(batch)], book.finish().copy()])
    assert rows[:, 0].tolist() == [1_000, 2_000, 3_000, 4_000, 5_000, 6_000]
    assert (rows[:, 3] & 2 != 0).tolist() == [False, False, False, True, True, False]


def test_several_threads_replay_as_one_does(recorded_stream: Stream) -> None:
    """The loops let go of the interpreter; books in threads of their own share nothing and give the same rows."""
    alone = replayed(recorded_stream)[0]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda every: replayed(recorded_stream, every=every)[0], (1, 7, 50, 10**6)))
    for rows in together:
        np.testing.assert_array_equal(rows, alone)


def test_memory_is_bounded_by_the_levels_alive_and_not_by_what_has_been() -> None:
    """A million levels come and go over a wide range: the arrays stay as large as the most that ever lived at once."""
    turns, width = (3, 50) if config.DISABLE_JIT else (400, 2_500)
    book = Book(STEP, depth=1, window_slots=WINDOW)
    rng = np.random.default_rng(1)
    number = largest = 0
    for _ in range(turns):
        ticks = np.unique(rng.integers(1, 10**9, width)).tolist()
        for size in (3, 0):
            number += 10
            for _ in book.feed(delta_batch([[(False, tick, size) for tick in ticks]], [number])):
                pass
        largest = max(largest, sum(array.nbytes for array in book._ladder))
    reserved = 2 * (16 + 48) * WINDOW + 2 * book_module._SPARE_BLOCKS * 64 * 24
    assert largest < 400 * width + 2 * reserved
    assert len(book.levels(1).encoded_price) == 0


@given(streams(), st.integers(1, 4))
def test_inputs_that_come_with_the_messages(stream: Stream, every: int) -> None:
    """Scheduled before the batch they concern, they give the same rows; and outcomes can be taken away."""
    whole, known = replayed(stream)
    inputs = inputs_of(stream, 1)
    book = Book(stream.step, depth=3, window_slots=WINDOW)
    rows, outcomes, shots, edges = [], [], 0, 0
    for batch in cut(stream.deltas, every):
        last = int(batch.sequence_number[-1])
        shot_stop, edge_stop = (
            int(np.searchsorted(numbers, last, "right"))
            for numbers in (inputs.snapshots.sequence_number, inputs.changes.sequence)
        )
        book.add_flag_changes(FlagChanges(*(array[edges:edge_stop] for array in inputs.changes)))
        book.add_snapshots(
            inputs.snapshots.take(slice(shots, max(shots, shot_stop))),
            inputs.forced[shots : max(shots, shot_stop)],
        )
        shots, edges = max(shots, shot_stop), max(edges, edge_stop)
        rows += [piece.copy() for piece in book.feed(batch)]
        outcomes.append(book.take_outcomes())
        assert len(book.outcomes) == 0
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    np.testing.assert_array_equal(np.concatenate(outcomes), known.outcomes[:shots])


def flags_from(number: int, bits: int) -> FlagChanges:
    """One change."""
    return FlagChanges(np.array([number]), np.array([bits]))


def test_flag_changes_that_come_too_early_are_refused() -> None:
    """Before a change that is still to come; and changes that are passed make room for any."""
    book = Book(STEP)
    book.add_flag_changes(flags_from(50, 2))
    with pytest.raises(BatchError, match=r"flag changes from sequence number 50 on, found 40"):
        book.add_flag_changes(flags_from(40, 0))
    list(book.feed(delta_batch([[(True, CENTRE, 1)]], [60])))
    assert book.gap_flags == 2
    book.add_flag_changes(flags_from(40, 0))
    list(book.feed(delta_batch([[(True, CENTRE, 2)]], [70])))
    assert book.gap_flags == 0


@pytest.mark.parametrize("price", [CENTRE * STEP + 1, 0, -STEP])
def test_a_snapshot_off_the_tick_is_refused(price: int) -> None:
    """The quality gate has to sort such snapshots out; the book refuses what slips through."""
    shots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    shots.encoded_price[0, 0, 0] = price
    with pytest.raises(
        BatchError, match=f"positive snapshot prices.*multiples of 5, found encoded price {price}"
    ):
        scheduled(Book(STEP), shots)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30))
def test_a_market_that_jumps_anywhere_keeps_its_best_price(jumps: list[int]) -> None:
    """One level at a time, moved by up to a million ticks: the best bid is always that level."""
    made, tick = [], CENTRE + 10**6
    wanted = []
    for jump in jumps:
        new = max(1, CENTRE + 10**6 + jump)
        made.append([(True, tick, 0), (True, new, 3)])
        tick = new
        wanted.append(new * STEP)
    book = Book(STEP, depth=1, cadence="message", window_slots=WINDOW)
    rows = np.concatenate(
        [rows.copy() for rows in book.feed(delta_batch(made, [10 * (i + 1) for i in range(len(made))]))]
    )
    assert rows[:, 6].tolist() == wanted
