"""The columns of a replay's arrays: numbered once each, as many as are allocated, and as numba expects them."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.kernels.book import replay_arrays
from order_book_platform.kernels.book.replay_arrays import MEMORY, SCHEDULE, Memory, ReplaySchedule


@pytest.mark.parametrize(
    ("prefix", "count"), [("STATE_", "STATES"), ("PARAM_", "PARAMS"), ("COUNT_", "COUNTS"), ("ROW_", None)]
)
def test_columns_are_numbered_once_each(prefix: str, count: str | None) -> None:
    """The columns of an array are 0, 1, 2 … up to their number."""
    columns = sorted(value for name, value in vars(replay_arrays).items() if name.startswith(prefix))
    size = len(columns) if count is None else getattr(replay_arrays, count)
    assert columns == list(range(size))


def test_the_order_of_the_state_is_that_of_checkpoints() -> None:
    """Checkpoints hold the state by position, so a column that moves would be read as another one."""
    names = sorted(
        (name for name in vars(replay_arrays) if name.startswith("STATE_")),
        key=lambda name: int(getattr(replay_arrays, name)),
    )
    assert [name.removeprefix("STATE_").lower() for name in names] == [
        "last_origin",
        "last_received",
        "last_sequence",
        "next_grid",
        "row_due",
        "repaired_due",
        "seeded",
        "flag_bits",
        "next_snapshot",
        "next_edge",
        "messages",
        "crossed_since",
        "force_repair",
        "first_origin",
        "warmed_up",
    ]


def test_types_have_every_array() -> None:
    """Numba's types name the arrays of the tuples in their order."""
    assert MEMORY.fields == Memory._fields
    assert SCHEDULE.fields == ReplaySchedule._fields
    assert [kind.ndim for kind in SCHEDULE] == [1, 1, 1, 3, 3, 1, 2, 1, 1]
    assert str(SCHEDULE[ReplaySchedule._fields.index("forced")].dtype) == str(np.dtype(np.bool_))
