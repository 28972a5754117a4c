"""Spells of a crossed book, however the rows are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.gaps.crossed_spells import CrossedSpells
from order_book_platform.model import BookFlag


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 6),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_spells_that_last_longer_are_found(
    steps: list[tuple[int, bool]], tolerated: int, cuts: list[int]
) -> None:
    """Each from its first crossed row to the first one that is not, or to the end of the day."""
    times = np.cumsum([step for step, _ in steps])
    crossed = np.array([each for _, each in steps])
    rows = np.zeros((len(steps), 6), np.int64)
    rows[:, 0], rows[:, 2] = times, 10 * times
    rows[:, 3] = np.where(crossed, BookFlag.CROSSED | BookFlag.SEEDED, BookFlag.SEEDED)
    wanted = []
    since = None
    for time, is_crossed in zip(
        [*times.tolist(), int(times[-1]) + 2], [*crossed.tolist(), False], strict=True
    ):
        if is_crossed and since is None:
            since = time
        elif not is_crossed and since is not None:
            if time - since > tolerated:
                wanted.append((since, time))
            since = None

    spells = CrossedSpells(tolerated)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for start, stop in pairwise(bounds):
        spells.feed(rows[start:stop])
    spells.end(int(times[-1]) + 2, 10 * (int(times[-1]) + 2))
    assert [(each.before_ns, each.after_ns) for each in spells.candidates] == wanted
    assert [(each.before, each.after) for each in spells.candidates] == [(10 * a, 10 * b) for a, b in wanted]
    assert all(each.cause == "crossed" for each in spells.candidates)
