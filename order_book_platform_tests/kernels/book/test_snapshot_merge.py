"""Comparing a snapshot with a book, and merging it, on small books of asks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book import ladder
from order_book_platform.kernels.book.ladder_arrays import NO_TICK, NOTHING_KNOWN, Ladder
from order_book_platform.kernels.book.snapshot_merge import compare_snapshot, count_levels, merge_snapshot
from order_book_platform_tests.kernels.book.test_visible_rows import SLOTS

K = 4
levels = st.dictionaries(st.integers(1, 12), st.integers(1, 3), max_size=8)


def book_of(asks: dict[int, int], known_until: int | None) -> Ladder:
    """A book with asks alone, known up to a tick."""
    book = Ladder.empty(SLOTS, 2 * SLOTS // 64 + 8)
    for tick, size in asks.items():
        ladder.set_level(book, 1, tick, size, 7)
    ladder.settle(book, 1)
    book.known_until[1] = NOTHING_KNOWN if known_until is None else known_until
    return book


def snapshot_of(asks: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ticks and sizes of a snapshot with the best K of these asks and no bids."""
    ticks, sizes = np.full((2, K), NO_TICK), np.zeros((2, K), np.int64)
    best = sorted(asks)[:K]
    ticks[1, : len(best)] = best
    sizes[1, : len(best)] = [asks[tick] for tick in best]
    return ticks, sizes


def asks_of(book: Ladder) -> dict[int, int]:
    """The asks of a book."""
    found = np.empty((3, book.occupied(1)), np.int64)
    ladder.read_levels(book, 1, found)
    return dict(zip(found[0].tolist(), found[1].tolist(), strict=True))


@given(levels, st.one_of(st.none(), st.integers(0, 14)), levels)
def test_only_what_both_know_is_compared(
    asks: dict[int, int], known_until: int | None, shown: dict[int, int]
) -> None:
    """Levels up to the nearer of both ends count once each, and those that are not equal are wrong."""
    ticks, sizes = snapshot_of(shown)
    out = np.full(2, 99, np.int64)
    compare_snapshot(book_of(asks, known_until), ticks, sizes, out)
    best = dict(sorted(shown.items())[:K])
    end = min(-1 if known_until is None else known_until, max(best, default=-1))
    compared = {tick for tick in {*asks, *best} if tick <= end}
    assert out.tolist() == [len(compared), sum(asks.get(tick) != best.get(tick) for tick in compared)]
    assert int(count_levels(ticks, 1)) == len(best)


def test_a_last_level_of_size_0_only_marks_the_end() -> None:
    """It is compared where the book has a level there, and the book is known up to it when it is gone."""
    ticks, sizes = snapshot_of({3: 1, 7: 2})
    sizes[1, 1] = 0
    for asks, wanted in (({3: 1}, [1, 0]), ({3: 1, 7: 2}, [2, 1]), ({3: 1, 5: 1}, [2, 1])):
        book, out = book_of(asks, 9), np.zeros(2, np.int64)
        compare_snapshot(book, ticks, sizes, out)
        assert out.tolist() == wanted
        assert int(merge_snapshot(book, ticks, sizes, True, 9)) == wanted[1]
        assert asks_of(book) == {3: 1}
        assert book.known_until[1] == 7


@given(levels, st.one_of(st.none(), st.integers(0, 14)), levels, st.booleans())
def test_a_merge_replaces_the_snapshot_s_range(
    asks: dict[int, int], known_until: int | None, shown: dict[int, int], forget: bool
) -> None:
    """Within its range the book is the snapshot, beyond it nothing changes; a seed and a repair end the known range."""
    book, (ticks, sizes) = book_of(asks, known_until), snapshot_of(shown)
    before = int(book.known_until[1])
    best = dict(sorted(shown.items())[:K])
    end = max(best, default=0)
    changes = int(merge_snapshot(book, ticks, sizes, forget, 9))
    wanted = {tick: size for tick, size in asks.items() if tick > end} | best
    assert asks_of(book) == wanted
    assert changes == sum(asks.get(tick) != wanted.get(tick) for tick in {*asks, *wanted})
    if best:
        assert int(book.known_until[1]) == (end if forget else max(before, end))
        assert int(book.best[1]) == min(wanted)
    else:
        assert int(book.known_until[1]) == before
    assert book.known_until[0] == NOTHING_KNOWN
