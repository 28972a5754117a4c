"""`scan`: which partitions it reads, and what it makes of pips."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.datasets.scan import DRAWN_PIPS, TABLES, convert_pips, in_drawn_pips, in_units, scan
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.errors import PartitionMissingError, SettingsError, StorageError
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore

SYMBOL = "BINANCE:BTC-USDT"
OTHER = "BINANCE_FUTURES:BTC-USDT-PERP"
PRICES = [6_100_000_000_001, 10, 0]
SIZES = [123, 1, 7]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings over an empty data root."""
    return Settings(
        lake_root=tmp_path / "lake",
        data_root=tmp_path / "store",
        first_day=date(2024, 8, 8),
        instruments=({"symbol": SYMBOL}, {"symbol": OTHER}),
    )


def publish(settings: Settings, day: str, point: FixedPoint, symbol: str = SYMBOL) -> None:
    """A small partition of trades."""
    key = PartitionKey.parse(symbol, day)
    table = pa.table(
        {
            "origin_time": [1, 2, 3],
            "received_time": [1, 2, 3],
            "trade_id": [1, 2, 3],
            "is_buy": [True, False, True],
            "price_pips": PRICES,
            "size_pips": SIZES,
        },
        schema=TRADES_SCHEMA,
    )
    with DataStore(settings.data_root).write("trades", key) as writer:
        writer.parquet("trades.parquet", TRADES_SCHEMA).write(table)
        writer.metadata.update(point.to_metadata())


def test_one_day_as_stored(settings: Settings) -> None:
    """Pips of one day are the columns as stored, without a day column."""
    publish(settings, "2024-08-08", FixedPoint())
    frame = scan("trades", SYMBOL, "2024-08-08", config=settings)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect_schema().names() == TRADES_SCHEMA.names
    assert frame.collect()["price_pips"].to_list() == PRICES


def test_day_may_be_a_date(settings: Settings) -> None:
    """A date does as well as its text."""
    publish(settings, "2024-08-08", FixedPoint())
    assert scan("trades", SYMBOL, date(2024, 8, 8), config=settings).collect().height == 3


def test_a_dataset_without_pips_is_the_same_in_every_unit(settings: Settings) -> None:
    """There is nothing to convert where a partition declares no decimals."""
    key = PartitionKey.parse(SYMBOL, "2024-08-08")
    with DataStore(settings.data_root).write("fidelity_report", key) as writer:
        writer.parquet("metrics.parquet", METRICS_SCHEMA).write(METRICS_SCHEMA.empty_table())
    for prices in ("pips", "float", "decimal"):
        frame = scan("fidelity_report", SYMBOL, "2024-08-08", prices=prices, config=settings).collect()
        assert frame.columns == METRICS_SCHEMA.names


def test_float_prices_are_the_nearest_floats(settings: Settings) -> None:
    """A float is what Python reads the decimal as, not a product with a rounded reciprocal."""
    publish(settings, "2024-08-08", FixedPoint(price_decimals=5, size_decimals=3))
    frame = scan("trades", SYMBOL, "2024-08-08", prices="float", config=settings).collect()
    assert frame.columns == [name.removesuffix("_pips") for name in TRADES_SCHEMA.names]
    assert frame["price"].to_list() == [float(Decimal(pips).scaleb(-5)) for pips in PRICES]
    assert frame["size"].to_list() == [float(Decimal(pips).scaleb(-3)) for pips in SIZES]


def test_decimal_prices_are_exact(settings: Settings) -> None:
    """Decimals hold every digit and the partition's number of places."""
    publish(settings, "2024-08-08", FixedPoint(price_decimals=8, size_decimals=3))
    frame = scan("trades", SYMBOL, "2024-08-08", prices="decimal", config=settings).collect()
    assert frame["price"].to_list() == [Decimal(pips).scaleb(-8) for pips in PRICES]
    assert frame.schema["size"] == pl.Decimal(38, 3)


