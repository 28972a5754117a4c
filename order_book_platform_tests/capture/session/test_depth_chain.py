"""The chain of depth ids over several connections, against a plain model."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.capture.session.depth_chain import MAX_WAITING, ChainBreak, DepthChain


def test_one_connection_that_keeps_its_chain_has_no_break() -> None:
    """Duplicates and overlaps are no breaks; the first message begins the chain."""
    chain = DepthChain()
    chain.open(1)
    for previous, last in ((10, 12), (12, 15), (12, 15), (11, 14), (15, 15), (15, 20)):
        assert chain.add(1, previous, last) == []
    assert (chain.start, chain.last) == (10, 20)


def test_a_hole_of_the_only_connection_is_a_break_at_once() -> None:
    """A connection keeps its order, so nobody can fill the hole."""
    chain = DepthChain()
    chain.open(1)
    chain.add(1, 10, 12)
    assert chain.add(1, 14, 16) == [ChainBreak(12, 14)]
    assert (chain.start, chain.last) == (14, 16)


def test_another_connection_fills_the_hole() -> None:
    """Nothing is missing while somebody behind may still bring it; once it is there, the waiting message counts."""
    chain = DepthChain()
    chain.open(1)
    chain.open(2)
    chain.add(1, 10, 12)
    assert chain.add(1, 14, 16) == []
    assert chain.has_hole
    assert chain.add(2, 11, 15) == []
    assert (chain.last, chain.has_hole) == (16, False)


def test_a_hole_that_the_other_one_has_passed_is_a_break() -> None:
    """It has, or it is closed."""
    for closes in (False, True):
        chain = DepthChain()
        chain.open(1)
        chain.open(2)
        chain.add(1, 10, 12)
        chain.add(1, 14, 16)
        found = chain.close(2) if closes else chain.add(2, 16, 18)
        assert found == [ChainBreak(12, 14)]
        assert chain.last == (16 if closes else 18)


def test_what_waits_is_bounded() -> None:
    """A second connection that never brings the stream cannot make the chain wait for ever."""
    chain = DepthChain()
    chain.open(1)
    chain.open(2)
    chain.add(1, 0, 1)
    broken = [chain.add(1, 2 * at, 2 * at + 1) for at in range(1, MAX_WAITING + 3)]
    assert next(each for each in broken if each) == [ChainBreak(1, 2)]


@given(st.data())
def test_breaks_are_what_no_connection_brought(data: st.DataObject) -> None:
    """Two connections with groupings of their own lose messages; breaks are the ids that neither has."""
    total = data.draw(st.integers(2, 40))
    streams = []
    for _ in range(2):
        cuts = sorted(data.draw(st.sets(st.integers(1, total - 1), max_size=8)) | {0, total})
        messages = list(pairwise(cuts))
        lost = data.draw(st.sets(st.integers(1, len(messages)), max_size=3))
        streams.append([each for at, each in enumerate(messages) if at not in lost])
    chain = DepthChain()
    chain.open(0)
    chain.open(1)
    breaks = chain.add(0, 0, 0)
    places = [0, 0]
    while any(place < len(stream) for place, stream in zip(places, streams, strict=True)):
        ready = [at for at in (0, 1) if places[at] < len(streams[at])]
        number = data.draw(st.sampled_from(ready))
        breaks += chain.add(number, *streams[number][places[number]])
        places[number] += 1
    breaks += chain.close(0) + chain.close(1)
    brought = {
        number for stream in streams for first, last in stream for number in range(first + 1, last + 1)
    }
    missing = {number for each in breaks for number in range(each.after + 1, each.until + 1)}
    assert missing == set(range(1, max(brought, default=0) + 1)) - brought
