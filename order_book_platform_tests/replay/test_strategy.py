"""What each strategy decides, and what a day looks like that is rebuilt by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.schema import level_columns
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.replay.snapshot_scheduler import SnapshotScheduler
from order_book_platform.replay.strategy import SnapshotReplay
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform_tests.chain import Chain, failed
from order_book_platform_tests.streams import CENTRE, STEP, snapshot_batch

NONE = np.empty(0, np.int64)
KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def simulated(folder: Path, faults: str = "", *, book: bool = True, messages: int = 1_500) -> Path:
    """A simulated day in Crypto Lake's layout, with or without its `book` table."""
    MarketSimulator(profile("btc-perp"), 5).write(folder, KEY, messages, Faults.parse(faults))
    if not book:
        shutil.rmtree(folder / "book")
    return folder


def shots(count: int) -> SnapshotBatch:
    """Sound snapshots with sequence numbers 10, 20 and so on."""
    return snapshot_batch([(10 * (i + 1), ([(CENTRE + i, 1)], [(CENTRE + i + 1, 2)])) for i in range(count)])


@pytest.mark.parametrize(("every", "held_out"), [(10, [100, 200]), (3, [30, 60, 90]), (0, [])])
def test_snapshot_replay_holds_out_every_nth(every: int, held_out: list[int]) -> None:
    """What is held out is fixed by position, and never shown."""
    snapshots = shots(25 if every == 10 else 9)
    (due,) = SnapshotScheduler(iter([snapshots]), SnapshotReplay(every).selector(), NONE, STEP).remaining(100)
    left = np.setdiff1d(snapshots.sequence_number, due.used.sequence_number)
    assert left.tolist() == held_out
    assert len(due.rejected) == 0


def test_snapshot_replay_shows_sound_snapshots_as_they_are(tmp_path: Path) -> None:
    """A row per snapshot that is not held out, equal to it, nothing left of the one before; unsound ones rejected."""
    lake = simulated(tmp_path / "lake", "bad_snapshots=4")
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"strategy": "snapshot", "cadence": "message"})
    _, _, _, result = chain.books(KEY)
    books = chain.store.frame("reconstructed_books", KEY).collect()
    used = pl.DataFrame(chain.store.table("reconstructed_books", KEY, "used_snapshots.parquet"))
    shown = used.filter(pl.col("use") == "seeded")["sequence_number"].to_numpy()
    assert books["sequence_number"].to_list() == shown.tolist()
    assert (used["use"] == "rejected").sum() >= 1
    assert set(used["use"]) == {"seeded", "rejected"}
    assert used["levels_wrong"].sum() == used["levels_compared"].sum() == 0
    snapshots = SnapshotBatch.from_arrow(chain.store.table("snapshots", KEY))
    assert 0.85 < len(used) / len(snapshots) < 0.92
    snapshots = snapshots.take(np.isin(snapshots.sequence_number, shown))
    levels = books.select(level_columns(20)).fill_null(-1).to_numpy().reshape(-1, 2, 20, 2)
    np.testing.assert_array_equal(levels[..., 0], snapshots.encoded_price)
    np.testing.assert_array_equal(levels[..., 1], snapshots.encoded_size)
    assert (books["known_bid_levels"] == 20).all()
    assert (books["flags"] == int(BookFlag.SEEDED)).all()
    metadata = result.manifest.metadata
    assert (metadata["strategy"], metadata["seed"]) == ("snapshot", "snapshot")
    assert metadata["counts"]["deltas"] == 0


@pytest.mark.parametrize("cadence", ["change", "grid"])
def test_books_of_snapshots_verify_and_can_be_looked_into(tmp_path: Path, cadence: str) -> None:
    """The second replay gives the same hash, and the book at an instant is the last snapshot shown before it."""
    lake = simulated(tmp_path / "lake")
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"strategy": "snapshot", "cadence": cadence})
    chain.books(KEY)
    reconstructor = Reconstructor(chain.store, chain.settings)
    assert reconstructor.verify(KEY, batch_rows=77).matches
    rows = chain.store.frame("reconstructed_books", KEY).collect()
    for at in (0, 7, len(rows) - 1):
        row = rows.row(at, named=True)
        state = reconstructor.book_at(KEY, sequence_number=row["sequence_number"] + 1)
        assert state.sequence_number == row["sequence_number"]
        assert len(state.bids.price_pips) == len(state.asks.price_pips) == 20
        assert state.bids.price_pips[0] == row["bid_0_price_pips"]


