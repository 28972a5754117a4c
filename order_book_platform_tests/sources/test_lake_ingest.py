"""Crypto Lake files in, canonical partitions out; whatever is wrong with a file is named, and nothing is published."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch, PublishedDeltas
from order_book_platform.datasets.scan import scan
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import (
    DecimalRangeError,
    DiskFullError,
    FixedPointRangeError,
    OffGridError,
    OrderBookPlatformError,
    SettingsError,
    SourceAccessError,
    SourceCorruptError,
    SourceEmptyError,
    SourceMissingError,
    SourceSchemaError,
    SourceValueError,
)
from order_book_platform.model import PartitionKey
from order_book_platform.model.encoding_choice import encoding_of
from order_book_platform.observability import silent
from order_book_platform.settings import Settings, load_settings
from order_book_platform.sources import LakeIngest, LakeSource
from order_book_platform.sources.lake_ingest import BYTES_PER_SOURCE_BYTE
from order_book_platform.storage import DataStore, ParquetSink
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import (
    KEY,
    START_NS,
    at,
    book_frame,
    delta_frame,
    trade_frame,
    write_lake,
    write_settings,
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A small, sound lake."""
    write_lake(tmp_path / "lake", KEY, delta_frame(), book_frame(), trade_frame())
    return tmp_path


def ingest(folder: Path, **options: object) -> tuple[DataStore, Settings]:
    """Run the ingest with settings written beside the lake."""
    settings = load_settings(write_settings(folder, **options))
    store = DataStore(settings.data_root)
    LakeIngest(store, settings).run(KEY)
    return store, settings


def ingest_configured(folder: Path, **values: object) -> DataStore:
    """Run the ingest with settings of the instrument."""
    path = write_settings(folder)
    lines = [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in values.items()
    ]
    path.write_text(path.read_text() + "\n".join(lines) + "\n")
    settings = load_settings(path)
    store = DataStore(settings.data_root)
    LakeIngest(store, settings).run(KEY)
    return store


def deltas_of(store: DataStore, key: PartitionKey = KEY) -> pl.DataFrame:
    """The published deltas."""
    return store.frame("raw_deltas", key).collect()


def rewrite(
    folder: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], name: str = "1.parquet"
) -> Path:
    """Change a table's file in place."""
    path = folder / "lake" / table / KEY.path / name
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path)
    return path


def test_a_sound_day_arrives_exactly(lake: Path) -> None:
    """Pips, sides, times and numbers are those of the file; tick and lot are found."""
    store, _ = ingest(lake)
    source, found = delta_frame(), deltas_of(store)
    assert store.rows("raw_deltas", KEY).schema.equals(RAW_DELTAS_SCHEMA)
    assert found["price_pips"].to_list() == [round(price * 10**8) for price in source["price"]]
    assert found["size_pips"].to_list() == [round(size * 10**8) for size in source["size"]]
    for ours, theirs in (
        ("origin_time", "timestamp"),
        ("received_time", "receipt_timestamp"),
        ("is_bid", "side_is_bid"),
    ):
        assert found[ours].to_list() == source[theirs].to_list()
    assert found["first_update_id"].null_count() == len(found)
    manifest = store.manifest("raw_deltas", KEY)
    assert (manifest.fixed_point.tick, manifest.fixed_point.lot) == (pytest.approx(0.5), pytest.approx(0.25))
    assert manifest.metadata["audit"]["messages"] == source["sequence_number"].n_unique()


def test_running_twice_gives_the_same_bytes(lake: Path) -> None:
    """Every file of every partition, manifest included."""
    store, _ = ingest(lake)
    before = {
        path: path.read_bytes() for path in store.root.rglob("*") if path.is_file() and path.suffix != ".lock"
    }
    ingest(lake)
    assert before
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("batch_rows", [1, 3, 7, 10_000])
def test_batch_size_changes_nothing(lake: Path, batch_rows: int) -> None:
    """The same partition whatever number of rows is decoded at a time."""
    wanted = ingest(lake)[0].manifest("raw_deltas", KEY).fingerprint
    assert (
        ingest(lake, sources={"batch_rows": batch_rows})[0].manifest("raw_deltas", KEY).fingerprint == wanted
    )


def test_several_files_of_any_name_are_read_in_order(lake: Path) -> None:
    """Two files whose names sort against their content give the same deltas as one."""
    wanted = deltas_of(ingest(lake)[0])
    frame, half = delta_frame(), 17
    write_lake(lake / "lake", KEY, frame[half:], book_frame(), trade_frame(), name="a.parquet")
    frame[:half].write_parquet(lake / "lake/book_delta_v2" / KEY.path / "z.parquet")
    (lake / "lake/book_delta_v2" / KEY.path / "1.parquet").unlink()
    for table in ("book", "trades"):
        (lake / "lake" / table / KEY.path / "1.parquet").unlink()
    store, _ = ingest(lake)
    assert deltas_of(store).equals(wanted)
    assert store.manifest("raw_deltas", KEY).metadata["audit"]["unsorted_rows"] == 0


