"""Faults: each is really there, is recorded to the row, and leaves everything else and the truth alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import SettingsError, SourceMissingError, SourceValueError
from order_book_platform.model import PartitionKey
from order_book_platform.simulate import Faults, MarketSimulator, inject_faults, profile, read_record
from order_book_platform.simulate.fault_plan import BAD_SNAPSHOTS, Edits, FaultPlan
from order_book_platform.simulate.lake_files import LAKE_TABLES, SCHEMAS, table_file
from order_book_platform.simulate.simulator import apply_plan
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.simulate.small import KEY, bytes_below, read

EVERYTHING = Faults.parse(
    "drop=16,ghost=5,silence=1,crossed=2,bad_snapshots=4,duplicates=10,clock_skew=-1.27s,unsorted=100"
)
Injected = tuple[pl.DataFrame, pl.DataFrame, list[dict[str, Any]]]
Inject = Callable[[str], Injected]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated symbol-day without faults."""
    root = tmp_path_factory.mktemp("clean")
    MarketSimulator(profile(), 4).write(root, KEY, 1_500)
    return root


@pytest.fixture
def injected(clean: Path, tmp_path: Path) -> Inject:
    """Deltas without and with faults, and the record's entries."""

    def run(spec: str) -> Injected:
        inject_faults(clean, tmp_path, KEY, Faults.parse(spec), 9)
        record = read_record(tmp_path, KEY)
        assert record["faults"] == str(Faults.parse(spec))
        return read(clean, "book_delta_v2"), read(tmp_path, "book_delta_v2"), record["injected"]

    return run


def times(rows: pl.DataFrame) -> pl.DataFrame:
    """Sequence number and time of each message."""
    return rows.group_by("sequence_number", maintain_order=True).agg(pl.col("timestamp").first())


def test_dropped_messages_are_missing(injected: Inject) -> None:
    """Exactly the recorded run of consecutive messages, from the middle half, is gone."""
    before, after, (entry,) = injected("drop=16")
    gone = pl.col("sequence_number").is_between(entry["first_sequence_number"], entry["last_sequence_number"])
    assert times(before.filter(gone)).height == entry["messages"] == 16
    assert before.filter(gone).height == entry["rows"]
    assert after.equals(before.filter(~gone))
    place = times(before)["sequence_number"].to_list().index(entry["first_sequence_number"])
    assert 375 <= place < 1_125


def test_drops_can_be_placed(injected: Inject) -> None:
    """`@1200` drops message 1200 and those after it."""
    before, _, (entry,) = injected("drop=2@1200")
    sequence = times(before)["sequence_number"]
    assert (entry["first_sequence_number"], entry["last_sequence_number"]) == (
        sequence[1_200],
        sequence[1_201],
    )


def test_silences_are_silent(injected: Inject) -> None:
    """In each interval nothing arrives for at least as long as asked; nothing else is missing."""
    before, after, entries = injected("silence=2x2s")
    kept = before
    for entry in entries:
        gone = pl.col("sequence_number").is_between(
            entry["first_sequence_number"], entry["last_sequence_number"]
        )
        kept = kept.filter(~gone)
    assert after.equals(kept)
    gaps = times(after)["timestamp"].diff().drop_nulls()
    assert (gaps >= 2_000_000_000).sum() == len(entries) == 2
    assert (times(before)["timestamp"].diff().drop_nulls() >= 2_000_000_000).sum() == 0


def test_crossed_levels_cross_and_stay(clean: Path, injected: Inject) -> None:
    """While a level is there the replayed book is crossed at every message; before and after it never is."""
    before, after, entries = injected("crossed=2x2s")
    inside = pl.lit(False)
    for entry in entries:
        assert entry["to_timestamp"] - entry["from_timestamp"] >= 2_000_000_000
        level = (after["price"] == entry["price"]) & (after["side_is_bid"] == entry["side_is_bid"])
        during = after["sequence_number"].is_between(
            entry["first_sequence_number"], entry["last_sequence_number"]
        )
        assert after.filter(level & during)["size"].to_list() == [entry["size"], 0]
        inside |= pl.col("sequence_number").is_between(
            entry["first_sequence_number"], entry["last_sequence_number"] - 1
        )
    assert after.height == before.height + 2 * len(entries) == before.height + 4
    crossed = pl.DataFrame(crossings(clean, after), schema=["sequence_number", "crossed"], orient="row")
    assert crossed.filter(inside)["crossed"].all()
    assert not crossed.filter(~inside)["crossed"].any()


