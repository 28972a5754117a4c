"""The exchange's own book: now, some time ago, and in memory that does not grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.exchange.feeds.served_book import ServedBook
from order_book_platform_tests.exchange.clients import SECOND_NS, SEED, depth


@given(
    st.lists(
        st.tuples(st.sampled_from(["9.7", "9.8", "9.9", "10.0"]), st.sampled_from(["0", "0.0", "1", "2"])),
        max_size=30,
    ),
    st.integers(1, 5),
    st.integers(0, 4),
    st.data(),
)
def test_a_book_of_any_age_is_that_of_its_changes(
    changes: list[tuple[str, str]], most_waiting: int, history: int, data: st.DataObject
) -> None:
    """However far back within the history, a book is the seed with the changes up to then."""
    book = ServedBook(SEED, history * SECOND_NS, most_waiting)
    books = [dict(map(tuple, SEED.bids))]
    for number, (price, quantity) in enumerate(changes):
        book.add(depth(number, [[price, quantity]], []), (number + 1) * SECOND_NS)
        after = dict(books[-1])
        after.pop(price, None)
        if float(quantity):
            after[price] = quantity
        books.append(after)
    now = len(changes)
    age = min(data.draw(st.integers(0, history)), now)
    found = book.at(now * SECOND_NS, age * SECOND_NS)
    assert dict(map(tuple, found.bids)) == books[now - age]
    assert found.last_update_id == SEED.last_update_id + 10 * (now - age)


def test_changes_that_the_seed_holds_are_left_out() -> None:
    """An event with an id at or below the seed's changes nothing."""
    book = ServedBook(SEED)
    old = depth(-1, [["9.9", "77"]], [])
    book.add(old, 1)
    assert book.depth(5, 2).bids == [["10.0", "5"], ["9.9", "1"]]


def test_the_best_levels_come_first() -> None:
    """Prices are ordered as numbers, and cut after the limit."""
    book = ServedBook(SEED)
    book.add(depth(0, [["9.10", "1"], ["9.95", "1"]], [["100.0", "1"]]), 0)
    found = book.depth(3, 0)
    assert [price for price, _ in found.bids] == ["10.0", "9.95", "9.9"]
    assert [price for price, _ in book.depth(9, 0).asks] == ["10.1", "10.2", "100.0"]