def test_unsorted_rows_are_sorted_stably_and_counted(lake: Path) -> None:
    """Messages in any order come out by sequence number, their rows in the order they had."""
    wanted = deltas_of(ingest(lake)[0])
    numbers = delta_frame()["sequence_number"].unique(maintain_order=True).to_list()
    shuffled = [numbers[i] for i in np.random.default_rng(3).permutation(len(numbers))]
    rewrite(
        lake, "book_delta_v2",
        lambda frame: pl.concat([frame.filter(pl.col("sequence_number") == number) for number in shuffled]),
    )  # fmt: skip
    store, _ = ingest(lake)
    assert deltas_of(store).equals(wanted)
    backward = sum(a > b for a, b in pairwise(shuffled))
    assert store.manifest("raw_deltas", KEY).metadata["audit"]["unsorted_rows"] == backward > 0


def test_exact_duplicates_are_kept_and_counted(lake: Path) -> None:
    """A file delivered twice doubles every row; all are counted, none is dropped."""
    path = lake / "lake/book_delta_v2" / KEY.path
    (path / "2.parquet").write_bytes((path / "1.parquet").read_bytes())
    store, _ = ingest(lake)
    audit = store.manifest("raw_deltas", KEY).metadata["audit"]
    assert audit["duplicate_rows"] == len(delta_frame())
    assert audit["rows"] == 2 * len(delta_frame())


def test_absent_book_and_trades_are_published_as_absent(lake: Path) -> None:
    """Only the deltas are required; an earlier run's snapshots do not live on."""
    ingest(lake)
    for table in ("book", "trades"):
        (lake / "lake" / table / KEY.path / "1.parquet").unlink()
    store, _ = ingest(lake)
    for dataset in ("snapshots", "trades"):
        manifest = store.manifest(dataset, KEY)
        assert manifest.metadata["audit"]["available"] is False
        assert sum(manifest.rows.values()) == 0


def test_unreadable_snapshots_are_kept_without_levels_and_counted(lake: Path) -> None:
    """A hole, a negative price and an infinite size each empty their row; missing levels at the end do not."""
    for row, column, value in (
        (1, "bid_1_price", None),
        (2, "ask_0_price", -1.0),
        (3, "bid_2_size", float("inf")),
    ):
        rewrite(lake, "book", at(row, column, value))
    for field in ("price", "size"):
        rewrite(lake, "book", at(4, f"ask_19_{field}", float("nan")))
    store, _ = ingest(lake)
    snapshots = SnapshotBatch.from_arrow(store.table("snapshots", KEY))
    levels = (snapshots.encoded_price >= 0).sum(axis=2)
    assert levels.tolist() == [[20, 20], [0, 0], [0, 0], [0, 0], [20, 19]]
    audit = store.manifest("snapshots", KEY).metadata["audit"]
    assert audit["unreadable_rows"] == 3
    assert audit["first_unreadable"] == "1.parquet: row 1"


def cell(table: str, row: int, column: str, value: object) -> Callable[[Path], object]:
    """A damage: one cell of one table."""
    return lambda folder: rewrite(folder, table, at(row, column, value))


def folder_of(folder: Path) -> Path:
    """Where the deltas are."""
    return folder / "lake/book_delta_v2" / KEY.path


def truncate(folder: Path) -> None:
    """Cut the end off, footer and all."""
    path = folder / "lake/book_delta_v2" / KEY.path / "1.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def other_days(folder: Path) -> None:
    """The files under two other days."""
    day = folder_of(folder)
    shutil.copytree(day, day.with_name("dt=2024-01-10"))
    day.rename(day.with_name("dt=2024-01-09"))


def corrupt_page(folder: Path) -> None:
    """Leave the footer, but zero the first page."""
    path = folder / "lake/book_delta_v2" / KEY.path / "1.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)