def crossings(clean: Path, deltas: pl.DataFrame) -> list[tuple[int, bool]]:
    """Whether the replayed book is crossed after each message; starts from the first full book."""
    full = read(clean, "truth/full_book")
    full = full.filter(pl.col("sequence_number") == full["sequence_number"][0])
    start, book = int(full["sequence_number"][0]), [dict[float, float](), dict[float, float]()]
    for row in full.iter_rows(named=True):
        book[row["side_is_bid"]][row["price"]] = row["size"]
    found = []
    for message in deltas.filter(pl.col("sequence_number") > start).partition_by(
        "sequence_number", maintain_order=True
    ):
        for is_bid, price, size in message.select("side_is_bid", "price", "size").iter_rows():
            if size:
                book[is_bid][price] = size
            else:
                book[is_bid].pop(price, None)
        found.append((int(message["sequence_number"][0]), max(book[1]) >= min(book[0])))
    return found


def test_ghosts_stay_in_the_book(clean: Path, injected: Inject) -> None:
    """Each recorded removal, and no other row, is missing; the level was visible before and is not in the next row."""
    before, after, entries = injected("ghost=5")
    books = read(clean, "book")
    kept = before
    for entry in entries:
        ghost = (
            (pl.col("sequence_number") == entry["first_sequence_number"])
            & (pl.col("side_is_bid") == entry["side_is_bid"])
            & (pl.col("price") == entry["price"])
        )
        assert kept.filter(ghost)["size"].to_list() == [0]
        kept = kept.filter(~ghost)
        side = "bid" if entry["side_is_bid"] else "ask"
        prices = [f"{side}_{level}_price" for level in range(20)]
        shown = (
            books.filter(pl.col("sequence_number") < entry["first_sequence_number"])
            .tail(1)
            .select(prices)
            .row(0)
        )
        then = (
            books.filter(pl.col("sequence_number") >= entry["first_sequence_number"])
            .head(1)
            .select(prices)
            .row(0)
        )
        assert entry["price"] in shown
        assert entry["price"] not in then
    assert len(entries) == 5
    assert after.equals(kept)


@pytest.mark.parametrize(
    ("spec", "differs"),
    [
        ("drop=16", True),
        ("silence=1x2s", True),
        ("ghost=5", True),
        ("crossed=1x2s", False),
        ("duplicates=10", False),
        ("clock_skew=-1.27s", False),
    ],
)
def test_what_is_lost_leaves_a_wrong_book(clean: Path, injected: Inject, spec: str, differs: bool) -> None:
    """Missing rows end in a book that is not the true one; faults that pass do not."""
    _, after, _ = injected(spec)
    full = read(clean, "truth/full_book")
    first, last = full["sequence_number"].unique(maintain_order=True)
    book = full.filter(pl.col("sequence_number") == first).drop("sequence_number")
    later = after.filter(pl.col("sequence_number") > first).select(book.columns)
    levels = ["side_is_bid", "price"]
    replayed = pl.concat([book, later]).unique(levels, keep="last").filter(pl.col("size") > 0).sort(levels)
    truth = full.filter(pl.col("sequence_number") == last).drop("sequence_number").sort(levels)
    assert replayed.equals(truth) != differs


def test_duplicates_come_twice(injected: Inject) -> None:
    """Each recorded row is there twice, one after the other, and otherwise nothing changed."""
    before, after, entries = injected("duplicates=10")
    assert after.is_duplicated().sum() == 2 * len(entries) == 20
    assert after.unique(maintain_order=True).equals(before)
    twice = after.filter(after.is_duplicated()).unique(maintain_order=True)
    recorded = {
        (entry["first_sequence_number"], entry["side_is_bid"], entry["price"], entry["size"])
        for entry in entries
    }
    assert set(twice.select("sequence_number", "side_is_bid", "price", "size").iter_rows()) == recorded


def test_unsorted_rows_change_places(injected: Inject) -> None:
    """The rows are the same, the recorded pairs of messages are mixed, and sorting stably puts messages right."""
    before, after, entries = injected("unsorted=100")
    assert len(entries) == 100
    order = ["sequence_number", "side_is_bid", "price"]
    assert after.sort(order).equals(before.sort(order))
    moved = after.filter(after["sequence_number"] != before["sequence_number"])["sequence_number"]
    recorded = [entry[f"{end}_sequence_number"] for entry in entries for end in ("first", "last")]
    assert sorted(moved.to_list()) == sorted(recorded)
    assert times(after.sort("timestamp", "sequence_number", maintain_order=True)).equals(times(before))