def test_lists_are_converted_too(settings: Settings) -> None:
    """Levels of snapshots are lists; every element is converted."""
    key = PartitionKey.parse(SYMBOL, "2024-08-08")
    one = pa.array([1]).to_numpy()
    batch = SnapshotBatch(
        one, one, one, (10 + one).reshape(1, 1, 1).repeat(2, 1), one.reshape(1, 1, 1).repeat(2, 1)
    )
    with DataStore(settings.data_root).write("snapshots", key) as writer:
        writer.parquet("snapshots.parquet", batch.to_arrow().schema).write(batch.to_arrow())
        writer.metadata.update(FixedPoint(1, 2).to_metadata())
    frame = scan("snapshots", SYMBOL, "2024-08-08", prices="float", config=settings).collect()
    assert frame["bid_price"].to_list() == [[1.1]]
    assert frame["ask_size"].to_list() == [[0.01]]


def test_several_days_get_a_day_column(settings: Settings) -> None:
    """Days come in the order of time, each once, with the day in front."""
    for day in ("2024-08-09", "2024-08-08"):
        publish(settings, day, FixedPoint())
    frame = scan("trades", SYMBOL, days=["2024-08-09", "2024-08-08", "2024-08-09"], config=settings).collect()
    assert frame.columns == ["day", *TRADES_SCHEMA.names]
    assert frame["day"].to_list() == [date(2024, 8, 8)] * 3 + [date(2024, 8, 9)] * 3
    assert frame.equals(scan("trades", SYMBOL, ["2024-08-08", "2024-08-09"], config=settings).collect())


def test_no_day_means_all_of_the_symbol(settings: Settings) -> None:
    """Without a day every published one of this symbol is read, and none of another."""
    publish(settings, "2024-08-08", FixedPoint())
    publish(settings, "2024-08-09", FixedPoint(), OTHER)
    frame = scan("trades", SYMBOL, config=settings).collect()
    assert frame["day"].unique().to_list() == [date(2024, 8, 8)]


def test_days_with_other_decimals(settings: Settings) -> None:
    """Pips of different decimals are refused; floats and decimals of them agree with each day's own."""
    publish(settings, "2024-08-08", FixedPoint(price_decimals=8, size_decimals=8))
    publish(settings, "2024-08-09", FixedPoint(price_decimals=5, size_decimals=3))
    with pytest.raises(StorageError, match=r"\(8, 8\).*2024-08-08.*\(5, 3\).*2024-08-09.*prices='float'"):
        scan("trades", SYMBOL, config=settings)
    floats = scan("trades", SYMBOL, prices="float", config=settings).collect()
    decimals = scan("trades", SYMBOL, prices="decimal", config=settings).collect()
    expected = [Decimal(pips).scaleb(-places) for places in (8, 5) for pips in PRICES]
    assert decimals["price"].to_list() == expected
    assert floats["price"].to_list() == [float(each) for each in expected]


def test_settings_from_a_file(settings: Settings, tmp_path: Path) -> None:
    """A path is read as the settings file."""
    publish(settings, "2024-08-08", FixedPoint())
    file = tmp_path / "platform.toml"
    file.write_text(
        'lake_root = "lake"\ndata_root = "store"\nfirst_day = "2024-08-08"\n'
        f'[[instruments]]\nsymbol = "{SYMBOL}"\n'
    )
    assert scan("trades", SYMBOL, "2024-08-08", config=file).collect().height == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("book", SYMBOL, "2024-08-08"), r"dataset: expected one of raw_deltas, .* found 'book'"),
        (("data_assessment", SYMBOL, "2024-08-08"), r"found 'data_assessment'.*DataStore.report"),
        (("trades", "BTC-USDT", "2024-08-08"), r"symbol: expected EXCHANGE:SYMBOL"),
        (("trades", SYMBOL, "08/08/2024"), r"day: expected a UTC day"),
    ],
)
def test_wrong_names_are_named(settings: Settings, arguments: tuple[str, ...], message: str) -> None:
    """A wrong dataset, symbol or day is answered with what would be right."""
    with pytest.raises(SettingsError, match=message):
        scan(*arguments, config=settings)


def test_wrong_prices_and_both_kinds_of_days(settings: Settings) -> None:
    """Unknown units and two ways to say the day at once are refused."""
    with pytest.raises(SettingsError, match=r"prices: expected one of pips, float, decimal, found 'ticks'"):
        scan("trades", SYMBOL, "2024-08-08", prices="ticks", config=settings)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="either day or days"):
        scan("trades", SYMBOL, "2024-08-08", days=["2024-08-08"], config=settings)