def test_deltas_that_snapshots_contradict_are_not_recommended(tmp_path: Path) -> None:
    """Deltas of another market: nearly every comparison fails, the assessment says so and books come from snapshots."""
    lake = simulated(tmp_path / "lake")
    other = tmp_path / "other"
    MarketSimulator(profile("btc-perp"), 6).write(other, KEY, 1_500)
    shutil.rmtree(lake / "book")
    shutil.copytree(other / "book", lake / "book")
    chain = Chain.over(tmp_path, lake, [KEY])
    _, gaps, assessment, result = chain.books(KEY)
    recommended = assessment.report["recommendation"]
    assert recommended["strategy"] == result.manifest.metadata["strategy"] == "snapshot"
    assert (
        f"{gaps.report['by_cause']['disagreement']} of {gaps.report['snapshots_compared']}"
        in recommended["rule"]
    )


def test_the_share_that_condemns_deltas_is_a_setting(tmp_path: Path) -> None:
    """One loss contradicts one snapshot: too few by default, enough where the limit is set that low."""
    lake = simulated(tmp_path / "lake", "drop=16")
    for share, wanted in ((0.5, "full_event"), (0.001, "snapshot")):
        chain = Chain.over(tmp_path / wanted, lake, [KEY], gaps={"unusable_share": share})
        _, gaps, assessment, result = chain.books(KEY)
        assert gaps.report["by_cause"]["disagreement"] >= 1
        assert assessment.report["recommendation"]["strategy"] == wanted
        assert result.manifest.metadata["strategy"] == wanted


def test_a_day_without_snapshots_warms_up(tmp_path: Path) -> None:
    """Before the warm-up rows are unseeded, after it seeded; no level is ever called known."""
    lake = simulated(tmp_path / "lake", book=False)
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"warm_up": "20s"})
    _, _, assessment, result = chain.books(KEY)
    assert assessment.report["recommendation"]["seeding"] == "cold"
    assert result.manifest.metadata["seed"] == "warm-up"
    books = chain.store.frame("reconstructed_books", KEY).collect()
    late = (books["origin_time"] - books["origin_time"][0]).to_numpy() >= 20 * NS_PER_SECOND
    seeded = (books["flags"].to_numpy() & BookFlag.SEEDED) != 0
    np.testing.assert_array_equal(seeded, late)
    assert 0 < late.sum() < len(books)
    assert books["known_bid_levels"].max() == books["known_ask_levels"].max() == 0
    cold = Chain.over(tmp_path / "cold", lake, [KEY], reconstruct={"warm_up": "1h"})
    assert cold.books(KEY)[3].manifest.metadata["seed"] == "none"


def test_a_book_that_was_never_seeded_seeds_no_other_day(tmp_path: Path) -> None:
    """The closing state of a cold day is not what the next day may stand on."""
    following = PartitionKey.parse(KEY.instrument.key, "2024-08-09")
    lake = simulated(tmp_path / "lake", book=False, messages=300)
    MarketSimulator(profile("btc-perp"), 5).write(lake, following, 300)
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"continue_previous_day": True})
    chain.books(KEY)
    metadata = chain.books(following)[3].manifest.metadata
    assert metadata["not_continued"] == "the day before was never seeded"
    assert metadata["seed"] == "snapshot"