def test_a_skewed_clock_shifts_every_arrival(clean: Path, tmp_path: Path) -> None:
    """Arrival times of all three tables move by the skew; nothing else does."""
    inject_faults(clean, tmp_path, KEY, Faults.parse("clock_skew=-1.27s"), 9)
    for table in LAKE_TABLES:
        shifted = read(clean, table).with_columns(pl.col("receipt_timestamp") - 1_270_000_000)
        assert read(tmp_path, table).equals(shifted)


def test_bad_snapshots_are_bad(clean: Path, tmp_path: Path) -> None:
    """The recorded rows are crossed, unsorted, have a zero size or NaN; the others are as before."""
    inject_faults(clean, tmp_path, KEY, Faults(bad_snapshots=4), 9)
    entries = {
        entry["first_sequence_number"]: entry["how"] for entry in read_record(tmp_path, KEY)["injected"]
    }
    assert set(entries.values()) == set(BAD_SNAPSHOTS)
    before, after = read(clean, "book"), read(tmp_path, "book")
    good = ~pl.col("sequence_number").is_in(list(entries))
    assert after.filter(good).equals(before.filter(good))
    for row in after.filter(~good).iter_rows(named=True):
        how = entries[row["sequence_number"]]
        bids = [row[f"bid_{level}_price"] for level in range(20)]
        sizes = [row[f"{side}_{level}_size"] for side in ("bid", "ask") for level in range(20)]
        assert (row["bid_0_price"] > row["ask_0_price"]) == (how == "crossed")
        assert any(np.isnan(bids)) == (how == "nan")
        assert (0 in sizes) == (how == "zero_size")
        assert any(deeper > better for better, deeper in pairwise(bids)) == (how == "unsorted")
    assert read(tmp_path, "book_delta_v2").equals(read(clean, "book_delta_v2"))


def test_simulator_and_copy_use_the_same_faults(clean: Path, tmp_path: Path) -> None:
    """Simulating with faults equals simulating without and injecting them; the truth is the one without."""
    MarketSimulator(profile(), 4).write(tmp_path / "one", KEY, 1_500, EVERYTHING)
    inject_faults(clean, tmp_path / "other", KEY, EVERYTHING, 4)
    for table in SCHEMAS:
        one = table_file(tmp_path / "one", table, KEY).read_bytes()
        source = tmp_path / "other" if table in LAKE_TABLES else clean
        assert one == table_file(source, table, KEY).read_bytes()
    one, other = read_record(tmp_path / "one", KEY), read_record(tmp_path / "other", KEY)
    assert one["injected"] == other["injected"]
    assert {entry["kind"] for entry in one["injected"]} == {
        "drop",
        "silence",
        "crossed",
        "ghost",
        "duplicates",
        "unsorted",
        "bad_snapshots",
        "clock_skew",
    }
    assert (one["seed"], one["profile"], one["messages"]) == (4, "btc-perp", 1_500)


def test_faults_are_repeatable_and_seeded(clean: Path, tmp_path: Path) -> None:
    """The same seed gives the same bytes, another one other places."""
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        inject_faults(clean, tmp_path / name, KEY, EVERYTHING, seed)
    assert bytes_below(tmp_path / "one") == bytes_below(tmp_path / "same")
    assert read_record(tmp_path / "one", KEY)["injected"] != read_record(tmp_path / "other", KEY)["injected"]


def test_a_simulation_without_faults_says_so(clean: Path) -> None:
    """The record is there and empty."""
    record = read_record(clean, KEY)
    assert (record["faults"], record["injected"]) == ("none", [])


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_faults_in_recorded_files(recordings: Path, tmp_path: Path, key: PartitionKey) -> None:
    """Every fault can be injected into every recording; what is not recorded as changed is as before."""
    report = inject_faults(recordings / "lake", tmp_path, key, EVERYTHING, 3)
    before, after = read(recordings / "lake", "book_delta_v2", key), read(tmp_path, "book_delta_v2", key)
    after = after.with_columns(pl.col("receipt_timestamp") + 1_270_000_000)
    changed = [
        pl.col("sequence_number").is_between(entry["first_sequence_number"], entry["last_sequence_number"])
        for entry in report.injected
        if entry["kind"] not in ("clock_skew", "bad_snapshots")
    ]
    assert after.filter(~pl.any_horizontal(changed)).equals(before.filter(~pl.any_horizontal(changed)))
    assert not after.equals(before)
    assert read(tmp_path, "trades", key).height == report.rows["trades"]
    kinds = [entry["kind"] for entry in report.injected]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "drop": 1,
        "silence": 1,
        "crossed": 2,
        "ghost": 5,
        "duplicates": 10,
        "unsorted": 100,
        "bad_snapshots": 4,
        "clock_skew": 1,
    }


