"""The gap report on simulated days with faults whose place is known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.assess.gap_reporter import CrossedSpells
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import PartitionMissingError
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline, RecoveryPoints
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform_tests.chain import Chain, failed

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def simulated(
    folder: Path, faults: str = "", messages: int = 2_500
) -> tuple[Chain, tuple[dict[str, object], ...]]:
    """A chain over a simulated day, its raw deltas published, and what was done to it."""
    report = MarketSimulator(profile("btc-perp"), 5).write(
        folder / "lake", KEY, messages, Faults.parse(faults) if faults else Faults()
    )
    chain = Chain.over(folder, folder / "lake", [KEY])
    chain.books(KEY)
    return chain, report.injected


def gaps(chain: Chain) -> pl.DataFrame:
    """gaps.parquet."""
    return chain.store.frame("sequence_gap_report", KEY).collect()


def test_a_sound_day_has_no_gaps(tmp_path: Path) -> None:
    """Nothing is reported, every gate holds but that of a whole day and of the clocks, and the verdict is go."""
    chain, _ = simulated(tmp_path)
    assert gaps(chain).is_empty()
    assert chain.store.report("sequence_gap_report", KEY)["inferred_gap_ratio"] == 0
    assessment = DataAssessor(chain.store, chain.settings).run(KEY)
    assert failed(assessment.gates) <= {"latency_negative", "day_coverage"}
    assert assessment.report["verdict"] == "go"


def test_a_silence_is_located(tmp_path: Path) -> None:
    """One gap, between the messages around the silence, as long as it was."""
    chain, (fault,) = simulated(tmp_path, "silence=1")
    found = gaps(chain).filter(pl.col("cause") == "silence")
    assert len(found) == 1
    row = found.row(0, named=True)
    assert row["from_sequence_number"] < fault["first_sequence_number"] <= fault["last_sequence_number"]
    assert fault["last_sequence_number"] < row["to_sequence_number"]
    assert row["kind"] == "inferred"


def test_dropped_messages_are_found_by_snapshots(tmp_path: Path) -> None:
    """Snapshots of the lost messages and the book's disagreement both tell of them."""
    chain, (fault,) = simulated(tmp_path, "drop=16", messages=6_000)
    causes = gaps(chain)["cause"].to_list()
    assert "unseen_snapshot" in causes
    around = gaps(chain).filter(
        (pl.col("from_sequence_number") < fault["first_sequence_number"])
        & (pl.col("to_sequence_number") > fault["last_sequence_number"])
    )
    assert len(around)
    assert DataAssessor(chain.store, chain.settings).run(KEY).report["verdict"] == "go with repair"


def test_ghost_levels_are_found_by_disagreement(tmp_path: Path) -> None:
    """Removals that never came leave levels that a snapshot contradicts."""
    chain, _ = simulated(tmp_path, "ghost=5")
    found = gaps(chain)
    assert set(found["cause"]) == {"disagreement"}
    assert found["proven"].all()
    uses = chain.store.table("reconstructed_books", KEY, "used_snapshots.parquet")["use"].to_pylist()
    assert uses.count("repaired") == len(found)


def test_bad_snapshots_are_counted_and_never_used(tmp_path: Path) -> None:
    """Crossed, unsorted or unreadable snapshots fail the gate of a seed; the book stays exact without them."""
    chain, _ = simulated(tmp_path, "bad_snapshots=40")
    report = chain.store.report("sequence_gap_report", KEY)
    assert sum(report["snapshot_defects"].values()) == 40
    assert report["gaps"] == 0
    counts = chain.store.manifest("reconstructed_books", KEY).metadata["counts"]
    assert counts["repaired"] == 0
    assert counts["rejected"] > 0


def test_the_replay_is_the_same_as_the_reconstruction(tmp_path: Path) -> None:
    """What the report calls a disagreement is what the reconstruction repairs, snapshot by snapshot."""
    chain, _ = simulated(tmp_path, "drop=16,ghost=4,crossed=1")
    wanted = gaps(chain).filter(pl.col("cause") == "disagreement")["to_sequence_number"].to_list()
    used = chain.store.table("reconstructed_books", KEY, "used_snapshots.parquet").to_pylist()
    repaired = [row["sequence_number"] for row in used if row["use"] == "repaired" and row["levels_wrong"]]
    assert repaired == wanted
    assert repaired


@pytest.mark.parametrize("rows", [300, 1_000_000])
def test_snapshots_behind_a_gap_repair_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Found in the same pass, and in time: as if all gaps had been known before the replay."""
    sequences, forced, add = [], [], Book.add_snapshots

    def noted(self: Book, snapshots: SnapshotBatch, repairs: NDArray[np.bool_]) -> None:
        sequences.append(snapshots.sequence_number)
        forced.append(repairs)
        add(self, snapshots, repairs)

    chain, _ = simulated(tmp_path, "drop=16,silence=1x7s")
    found = FlagTimeline.from_gaps(chain.store.table("sequence_gap_report", KEY))
    sources = chain.settings.sources.model_copy(update={"batch_rows": rows})
    monkeypatch.setattr(Book, "add_snapshots", noted)
    GapReporter(chain.store, chain.settings.model_copy(update={"sources": sources})).run(KEY)
    wanted = RecoveryPoints(found.recover_from).forced(np.concatenate(sequences))
    assert np.concatenate(forced).tolist() == wanted.tolist()
    assert wanted.any()


def test_a_missing_partition_says_what_to_run(tmp_path: Path) -> None:
    """The error names the command that makes the input."""
    chain = Chain.over(tmp_path, tmp_path, [KEY])
    with pytest.raises(PartitionMissingError, match="obp materialize --symbol SIMULATED:BTC-USDT-PERP"):
        GapReporter(chain.store, chain.settings).run(KEY)


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