def test_a_snapshot_after_the_warm_up_still_seeds(tmp_path: Path) -> None:
    """Rows before it are the same as if it never came; after it levels are known."""
    lake = simulated(tmp_path / "lake")
    book = lake / "book" / KEY.path / "1.snappy.parquet"
    snapshots = pl.read_parquet(book, hive_partitioning=False)
    late = snapshots["timestamp"][0] + 40 * NS_PER_SECOND
    snapshots.filter(pl.col("timestamp") >= late).write_parquet(book)
    wanted = {"warm_up": "10s", "cadence": "message"}
    chain = Chain.over(tmp_path / "a", lake, [KEY], reconstruct=wanted)
    assert chain.books(KEY)[3].manifest.metadata["seed"] == "snapshot"
    books = chain.store.frame("reconstructed_books", KEY).collect()
    shutil.rmtree(lake / "book")
    without = Chain.over(tmp_path / "b", lake, [KEY], reconstruct=wanted)
    assert without.books(KEY)[3].manifest.metadata["seed"] == "warm-up"
    cold = without.store.frame("reconstructed_books", KEY).collect()
    before = books.filter(pl.col("origin_time") < late)
    assert before.equals(cold.head(len(before)), null_equal=True)
    assert (before["flags"].to_numpy() & BookFlag.SEEDED != 0).any()
    assert (books["known_bid_levels"] > 0).any()


def test_a_day_of_snapshots_is_no_seed(tmp_path: Path) -> None:
    """Its closing book is the last snapshot, and the deltas after that are missing from it."""
    following = PartitionKey.parse(KEY.instrument.key, "2024-08-09")
    lake = simulated(tmp_path / "lake", messages=300)
    MarketSimulator(profile("btc-perp"), 5).write(lake, following, 300)
    Chain.over(tmp_path, lake, [KEY], reconstruct={"strategy": "snapshot"}).books(KEY)
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"continue_previous_day": True})
    assert "snapshots alone" in chain.books(following)[3].manifest.metadata["not_continued"]


def test_every_second_snapshot_at_most_is_held_out() -> None:
    """Asked to hold out each, a book of snapshots still has something to show."""
    (due,) = SnapshotScheduler(iter([shots(6)]), SnapshotReplay(1).selector(), NONE, STEP).remaining(100)
    assert due.used.sequence_number.tolist() == [10, 30, 50]


def test_a_crossed_book_without_snapshots_loses_the_older_levels(tmp_path: Path) -> None:
    """A level that crosses the book and stays is evicted once it has crossed for too long, and counted."""
    lake = simulated(tmp_path / "lake", "crossed=1x8s", book=False)
    evicting = Chain.over(tmp_path / "a", lake, [KEY], reconstruct={"cadence": "message"})
    patient = Chain.over(
        tmp_path / "b", lake, [KEY], reconstruct={"cadence": "message"}, gaps={"crossed_after": "1h"}
    )
    spells = {}
    for name, chain in (("evicting", evicting), ("patient", patient)):
        counts = chain.books(KEY)[3].manifest.metadata["counts"]
        books = chain.store.frame("reconstructed_books", KEY).collect()
        times = books.filter(pl.col("flags") & int(BookFlag.CROSSED) != 0)["origin_time"]
        assert len(times)
        spells[name] = (counts["evicted_levels"], (times.max() - times.min()) / NS_PER_SECOND)
        assert (counts["repaired_rows"] > 0) == (name == "evicting")
    assert spells["patient"][0] == 0
    assert spells["patient"][1] > 7
    assert spells["evicting"][0] >= 1
    assert spells["evicting"][1] <= 2.5


def test_a_snapshot_repairs_a_crossed_book_before_levels_are_evicted(tmp_path: Path) -> None:
    """Where one comes before the threshold, nothing has to be evicted."""
    lake = simulated(tmp_path / "lake", "crossed=1x8s")
    chain = Chain.over(tmp_path, lake, [KEY])
    counts = chain.books(KEY)[3].manifest.metadata["counts"]
    assert counts["evicted_levels"] == 0
    assert counts["repaired"] >= 1


def test_books_of_snapshots_are_judged_by_those_held_out(tmp_path: Path) -> None:
    """A book that is only right every 100 ms is told apart from one that follows every event."""
    lake = simulated(tmp_path / "lake")
    exact = Chain.over(tmp_path / "a", lake, [KEY]).all(KEY)[1]
    coarse = Chain.over(tmp_path / "b", lake, [KEY], reconstruct={"strategy": "snapshot"}).all(KEY)[1]
    assert "bbo_exact_seq" not in failed(exact.gates)
    assert {"bbo_exact_seq", "topk_exact"} <= failed(coarse.gates)
