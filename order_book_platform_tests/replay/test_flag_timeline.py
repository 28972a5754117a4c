"""The flag timeline of a day against its definition: at every message, the union of the gaps that cover it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.gap_classification import RecoverySnapshots, classify, gaps_table
from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.model import BookFlag
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.flag_timeline import FlagTimeline, LiveFlagTimeline, RecoveryPoints
from order_book_platform.replay.gap_detector import GapCandidate, MessagePairs
from order_book_platform.settings import GapSettings

SEQUENCES = 30
COLUMNS = (
    "action",
    "cause",
    "proven",
    "to_sequence_number",
    "flagged_from_sequence_number",
    "flagged_until_sequence_number",
)


@st.composite
def gap(draw: st.DrawFn) -> dict[str, Any]:
    """A gap that flags from one sequence number up to another, or to the end of the day."""
    start = draw(st.integers(0, SEQUENCES))
    until = draw(st.one_of(st.none(), st.integers(start, SEQUENCES)))
    return {
        "action": draw(st.sampled_from(["flag", "recover", "corrupt"])),
        "cause": draw(st.sampled_from(["silence", "crossed", "disagreement"])),
        "proven": draw(st.booleans()),
        "to_sequence_number": start,
        "flagged_from_sequence_number": start,
        "flagged_until_sequence_number": until,
    }


def table(gaps: list[dict[str, Any]]) -> pa.Table:
    """The columns that the timeline is made of, as the gap report stores them."""
    columns = [pa.array([each[name] for each in gaps], GAPS_SCHEMA.field(name).type) for name in COLUMNS]
    return pa.table(columns, names=COLUMNS)


def bits_at(gaps: list[dict[str, Any]], sequence: int) -> int:
    """What a message is flagged with, by the definition."""
    bits = 0
    for each in gaps:
        until = each["flagged_until_sequence_number"]
        if each["flagged_from_sequence_number"] <= sequence and (until is None or sequence < until):
            if each["cause"] in ("disagreement", "crossed"):  # only known afterwards
                bits |= BookFlag.HINDSIGHT
                continue
            bits |= BookFlag.GAP
            bits |= BookFlag.CORRUPT if each["action"] == "corrupt" else 0
            bits |= PROVEN_LOSS if each["proven"] else 0
    return bits


@given(st.lists(gap(), max_size=6))
def test_every_message_has_the_union_of_its_gaps(gaps: list[dict[str, Any]]) -> None:
    """Overlapping, nested, adjacent, empty and open-ended gaps."""
    changes = FlagTimeline.from_gaps(table(gaps)).changes
    assert (np.diff(changes.sequence) > 0).all()
    for sequence in range(SEQUENCES + 2):
        at = int(np.searchsorted(changes.sequence, sequence, "right")) - 1
        assert (int(changes.bits[at]) if at >= 0 else 0) == bits_at(gaps, sequence)


@given(st.lists(gap(), max_size=6), st.lists(st.integers(0, SEQUENCES), unique=True, max_size=8))
def test_forced_repairs(gaps: list[dict[str, Any]], snapshots: list[int]) -> None:
    """Each gap that asks for it, unless a snapshot found it, is repaired by the first snapshot at or after its end."""
    sequence = np.array(sorted(snapshots), dtype=np.int64)
    asking = [each for each in gaps if each["action"] != "flag" and each["cause"] != "disagreement"]
    expected = {
        next((at for at, number in enumerate(sequence) if number >= each["to_sequence_number"]), None)
        for each in asking
    }
    forced = RecoveryPoints(FlagTimeline.from_gaps(table(gaps)).recover_from).forced(sequence)
    assert set(np.flatnonzero(forced).tolist()) == expected - {None}


SETTINGS = GapSettings(silence=10, recover_after=25, snapshot_reach=60)
MESSAGES = 30
CORRUPT = int(BookFlag.CORRUPT)


@given(
    st.lists(st.tuples(st.integers(1, MESSAGES - 1), st.sampled_from(["chain", "silence"])), max_size=5),
    st.lists(st.integers(0, 2 * MESSAGES), unique=True, max_size=5),
    st.lists(st.integers(1, MESSAGES), unique=True, max_size=4),
    st.lists(st.sampled_from([10, 10, 20, 40]), min_size=MESSAGES, max_size=MESSAGES),
)
def test_it_is_the_timeline_of_the_day_but_for_the_future(
    places: list[tuple[int, str]], marks: list[int], cuts: list[int], pauses: list[int]
) -> None:
    """At every message the same bits, however the day is cut, without CORRUPT; and that only beyond the reach."""
    number, origin = np.arange(MESSAGES) * 10, np.cumsum(pauses)
    gaps = [
        GapCandidate(cause, *(int(each[i + k]) for each in (number, origin) for k in (-1, 0)), None, "")
        for i, cause in sorted(set(places))
    ]
    shots = np.sort(np.array(marks, np.int64)) * 5
    shot_time = np.interp(shots, number, origin).astype(np.int64)
    day = FlagTimeline.from_gaps(
        gaps_table([classify(item, RecoverySnapshots(shots, shot_time), SETTINGS) for item in gaps])
    )
    running = LiveFlagTimeline(SETTINGS.recover_after, SETTINGS.snapshot_reach)
    sequence, bits, recover_from = [], [], []
    bounds = [0, *sorted(cuts), MESSAGES]
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        first = max(start, 1)
        pairs = MessagePairs(
            number[first - 1 : stop - 1],
            number[first:stop],
            origin[first - 1 : stop - 1],
            origin[first:stop],
            np.arange(first, stop),
        )
        here = [item for item in gaps if number[start] <= item.after <= number[stop - 1]]
        low = number[start - 1] if start else -1
        used = shots[(shots > low) & (shots <= number[stop - 1])]
        recover_from += running.recover_from(here).tolist()
        changes = running.changes(pairs, here, used)
        assert (np.diff(changes.sequence) >= 0).all()
        sequence += changes.sequence.tolist()
        bits += changes.bits.tolist()
        running = LiveFlagTimeline(
            SETTINGS.recover_after, SETTINGS.snapshot_reach, running.bits, running.deadline_ns
        )
    assert recover_from == day.recover_from.tolist()
    for i, at in enumerate(number.tolist()):
        mine = bits[int(np.searchsorted(sequence, at, "right")) - 1] if sequence and sequence[0] <= at else 0
        wanted = int(np.searchsorted(day.changes.sequence, at, "right")) - 1
        theirs = int(day.changes.bits[wanted]) if wanted >= 0 else 0
        assert mine & ~CORRUPT == theirs & ~CORRUPT
        if mine & CORRUPT:
            assert theirs & CORRUPT
            assert any(origin[i] - item.after_ns > SETTINGS.snapshot_reach for item in gaps)