@pytest.mark.parametrize("closed", ["book", "book/exchange=TEST", f"book/{KEY.path}", f"trades/{KEY.path}"])
def test_a_folder_that_may_not_be_read_is_not_an_absent_one(
    lake: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """A day whose snapshots are closed to this user is refused: without them it would be another book."""
    entries, folder = Path.iterdir, lake / "lake" / closed

    def iterdir(path: Path) -> Iterator[Path]:
        if path == folder or folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(SourceAccessError, match="a folder that can be read, found Permission denied"):
        ingest(lake)


def test_a_file_that_may_not_be_read_is_not_damaged(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching it again would not help; neither when it is opened nor when it is hashed."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("order_book_platform.sources.lake_source.pq.ParquetFile", refuse)
    with pytest.raises(SourceAccessError, match="a file that can be read, found Permission denied"):
        ingest(lake)
    monkeypatch.setattr("order_book_platform.sources.lake_source.file_sha256", refuse)
    with pytest.raises(SourceAccessError, match="a file that can be read"):
        LakeSource(lake / "lake").fingerprints("book", KEY)


BAD: dict[str, tuple[Callable[[Path], object], type[OrderBookPlatformError], list[str]]] = {
    "no lake": (
        lambda f: (f / "lake").rename(f / "gone"),
        SourceMissingError,
        ["no such folder", "lake_root"],
    ),
    "no table": (
        lambda f: (f / "lake/book_delta_v2").rename(f / "gone"),
        SourceMissingError,
        ["tables book, trades", "book_delta_v2"],
    ),
    "no symbol": (
        lambda f: folder_of(f).parent.rename(f / "lake/book_delta_v2/exchange=TEST/symbol=OTHER"),
        SourceMissingError,
        ["TEST:OTHER", "spelling"],
    ),
    "no day": (
        lambda f: folder_of(f).rename(folder_of(f).with_name("dt=2024-01-09")),
        SourceMissingError,
        ["the day 2024-01-09 alone", "Choose that day"],
    ),
    "other days": (other_days, SourceMissingError, ["2 days from 2024-01-09 to 2024-01-10", "Choose one"]),
    "no file": (
        lambda f: (folder_of(f) / "1.parquet").unlink(),
        SourceMissingError,
        ["no day with *.parquet files", f"dt={KEY.day}", "dt=YYYY-MM-DD"],
    ),
    "a day spelt otherwise": (
        lambda f: folder_of(f).rename(folder_of(f).with_name("dt=20240108")),
        SourceMissingError,
        ["no day with *.parquet files", "dt=20240108", "dt=YYYY-MM-DD"],
    ),
    "truncated": (truncate, SourceCorruptError, ["1.parquet", "Download"]),
    "empty file": (
        lambda f: (folder_of(f) / "1.parquet").write_bytes(b""),
        SourceCorruptError,
        ["1.parquet"],
    ),
    "damaged page": (corrupt_page, SourceCorruptError, ["1.parquet", "complete Parquet file"]),
    "no column": (
        lambda f: rewrite(f, "book_delta_v2", lambda d: d.drop("size")),
        SourceSchemaError,
        ["size", "double"],
    ),
    "wrong dtype": (
        lambda f: rewrite(f, "book_delta_v2", lambda d: d.cast({"price": pl.String})),
        SourceSchemaError,
        ["column price", "string"],
    ),
    "no rows": (
        lambda f: rewrite(f, "book_delta_v2", lambda d: d.clear()),
        SourceEmptyError,
        ["at least one row"],
    ),
    "NaN price": (cell("book_delta_v2", 5, "price", float("nan")), SourceValueError, ["price, row 5", "nan"]),
    "infinite size": (
        cell("book_delta_v2", 7, "size", float("inf")),
        SourceValueError,
        ["size, row 7", "inf"],
    ),
    "negative price": (cell("book_delta_v2", 2, "price", -1.0), SourceValueError, ["price, row 2", "-1.0"]),
    "zero price": (cell("book_delta_v2", 2, "price", 0.0), SourceValueError, ["price, row 2", "above 0"]),
    "negative size": (cell("book_delta_v2", 3, "size", -0.5), SourceValueError, ["size, row 3", "-0.5"]),
    "null": (cell("book_delta_v2", 9, "timestamp", None), SourceValueError, ["timestamp, row 9", "null"]),
    "null number": (
        cell("book_delta_v2", 4, "sequence_number", None),
        SourceValueError,
        ["sequence_number, row 4"],
    ),
    "huge size": (
        cell("book_delta_v2", 3, "size", 1e20),
        FixedPointRangeError,
        ["column size", "1e+20", "20 digits"],
    ),
    "off grid": (
        cell("book_delta_v2", 6, "price", 0.0012345678901234567),
        OffGridError,
        ["price, row 6", "price_decimals", "decimal128", "18 after it"],
    ),
    "trade price off grid": (
        cell("trades", 4, "price", 0.0012345678901234567),
        OffGridError,
        ["trades", "price, row 4: 0.0012345678901234567", "max_off_grid_rows"],
    ),
    "trade amount off grid": (cell("trades", 2, "amount", 1e-19), OffGridError, ["amount, row 2: 1e-19"]),
    "huge trade": (cell("trades", 2, "amount", 1e20), FixedPointRangeError, ["column amount", "1e+20"]),
    "arrival in ms": (
        lambda f: rewrite(f, "book_delta_v2", lambda d: d.with_columns(pl.col("receipt_timestamp") // 10**6)),
        SourceValueError,
        ["receipt_timestamp, row 0", "1704153600004 (1970-01-01T00:28:24", "within one day of 2024-01-02"],
    ),
    "origin of another day": (
        cell("book_delta_v2", 5, "timestamp", START_NS + 2 * 86_400 * 10**9),
        SourceValueError,
        ["column timestamp, row 5", "2024-01-04T00:00:00"],
    ),
    "origin too early": (
        cell("book_delta_v2", 5, "timestamp", START_NS - 86_400 * 10**9 - 1),
        SourceValueError,
        ["column timestamp, row 5", "2023-12-31T23:59:59.999999999Z"],
    ),
    "book of another day": (
        cell("book", 2, "timestamp", START_NS - 10**15),
        SourceValueError,
        ["column timestamp, row 2"],
    ),
    "trade arrival unknown": (
        cell("trades", 3, "receipt_timestamp", 0),
        SourceValueError,
        ["receipt_timestamp, row 3", "found 0 "],
    ),
    "trade side": (cell("trades", 1, "side", "BUY"), SourceValueError, ["side, row 1", "'BUY'"]),
    "trade NaN": (cell("trades", 1, "amount", float("nan")), SourceValueError, ["amount, row 1"]),
    "book dtype": (
        lambda f: rewrite(f, "book", lambda d: d.cast({"bid_3_size": pl.Int64})),
        SourceSchemaError,
        ["bid_3_size"],
    ),
    "book column": (
        lambda f: rewrite(f, "book", lambda d: d.drop("ask_19_price")),
        SourceSchemaError,
        ["ask_19_price"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_earlier_results_alone(lake: Path, case: str) -> None:
    """The error says what, where and what to do; every byte published before is still there."""
    damage, kind, words = BAD[case]
    store, _ = ingest(lake)
    before = {path: path.read_bytes() for path in store.root.rglob("*.*") if path.is_file()}
    damage(lake)
    with pytest.raises(kind) as caught:
        ingest(lake)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in store.root.iterdir()} == {"raw_deltas", "snapshots", "trades"}


def test_off_grid_rows_can_be_accepted_and_are_then_counted(lake: Path) -> None:
    """With the setting the nearest pip is taken, and the audit says how often and where first."""
    rewrite(lake, "book_delta_v2", at(6, "price", 100.123456789))
    store, _ = ingest(lake, sources={"max_off_grid_rows": 1})
    audit = store.manifest("raw_deltas", KEY).metadata["audit"]
    assert audit["off_grid_prices"] == 1
    assert audit["first_off_grid"] == "1.parquet: column price, row 6: 100.123456789"
    assert deltas_of(store)["price_pips"][6] == 10012345679


def test_large_sizes_choose_fewer_decimals(lake: Path) -> None:
    """Sizes beyond what eight decimals can hold exactly are held with fewer, without loss."""
    rewrite(lake, "book_delta_v2", at(3, "size", 1e11))
    store, _ = ingest(lake)
    point = store.manifest("raw_deltas", KEY).fixed_point
    assert point.size_decimals == 4
    assert point.size(deltas_of(store)["size_pips"][3]) == 10**11
    assert store.manifest("snapshots", KEY).fixed_point.size_decimals == 4


def test_large_trades_choose_fewer_decimals(lake: Path) -> None:
    """An amount that eight decimals cannot hold lowers the decimals of deltas and trades alike; nothing wraps."""
    rewrite(lake, "trades", at(3, "amount", 1e15))
    store, _ = ingest(lake, sources={"max_off_grid_rows": 1_000})
    point = store.manifest("raw_deltas", KEY).fixed_point
    assert point.size_decimals == store.manifest("trades", KEY).fixed_point.size_decimals == 0
    assert store.frame("trades", KEY).collect()["size_pips"][3] == 10**15


def test_off_grid_trades_can_be_accepted_and_are_then_counted(lake: Path) -> None:
    """As with the deltas: nearest pip, how often, and where first."""
    rewrite(lake, "trades", at(6, "price", 100.123456789))
    store, _ = ingest(lake, sources={"max_off_grid_rows": 1})
    audit = store.manifest("trades", KEY).metadata["audit"]
    assert audit["off_grid_prices"] == 1
    assert audit["first_off_grid"] == "1.parquet: column price, row 6: 100.123456789"


def test_unknown_origin_times_are_accepted(lake: Path) -> None:
    """Zero stands for unknown; the span is that of the known ones."""
    rewrite(lake, "book_delta_v2", at(0, "timestamp", 0))
    rewrite(lake, "book_delta_v2", at(1, "timestamp", -1))
    store, _ = ingest(lake)
    audit = store.manifest("raw_deltas", KEY).metadata["audit"]
    assert audit["first_origin_time"] == START_NS
    assert audit["last_origin_time"] == delta_frame()["timestamp"].max()


def test_coarse_deltas_take_the_tick_of_the_snapshots(lake: Path) -> None:
    """Deltas on whole numbers while the book is on halves: the book shows the tick, in all three manifests."""
    rewrite(lake, "book_delta_v2", lambda frame: frame.with_columns(pl.col("price").floor()))
    store, _ = ingest(lake)
    for dataset in ("raw_deltas", "snapshots", "trades"):
        assert store.manifest(dataset, KEY).fixed_point.tick_pips == 5 * 10**7
        footer = pq.read_metadata(*store.paths(dataset, KEY)).metadata
        assert any(b'"tick_pips":50000000' in value.replace(b" ", b"") for value in footer.values())
    assert store.manifest("snapshots", KEY).metadata["audit"]["off_delta_tick_rows"] == 5


@pytest.mark.parametrize(("bad", "tick"), [(2, 5 * 10**7), (3, 10**6)])
def test_a_few_bad_snapshots_do_not_change_the_tick(lake: Path, bad: int, tick: int) -> None:
    """Only when more than half of the readable snapshots are off the deltas' tick was it the deltas that lied."""
    index = pl.int_range(pl.len())
    rewrite(
        lake, "book",
        lambda frame: frame.with_columns(pl.col("bid_0_price") + pl.when(index < bad).then(0.01).otherwise(0.0)),
    )  # fmt: skip
    store, _ = ingest(lake)
    assert store.manifest("raw_deltas", KEY).fixed_point.tick_pips == tick


def test_configured_increments_are_used(lake: Path) -> None:
    """Increments that divide what was detected replace it."""
    manifest = ingest_configured(lake, tick="0.1", lot="0.05").manifest("raw_deltas", KEY)
    assert (f"{manifest.fixed_point.tick:f}", f"{manifest.fixed_point.lot:f}") == ("0.1", "0.05")
    assert manifest.metadata["configured"] == {"tick": "0.1", "lot": "0.05"}
    assert manifest.metadata["contradicted"] == []


def test_contradicted_increments_are_recorded_and_not_used(lake: Path) -> None:
    """What the data show wins."""
    manifest = ingest_configured(lake, tick="1", lot="0.25").manifest("raw_deltas", KEY)
    assert f"{manifest.fixed_point.tick:f}" == "0.5"
    assert manifest.metadata["contradicted"] == ["tick"]


@pytest.mark.parametrize(("name", "value"), [("tick", "0.000000001"), ("lot", "1e12")])
def test_increments_that_are_no_pips_are_refused(lake: Path, name: str, value: str) -> None:
    """Finer than the decimals, or larger than a pip count may be."""
    with pytest.raises(SettingsError, match=f"setting {name} of {KEY.instrument.key}"):
        ingest_configured(lake, **{name: value})


@pytest.mark.parametrize(
    ("table", "column", "setting"),
    [
        ("book_delta_v2", "price", "price_decimals"),
        ("book_delta_v2", "size", "size_decimals"),
        ("trades", "price", "price_decimals"),
        ("trades", "amount", "size_decimals"),
    ],
)
def test_configured_decimals_are_never_lowered(lake: Path, table: str, column: str, setting: str) -> None:
    """Decimals at which a value does not fit are refused with setting and column; one fewer is accepted."""
    rewrite(lake, table, at(3, column, 2.0**40))
    with pytest.raises(FixedPointRangeError) as caught:
        ingest_configured(lake, **{setting: 4})
    assert f"column {column}, setting {setting} of" in str(caught.value)
    assert f"Set {setting} to 3 or less" in caught.value.remedy
    assert getattr(ingest_configured(lake, **{setting: 3}).manifest("trades", KEY).fixed_point, setting) == 3


def test_recordings_arrive_whole(recordings: Path, tmp_path: Path) -> None:
    """All rows of the five recorded days, every value the nearest float of its decimal."""
    settings = load_settings(write_settings(tmp_path, lake_root=str(recordings / "lake"), keys=RECORDED_KEYS))
    store = DataStore(settings.data_root)
    ticks = {"BINANCE": "0.01", "BINANCE_DELIVERY": "0.1", "BINANCE_FUTURES": "0.1"}
    for key in RECORDED_KEYS:
        manifest = LakeIngest(store, settings).run(key).manifest
        source = pl.read_parquet(
            recordings / "lake/book_delta_v2" / key.path / "*.parquet", hive_partitioning=False
        )
        found = DeltaBatch.concat(list(PublishedDeltas(store, key).batches(50_000, silent, "read")))
        np.testing.assert_array_equal(found.encoded_price / 10**8, source["price"].to_numpy())
        np.testing.assert_array_equal(found.encoded_size / 10**8, source["size"].to_numpy())
        np.testing.assert_array_equal(found.sequence_number, source["sequence_number"].to_numpy())
        assert f"{manifest.fixed_point.tick:f}" == ticks[key.instrument.exchange]
        assert manifest.metadata["audit"]["off_grid_prices"] == 0


def chosen(store: DataStore) -> tuple[str, int, int]:
    """Precision and decimals of what was published, the same in all three partitions."""
    manifests = [store.manifest(dataset, KEY) for dataset in ("raw_deltas", "snapshots", "trades")]
    (found,) = {
        (each.precision, each.fixed_point.price_decimals, each.fixed_point.size_decimals)
        for each in manifests
    }
    assert manifests[0].metadata["precision_audit"]["chosen"] == found[0]
    return found


NINE = at(6, "price", 100.123456789)
"""One price has a ninth decimal."""


@pytest.mark.parametrize(
    ("table", "change", "wanted"),
    [
        ("book_delta_v2", lambda frame: frame, ("int64", 8, 8)),
        ("book_delta_v2", NINE, ("int64", 13, 8)),
        ("trades", at(6, "amount", 1e-9), ("int64", 8, 15)),
        ("book_delta_v2", at(6, "size", 1e12), ("int64", 8, 3)),
        (
            "book_delta_v2",
            lambda frame: at(3, "size", 1e-8)(at(6, "size", 1e12)(frame)),
            ("decimal128", 18, 18),
        ),
        ("book_delta_v2", at(6, "price", 100.12345678901234), ("decimal128", 18, 18)),
        ("trades", at(6, "price", 100.12345678901234), ("decimal128", 18, 18)),
        ("book_delta_v2", at(6, "size", 1e19), ("decimal128", 18, 18)),
    ],
)
def test_the_precision_that_a_day_needs(
    lake: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], wanted: tuple[str, int, int]
) -> None:
    """Pips of 8 decimals, of fewer for large values, of more for long ones, and decimals where no pips will do."""
    path = rewrite(lake, table, change)
    store, settings = ingest(lake)
    assert chosen(store) == wanted
    dataset, column = ("raw_deltas", "size") if table == "book_delta_v2" else ("trades", "amount")
    raw = pl.read_parquet(path, hive_partitioning=False)
    read = scan(dataset, KEY.instrument.key, KEY.day, prices="float", config=settings).collect()
    assert read["price"].to_list() == raw["price"].to_list()
    assert read["size"].to_list() == raw[column].to_list()
    audit = store.manifest("raw_deltas", KEY).metadata["precision_audit"]
    assert audit["wanted"] == "auto"
    if wanted != ("int64", 8, 8) and wanted[2] != 3:
        assert "found" in audit["why"] or "of fewer" in audit["why"]


@pytest.mark.parametrize("configured", [{"price_decimals": 8}, {"size_decimals": 8}, {"precision": "int64"}])
def test_decimals_are_not_chosen_where_pips_are_asked_for(lake: Path, configured: dict[str, object]) -> None:
    """Configured decimals speak of pips, and so does the precision int64: what does not fit is refused."""
    rewrite(lake, "book_delta_v2", at(6, "price", 100.12345678901234))
    with pytest.raises(OffGridError, match=r"row 6: 100\.12345678901234"):
        ingest_configured(lake, **configured)


def test_decimals_may_be_asked_for(lake: Path) -> None:
    """Of a day that pips would hold; tick and lot are the same, and nothing was beyond pips."""
    store = ingest_configured(lake, precision="decimal128", tick="0.5", lot="0.25")
    assert chosen(store) == ("decimal128", 18, 18)
    manifest = store.manifest("raw_deltas", KEY)
    assert (str(manifest.fixed_point.tick), str(manifest.fixed_point.lot)) == ("0.5", "0.25")
    assert manifest.metadata["contradicted"] == []
    audit = manifest.metadata["precision_audit"]
    assert audit["prices_beyond_pips"] == audit["sizes_beyond_pips"] == 0
    assert audit["sizes"] == deltas_of(store)["size"].n_unique()
    assert manifest.metadata["audit"]["largest_size"] == "1"
    assert Decimal(manifest.metadata["audit"]["smallest_price"]) == deltas_of(store)["price"].min()


def test_increments_of_decimals(lake: Path) -> None:
    """A configured tick that the prices contradict is recorded; one finer than 18 decimals is refused."""
    store = ingest_configured(lake, precision="decimal128", tick="1")
    assert store.manifest("raw_deltas", KEY).metadata["contradicted"] == ["tick"]
    with pytest.raises(SettingsError, match="setting tick"):
        ingest_configured(lake, precision="decimal128", tick="0.0000000000000000005")


def test_snapshots_of_decimals_that_cannot_be_read(lake: Path) -> None:
    """What no decimal holds, what is negative, infinite or missing in between: kept without levels, counted."""
    for row, column, value in (
        (0, "bid_3_price", 1e-19),
        (1, "bid_1_price", None),
        (2, "ask_0_price", -1.0),
        (3, "bid_2_size", float("inf")),
    ):
        rewrite(lake, "book", at(row, column, value))
    for field in ("price", "size"):
        rewrite(lake, "book", at(4, f"ask_19_{field}", float("nan")))
    store = ingest_configured(lake, precision="decimal128")
    manifest = store.manifest("snapshots", KEY)
    snapshots = SnapshotBatch.from_arrow(store.table("snapshots", KEY), encoding_of(manifest.metadata))
    assert (snapshots.encoded_price >= 0).sum(axis=2).tolist() == [[0, 0]] * 4 + [[20, 19]]
    assert manifest.metadata["audit"]["unreadable_rows"] == 4


@pytest.mark.parametrize("precision", ["int64", "decimal128"])
def test_a_snapshot_beyond_all_floats_of_pips_is_one_that_cannot_be_read(lake: Path, precision: str) -> None:
    """10^305 in pips is more than a float holds: counted without a warning of arithmetic."""
    rewrite(lake, "book", at(1, "ask_19_size", 1e305))
    store = ingest_configured(lake, precision=precision)
    assert store.manifest("snapshots", KEY).metadata["audit"]["unreadable_rows"] == 1


def test_a_bad_snapshot_does_not_spoil_the_unit(lake: Path) -> None:
    """A price of 18 decimals in one snapshot would make codes of the others too long: that snapshot has none."""
    rewrite(lake, "book_delta_v2", lambda frame: frame.with_columns(pl.col("price") * 1e6))
    prices = pl.selectors.ends_with("_price")
    rewrite(lake, "book", lambda f: at(2, "ask_7_price", 0.012345678901234567)(f.with_columns(prices * 1e6)))
    store = ingest_configured(lake, precision="decimal128")
    manifest = store.manifest("raw_deltas", KEY)
    assert manifest.metadata["price_unit"] == manifest.fixed_point.tick_pips == 5 * 10**23
    snapshots = SnapshotBatch.from_arrow(store.table("snapshots", KEY), encoding_of(manifest.metadata))
    assert (snapshots.encoded_price[2] == -1).all()


def test_many_bad_snapshots_do_not_refuse_a_day(lake: Path) -> None:
    """Noise in all their prices would make a tick too small to count the deltas' prices: the deltas' tick it is."""
    rewrite(lake, "book_delta_v2", lambda frame: frame.with_columns(pl.col("price") * 1e6))
    noise = pl.selectors.ends_with("_price") + 0.012345678901234567
    rewrite(lake, "book", lambda frame: frame.with_columns(noise))
    store = ingest_configured(lake, precision="decimal128")
    manifest = store.manifest("raw_deltas", KEY)
    assert manifest.metadata["price_unit"] == manifest.fixed_point.tick_pips == 5 * 10**23
    audit = store.manifest("snapshots", KEY).metadata["audit"]
    assert (audit["off_delta_tick_rows"], audit["unreadable_rows"]) == (5, 0)


def test_a_tick_too_small_to_count_the_prices(lake: Path) -> None:
    """The error says where to look: at the prices, or at the tick."""
    with pytest.raises(DecimalRangeError, match=r"units of 1E-18\. Check the prices, and the tick"):
        ingest_configured(lake, precision="decimal128", tick="0.000000000000000001")


def test_a_huge_value_in_a_snapshot_is_not_why_pips_do_not_fit(lake: Path) -> None:
    """The reason named is the delta that is off the grid."""
    rewrite(lake, "book", at(1, "ask_19_size", 1e17))
    rewrite(lake, "book_delta_v2", at(6, "size", 1 / 3))
    with pytest.raises(OffGridError, match=r"column size, row 6: 0\.3333333333333333"):
        ingest_configured(lake, precision="int64")
    store, _ = ingest(lake)
    assert "row 6: 0.3333333333333333" in store.manifest("raw_deltas", KEY).metadata["precision_audit"]["why"]


def test_prices_that_span_too_many_units(lake: Path) -> None:
    """No code of 61 bits counts from 10^-18 to 10^7; what was published before stays."""
    for row, price in ((3, 0.012345678901234567), (4, 1e7)):
        rewrite(lake, "book_delta_v2", at(row, "price", price))
    with pytest.raises(OffGridError, match=r"decimal128 does not hold the day either: .*2\*\*61"):
        ingest(lake)


def test_decimals_are_read_the_same_in_any_batches(lake: Path) -> None:
    """Batches of 7 rows and of all give the same files."""
    stores = []
    for name, rows in (("a", 7), ("b", 10**6)):
        write_lake(lake / name / "lake", KEY, NINE(delta_frame()), book_frame(), trade_frame())
        options: dict[str, Any] = {"sources": {"batch_rows": rows}, "instrument": {"precision": "decimal128"}}
        stores.append(ingest(lake / name, **options)[0])
    for dataset in ("raw_deltas", "snapshots", "trades"):
        one, other = (store.folder(dataset, KEY) for store in stores)
        for file in one.iterdir():
            if file.name != "manifest.json":
                assert file.read_bytes() == (other / file.name).read_bytes(), file.name


def test_unsorted_decimals_and_duplicates_are_counted_as_pips_are(lake: Path) -> None:
    """The audit of the same rows says the same, whatever they are read as."""
    frame = pl.concat([delta_frame(), delta_frame().slice(5, 3)])
    rewrite(lake, "book_delta_v2", lambda _: frame)
    audits = []
    for precision in ("int64", "decimal128"):
        store = ingest_configured(lake, precision=precision)
        audits.append(store.manifest("raw_deltas", KEY).metadata["audit"])
    differ = {name for name in audits[0] if audits[0][name] != audits[1].get(name)}
    assert differ == {"smallest_price_pips", "largest_price_pips", "largest_size_pips"}
    assert audits[0]["duplicate_rows"] == audits[1]["duplicate_rows"] == 3


@pytest.mark.parametrize("rows", [3, 7, 1_000])
def test_what_is_audited_does_not_depend_on_batches(lake: Path, rows: int) -> None:
    """Messages out of price order, which are looked through for repetitions one by one: there are none."""
    first = delta_frame().row(0, named=True)
    offsets = (5, 1, 9)
    frame = pl.DataFrame(
        [
            {
                **first,
                "sequence_number": first["sequence_number"] + message,
                "side_is_bid": True,
                "price": first["price"] + offset,
                "size": 1.0,
            }
            for message in range(30)
            for offset in offsets
        ],
        schema=delta_frame().schema,
    )
    rewrite(lake, "book_delta_v2", lambda _: frame)
    store, _ = ingest(lake, sources={"batch_rows": rows})
    audit = store.manifest("raw_deltas", KEY).metadata["audit"]
    assert (audit["messages"], audit["duplicate_rows"], audit["repeated_levels"]) == (30, 0, 0)


# --- no room --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refused", "basis"), [(1, "its input"), (20, "what is written so far")])
def test_a_full_disk_says_what_the_three_partitions_take(
    lake: Path, monkeypatch: pytest.MonkeyPatch, refused: int, basis: str
) -> None:
    """Together, since they are published together; as the sources suggest, or what of the deltas is written."""
    monkeypatch.setattr("order_book_platform.sources.lake_ingest.DELTA_GROUP_ROWS", 3)
    monkeypatch.setattr("order_book_platform.storage.disk.in_megabytes", str)
    monkeypatch.setattr(
        "order_book_platform.storage.disk.shutil.disk_usage", lambda _: SimpleNamespace(free=0)
    )
    write, calls = ParquetSink._write_group, []

    def filling(self: ParquetSink, table: pa.Table) -> None:
        calls.append(table)
        if len(calls) == refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, table)

    monkeypatch.setattr(ParquetSink, "_write_group", filling)
    with pytest.raises(DiskFullError, match=f"in all, estimated from {basis}") as caught:
        ingest(lake, sources={"batch_rows": 7})
    needed = re.search(r"about (\d+) in all", caught.value.expected)
    assert needed
    from_input = {
        table: round(factor * sum(path.stat().st_size for path in (lake / "lake" / table).rglob("*.parquet")))
        for table, factor in BYTES_PER_SOURCE_BYTE.items()
    }
    siblings = from_input["book"] + from_input["trades"]
    if refused == 1:
        assert int(needed[1]) == from_input["book_delta_v2"] + siblings
    else:
        assert int(needed[1]) > siblings
        assert int(needed[1]) != from_input["book_delta_v2"] + siblings
        # The deltas and trades that lie there go, too: what they take need not be freed.
        assert int(re.search(r"at least (\d+) there", caught.value.remedy)[1]) < int(needed[1])  # type: ignore[index]
    assert not [path for path in (lake / "store").rglob("*") if path.is_file()]
