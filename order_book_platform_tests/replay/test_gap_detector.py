"""Gap candidates found batch by batch are those of the whole; each cause has its meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.replay.gap_detector import GapCandidate, GapDetector, unseen_counts
from order_book_platform_tests.streams import Stream, cut, streams

NOTHING = np.empty(0, np.int64)


@given(
    streams(),
    st.integers(1, 5),
    st.sampled_from([None, "prev_final_update_id", "first_update_id"]),
    st.data(),
)
def test_batches_do_not_matter(stream: Stream, every: int, ids: str | None, data: st.DataObject) -> None:
    """With ids of either kind or none; a finder may be left and another one go on."""
    deltas = stream.deltas
    if ids:
        lost = data.draw(st.integers(0, 40))
        before = deltas.sequence_number - 10 + (ids == "first_update_id")
        deltas = replace(deltas, **{ids: np.where(deltas.sequence_number == 10 * lost, before + 3, before)})
    shots = stream.snapshots.sequence_number
    whole = GapDetector(900)
    wanted = whole.feed(deltas, shots)[1]
    found, finder = [], GapDetector(900)
    for batch in cut(deltas, every):
        found += finder.feed(batch, shots)[1]
        finder = GapDetector(900, finder.has_ids, finder.messages, finder.last_sequence, finder.last_ns)
    assert found == wanted
    assert finder == whole
    causes = {item.cause for item in found}
    assert causes <= ({"chain"} if ids else {"silence", "unseen_snapshot"})


def test_a_missing_range_is_counted_where_ids_are_contiguous() -> None:
    """Spot's `U` says how many ids are gone; futures' `pu` does not."""
    stream = replace_ids("first_update_id", [1, 11, 26])
    (item,) = GapDetector(10**9).feed(stream, NOTHING)[1]
    assert (item.cause, item.missing_ids, item.detail) == ("chain", 5, "U is 26 where 21 was due")
    stream = replace_ids("prev_final_update_id", [0, 10, 25])
    (item,) = GapDetector(10**9).feed(stream, NOTHING)[1]
    assert (item.missing_ids, item.detail) == (None, "pu is 25 where 20 was due")


@pytest.mark.parametrize(
    ("name", "ids"), [("prev_final_update_id", [0, 7, 20]), ("first_update_id", [1, 8, 21])]
)
def test_an_overlap_of_two_connections_is_no_gap(name: str, ids: list[int]) -> None:
    """A message that begins before the end of the last one leaves nothing out."""
    assert GapDetector(10**9).feed(replace_ids(name, ids), NOTHING)[1] == []


@pytest.mark.parametrize("name", ["prev_final_update_id", "first_update_id"])
def test_numbers_that_begin_anew_are_a_gap(name: str) -> None:
    """A message whose number goes back behind the last one's is no overlap, however small its ids are."""
    stream = replace(replace_ids(name, [0, 10, 3]), sequence_number=np.array([10, 20, 5]))
    (item,) = GapDetector(10**9).feed(stream, NOTHING)[1]
    assert (item.cause, item.before, item.after) == ("chain", 20, 5)


def replace_ids(name: str, ids: list[int]):  # type: ignore[no-untyped-def]
    """Three messages with those ids."""
    from order_book_platform_tests.streams import CENTRE, delta_batch

    return replace(delta_batch([[(True, CENTRE, 1)]] * 3, [10, 20, 30]), **{name: np.array(ids)})


@pytest.mark.parametrize(
    ("cause", "pause", "proven", "small"),
    [
        ("chain", 1, True, False),
        ("unseen_snapshot", 1, True, False),
        ("silence", 50, False, True),
        ("silence", 51, False, False),
        ("crossed", 500, False, True),
    ],
)
def test_what_a_gap_candidate_means(cause: str, pause: int, proven: bool, small: bool) -> None:
    """A short silence and a crossed book are small; ids and unseen snapshots prove a loss."""
    item = GapCandidate(cause, 1, 2, 100, 100 + pause, None, "")
    assert (item.proven, item.is_small(50)) == (proven, small)


@pytest.mark.parametrize(
    ("name", "ids", "missing"),
    [("prev_final_update_id", [5, 10, 20], None), ("first_update_id", [6, 11, 21], 3)],
)
def test_a_snapshot_older_than_the_deltas_is_a_gap(name: str, ids: list[int], missing: int | None) -> None:
    """What lies between it and the first message is not there, so that a book that it seeds lacks it."""
    stream = replace_ids(name, ids)
    (item,) = GapDetector(10**9).feed(stream, np.array([2, 7, 13]))[1]
    assert (item.cause, item.before, item.after, item.missing_ids) == ("chain", 2, 10, missing)
    assert (item.recover_from, item.proven) == (5, True)
    for shots in ([5, 13], [7], [10], []):
        assert GapDetector(10**9).feed(stream, np.array(shots, np.int64))[1] == []
    begun = GapDetector(10**9, True, 1, 5)
    assert begun.feed(stream, np.array([2]))[1] == []


def test_unseen_snapshots_lie_strictly_between() -> None:
    """At the number of a message they are of that message."""
    pairs = GapDetector(10**9).feed(replace_ids("first_update_id", [1, 11, 21]), NOTHING)[0]
    assert unseen_counts(pairs, np.array([5, 10, 11, 19, 20, 30, 31])).tolist() == [2, 0]
