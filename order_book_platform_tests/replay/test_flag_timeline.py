"""The flag timeline of a day against its definition: at every message, the union of the gaps that cover it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.sequence_gap_report import GAPS_SCHEMA
from order_book_platform.model import BookFlag
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.flag_timeline import FlagTimeline, RecoveryPoints

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
