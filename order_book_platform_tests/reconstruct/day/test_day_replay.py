"""The replay of a day from the beginning, from the day before, and from where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.errors import PartitionMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.replay_checkpoints import DayCheckpoints
from order_book_platform.replay import replay_steps
from order_book_platform.replay.replay_steps import Instant
from order_book_platform.sources import LakeIngest
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.two_days import KEY, NEXT, two_days


@pytest.mark.usefixtures("small_parts")
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


@pytest.mark.usefixtures("small_parts")
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


def test_a_day_may_go_on_from_the_day_before(tmp_path: Path) -> None:
    """A stream cut at midnight and continued knows as much as if it had not been cut; without the setting, less."""
    chain = two_days(tmp_path / "a", continue_previous_day=True)
    before = chain.books(KEY)[-1].manifest.metadata["closing"]["sequence_number"]
    manifest = chain.books(NEXT)[-1].manifest
    assert manifest.metadata["continued_from"] == before
    assert "previous reconstructed_books" in manifest.inputs
    assert manifest.metadata["counts"]["repaired"] == 0
    alone = two_days(tmp_path / "b")
    alone.books(KEY)
    cold = alone.books(NEXT)[-1].manifest
    assert cold.metadata["continued_from"] is None
    assert "previous reconstructed_books" not in cold.inputs
    assert manifest.metadata["counts"]["unknown_depth_rows"] <= cold.metadata["counts"]["unknown_depth_rows"]


@pytest.mark.parametrize("precision", ["int64", "decimal128"])
def test_a_day_that_goes_on_from_the_day_before_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """It goes on from its checkpoint, not from the day before once more; the partition is the same."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 300)
    chain = two_days(
        tmp_path,
        continue_previous_day=True,
        checkpoint_events=1,
        instrument={"precision": precision},
    )
    chain.books(KEY)
    wanted = chain.books(NEXT)[-1]
    assert wanted.manifest.metadata["continued_from"] is not None
    save = DayCheckpoints.save

    def interrupted(self: DayCheckpoints, *arguments: Any) -> None:
        save(self, *arguments)
        if self.written == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DayCheckpoints, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Reconstructor(chain.store, chain.settings).run(NEXT)
    again = Reconstructor(chain.store, chain.settings).run(NEXT)
    assert again.run.resumed_from > 0
    assert again.manifest == wanted.manifest


def test_a_day_does_not_go_on_over_a_hole_or_from_doubt(tmp_path: Path) -> None:
    """A pause at midnight, a day before without books, or one that ends in doubt: seeded anew, and it says why."""
    late = two_days(
        tmp_path / "a", lambda frame: frame.filter(pl.col("timestamp") > frame["timestamp"].min() + 2 * 10**9),
        continue_previous_day=True,
    )  # fmt: skip
    assert "no books" in late.books(NEXT)[-1].manifest.metadata["not_continued"]
    late.books(KEY)
    assert "between the days" in late.books(NEXT)[-1].manifest.metadata["not_continued"]
    chain = two_days(tmp_path / "b", continue_previous_day=True)
    path = tmp_path / "b/lake/book_delta_v2" / KEY.path / "1.parquet"
    frame = pl.read_parquet(path, hive_partitioning=False)
    numbers = frame["sequence_number"].unique().sort()
    frame.filter(~pl.col("sequence_number").is_in(numbers[-6:-1].to_list())).write_parquet(path)
    for table in (tmp_path / "b/lake/book" / KEY.path).iterdir():
        rows = pl.read_parquet(table, hive_partitioning=False)
        rows.filter(pl.col("sequence_number") != numbers[-1]).write_parquet(table)
    chain.books(KEY)
    found = chain.books(NEXT)[-1].manifest.metadata
    assert found["continued_from"] is None
    assert "doubt: GAP" in found["not_continued"]


@pytest.mark.parametrize("empty", [KEY, NEXT])
def test_a_day_without_a_message_is_neither_continued_nor_goes_on(
    tmp_path: Path, empty: PartitionKey
) -> None:
    """No source publishes one, but should there be one: an empty book, and it says why."""
    chain = two_days(tmp_path, continue_previous_day=True)
    for key in (KEY, NEXT):
        LakeIngest(chain.store, chain.settings).run(key)
    metadata = chain.store.manifest("raw_deltas", empty).metadata
    with chain.store.write("raw_deltas", empty) as writer:
        writer.parquet("deltas.parquet", RAW_DELTAS_SCHEMA).write(RAW_DELTAS_SCHEMA.empty_table())
        writer.metadata.update(metadata)
    for key in (KEY, NEXT):
        GapReporter(chain.store, chain.settings).run(key)
        DataAssessor(chain.store, chain.settings).run(key)
        Reconstructor(chain.store, chain.settings).run(key)
    found = chain.store.manifest("reconstructed_books", NEXT).metadata
    assert (found["continued_from"], found["not_continued"]) == (None, "one of the days has no message")