def test_missing_partitions_say_how_to_make_them(settings: Settings) -> None:
    """A day that was never published names the command that publishes it, for one day and for all."""
    with pytest.raises(
        PartitionMissingError, match="obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-08"
    ):
        scan("trades", SYMBOL, "2024-08-08", config=settings)
    with pytest.raises(PartitionMissingError, match="at least one day of trades"):
        scan("trades", SYMBOL, config=settings)


def test_every_table_is_a_parquet_dataset() -> None:
    """Only reports are left out."""
    assert "reconstructed_books" in TABLES
    assert "data_assessment" not in TABLES


KIND = pl.Decimal(38, 18)


def frame(prices: list[str | None], sizes: list[str]) -> pl.LazyFrame:
    """One level a side."""
    return pl.LazyFrame(
        {
            "flags": [1] * len(prices),
            "bid_0_price": pl.Series(
                [None if price is None else Decimal(price) for price in prices], dtype=KIND
            ),
            "bid_0_size": pl.Series([Decimal(size) for size in sizes], dtype=KIND),
        }
    )


def test_pips_are_left_alone() -> None:
    """Nothing to convert."""
    books = pl.LazyFrame({"bid_0_price_pips": [1]})
    assert in_drawn_pips(books, FixedPoint(3, 2)) == (books, FixedPoint(3, 2))


def test_as_many_digits_as_fit() -> None:
    """Other columns stay; the largest has at most 10^15 pips; a missing level is missing."""
    found, point = in_drawn_pips(frame(["60000.5", None], ["0.001", "7"]), FixedPoint(18, 18, 5 * 10**17))
    rows = found.collect()
    assert rows.columns == ["flags", "bid_0_price_pips", "bid_0_size_pips"]
    assert rows["bid_0_price_pips"].to_list() == [600_005_000_000_000, None]
    assert rows["bid_0_size_pips"].to_list() == [10**11, 7 * 10**14]
    assert (point.price_decimals, point.size_decimals, point.tick) == (10, 14, Decimal("0.5"))


def test_large_sizes_lose_digits() -> None:
    """Decimals below 0 where even whole numbers are too many pips."""
    found, point = in_drawn_pips(frame(["1", "2"], ["12345678901234567890", "1"]), FixedPoint(18, 18))
    assert point.size_decimals < 0
    assert found.collect()["bid_0_size_pips"].to_list() == [123_456_789_012_346, 0]
    assert max(found.collect()["bid_0_price_pips"]) <= DRAWN_PIPS


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.none(), min_size=1), st.integers(0, 18))
def test_conversion_is_exact_for_any_pips(pips: list[int | None], decimals: int) -> None:
    """Decimals are exact over all of int64 and nulls stay null; floats are correctly rounded up to 2**53."""
    frame = pl.DataFrame({"x": pips}, schema={"x": pl.Int64})
    exact = [None if each is None else Decimal(each).scaleb(-decimals) for each in pips]
    assert frame.select(convert_pips(pl.col("x"), decimals, "decimal"))["x"].to_list() == exact
    small = [None if each is None else each >> 10 for each in pips]
    rounded = [None if each is None else float(Decimal(each).scaleb(-decimals)) for each in small]
    frame = pl.DataFrame({"x": small}, schema={"x": pl.Int64})
    assert frame.select(convert_pips(pl.col("x"), decimals, "float"))["x"].to_list() == rounded


def test_units_of_every_kind_of_column() -> None:
    """Pips and decimals, plain and in lists, lose their ending in place; other columns are left alone."""
    books = pl.LazyFrame(
        {
            "bid_price_pips": [[150, None]],
            "mid2": [7],
            "size_pips": [25],
            "price": pl.Series([Decimal("0.3")], dtype=KIND),
            "levels": pl.Series([[Decimal("0.1")]], dtype=pl.List(KIND)),
        }
    )
    floats = in_units(books, FixedPoint(2, 1), "float").collect()
    assert floats.columns == ["bid_price", "mid2", "size", "price", "levels"]
    assert floats.row(0) == ([1.5, None], 7, 2.5, 0.3, [0.1])
    decimals = in_units(books, FixedPoint(2, 1), "decimal").collect()
    assert decimals.row(0) == ([Decimal("1.50"), None], 7, Decimal("2.5"), Decimal("0.3"), [Decimal("0.1")])