def test_several_files_a_day(clean: Path, tmp_path: Path) -> None:
    """A day in two files of any name gives the same result as in one."""
    for table in LAKE_TABLES:
        rows = read(clean, table)
        folder = tmp_path / "two" / table / KEY.path
        folder.mkdir(parents=True)
        cut = rows.height // 2 + 3
        rows.head(cut).write_parquet(folder / "zz.parquet")
        rows.slice(cut).write_parquet(folder / "aa.parquet")
    inject_faults(tmp_path / "two", tmp_path / "from two", KEY, EVERYTHING, 4)
    inject_faults(clean, tmp_path / "from one", KEY, EVERYTHING, 4)
    for table in LAKE_TABLES:
        assert read(tmp_path / "from two", table).equals(read(tmp_path / "from one", table), null_equal=True)


@given(st.data())
def test_edits_do_not_depend_on_batches(data: st.DataObject) -> None:
    """However the rows arrive in batches, the edited rows are those of a plain list."""
    n = data.draw(st.integers(1, 30))
    places = st.integers(0, n - 1)
    removed = data.draw(st.lists(places, max_size=2))
    free = [place for place in range(n) if not any(start <= place < start + 3 for start in removed)]
    edits = Edits(removed=[(start, min(n, start + 3)) for start in removed])
    if free:
        for place in data.draw(st.lists(st.sampled_from(free), max_size=4, unique=True)):
            edits.inserted.append((place, row(1_000 + place)))
        for place in data.draw(st.lists(st.sampled_from(free), max_size=4, unique=True)):
            edits.replaced[place] = row(2_000 + place)
    expected: list[int] = []
    for place in range(n):
        if place in free:
            expected.append(2_000 + place if place in edits.replaced else place)
            expected += [1_000 + place for at, _ in edits.inserted if at == place]
    whole = pa.Table.from_pylist([row(place) for place in range(n)], schema=SCHEMAS["book_delta_v2"])
    cuts = sorted({0, n, *data.draw(st.lists(places, max_size=5))})
    batches = [whole.slice(a, b - a).combine_chunks().to_batches()[0] for a, b in pairwise(cuts)]
    parts = list(apply_plan("book_delta_v2", batches, FaultPlan(deltas=edits)))
    assert pa.concat_tables(parts).column("sequence_number").to_pylist() == expected


def row(number: int) -> dict[str, Any]:
    """A delta row that can be told by its sequence number."""
    return {
        "timestamp": 1,
        "receipt_timestamp": 2,
        "sequence_number": number,
        "side_is_bid": True,
        "price": 3.0,
        "size": 4.0,
    }


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ("drop=751", "faults: drop"),
        ("drop=1@0", "faults: drop"),
        ("drop=3@1499", "faults: drop"),
        ("silence=1x5m", "faults: silence"),
        ("crossed=9x10s", "faults: crossed"),
        ("ghost=100000", "faults: ghost"),
        ("duplicates=751", "faults: duplicates"),
        ("unsorted=376", "faults: unsorted"),
        ("bad_snapshots=100000", "faults: bad_snapshots"),
    ],
)
def test_faults_that_do_not_fit_are_refused(clean: Path, tmp_path: Path, spec: str, where: str) -> None:
    """The error says which fault has no room and how much there is; nothing is written."""
    with pytest.raises(SettingsError, match=f"{where}: expected .* found 1,500 messages over"):
        inject_faults(clean, tmp_path, KEY, Faults.parse(spec), 1)
    assert not list(tmp_path.iterdir())


def test_a_source_is_never_written_over(clean: Path) -> None:
    """The copy has to go elsewhere."""
    with pytest.raises(SettingsError, match="expected a folder other than the source"):
        inject_faults(clean, clean, KEY, Faults(drop=1), 1)


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    """Without files there is nothing to inject into."""
    with pytest.raises(SourceMissingError, match="book_delta_v2"):
        inject_faults(tmp_path, tmp_path / "out", KEY, Faults(drop=1), 1)


def test_an_unsorted_source_is_refused(clean: Path, tmp_path: Path) -> None:
    """Faults are placed by message, so messages have to be whole."""
    inject_faults(clean, tmp_path / "unsorted", KEY, Faults(unsorted=5), 1)
    with pytest.raises(SourceValueError, match="expected ascending sequence numbers"):
        inject_faults(tmp_path / "unsorted", tmp_path / "out", KEY, Faults(drop=1), 1)
