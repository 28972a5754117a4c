"""The replay of a day names its inputs, may begin anywhere, and judges snapshots behind the last message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from order_book_platform.errors import PartitionMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.replay.replay_steps import Instant
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.day_runs import KEY

pytestmark = pytest.mark.usefixtures("small_parts")


def test_a_saved_replay_goes_on(faulty_lake: Path, tmp_path: Path) -> None:
    """Rows behind the saved position, and the table of used snapshots, are those of the whole day."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    whole = DayReplay.prepare(chain.store, chain.settings, KEY)
    rows = np.concatenate([piece.copy() for piece in whole.rows(chain.store, silent, 1_000)])
    table, uses, seed = whole.used_snapshots()
    assert len(rows) == chain.store.rows("reconstructed_books", KEY).num_rows

    first = DayReplay.prepare(chain.store, chain.settings, KEY)
    steps = first._steps(chain.store, silent, 1_000, None)
    head = []
    for step in steps:
        head += [piece.copy() for piece in first.apply(step)]
        if step.position.deltas > 8_000:
            break
    saved = first.saved(step.position, np.zeros(1, np.bool_))
    second = DayReplay.prepare(chain.store, chain.settings, KEY, saved=saved)
    rest = [piece.copy() for piece in second.rows(chain.store, silent, 777)]
    np.testing.assert_array_equal(np.concatenate([*head, *rest]), rows)
    again = second.used_snapshots()
    assert again[0].equals(table)
    assert again[1:] == (uses, seed)


def test_inputs_are_named_by_fingerprint(faulty_lake: Path, tmp_path: Path) -> None:
    """All four datasets that the rows depend on."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    replay = DayReplay.prepare(chain.store, chain.settings, KEY, cadence="message")
    names = ("raw_deltas", "snapshots", "sequence_gap_report", "data_assessment")
    assert replay.inputs == {name: chain.store.manifest(name, KEY).fingerprint for name in names}
    until = Instant(
        sequence_number=chain.store.frame("reconstructed_books", KEY).collect()["sequence_number"][9]
    )
    rows = [piece.copy() for piece in replay.rows(chain.store, silent, 1_000, until)]
    assert int(np.concatenate(rows)[-1, 2]) == until.sequence_number
    with pytest.raises(PartitionMissingError):
        DayReplay.prepare(chain.store, chain.settings, PartitionKey.parse(KEY.instrument.key, "2024-08-09"))
