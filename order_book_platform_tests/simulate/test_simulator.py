"""`MarketSimulator`: what it writes agrees with its own truth, is repeatable, and looks like Crypto Lake's files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import PartitionBusyError, SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.simulate import Faults, MarketSimulator, profile, profile_names
from order_book_platform.storage.disk import locked_folder
from order_book_platform_tests.simulate.small import (
    KEY,
    bytes_below,
    order_flow_r2,
    read,
    shifted_equal,
    small_profile,
)

Side = dict[float, float]
RECORDED = PartitionKey.parse("BINANCE_FUTURES:BTC-USDT-PERP", "2024-08-08")


def written(root: Path, messages: int = 200, key: PartitionKey = KEY, seed: int = 1) -> Path:
    """A root with one simulated symbol-day of the small market."""
    MarketSimulator(small_profile(), seed, full_book_every=50).write(root, key, messages)
    return root


@pytest.mark.parametrize("name", profile_names())
def test_replayed_deltas_are_the_truth(tmp_path: Path, name: str) -> None:
    """From the first full book on, a plain replay of the deltas gives every later full book, book row and ticker."""
    MarketSimulator(profile(name), 5, full_book_every=100).write(tmp_path, KEY, 350)
    deltas = read(tmp_path, "book_delta_v2")
    full = {
        int(books["sequence_number"][0]): [side_of(books, False), side_of(books, True)]
        for books in read(tmp_path, "truth/full_book").partition_by("sequence_number", maintain_order=True)
    }
    shown = {row["sequence_number"]: row for row in read(tmp_path, "book").iter_rows(named=True)}
    tickers = read(tmp_path, "truth/book_ticker")
    ids = tickers["update_id"].to_numpy()
    first = min(full)
    book = [dict(side) for side in full[first]]
    assert len(full) == 5
    assert min(len(book[0]), len(book[1])) > 2_000
    for message in deltas.partition_by("sequence_number", maintain_order=True):
        sequence = int(message["sequence_number"][0])
        if sequence > first:
            apply(message, book)
        if sequence in full:
            assert book == full[sequence]
        bids, asks = sorted(book[1], reverse=True)[:20], sorted(book[0])[:20]
        if sequence in shown:
            row = shown[sequence]
            for level in range(20):
                assert (row[f"bid_{level}_price"], row[f"bid_{level}_size"]) == (
                    bids[level],
                    book[1][bids[level]],
                )
                assert (row[f"ask_{level}_price"], row[f"ask_{level}_size"]) == (
                    asks[level],
                    book[0][asks[level]],
                )
        ticker = tickers.row(int(np.searchsorted(ids, sequence, "right")) - 1)
        assert ticker[3:] == (bids[0], book[1][bids[0]], asks[0], book[0][asks[0]])


def side_of(levels: pl.DataFrame, is_bid: bool) -> Side:
    """Price to size of one side."""
    side = levels.filter(pl.col("side_is_bid") == is_bid)
    return dict(zip(side["price"], side["size"], strict=True))


def apply(message: pl.DataFrame, book: list[Side]) -> None:
    """Apply one message to asks and bids, as a beginner would."""
    for row in message.iter_rows(named=True):
        side = book[row["side_is_bid"]]
        side.pop(row["price"], None)
        if row["size"]:
            side[row["price"]] = row["size"]


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """Twice the same simulation, into another folder and over the first one, gives byte-identical files."""
    one = bytes_below(written(tmp_path / "one"))
    assert len(one) == 7
    assert bytes_below(written(tmp_path / "other")) == one
    assert bytes_below(written(tmp_path / "one")) == one


@pytest.mark.parametrize("chunk_rows", [1, 700, 1_000_000])
def test_the_chunk_size_changes_no_byte(tmp_path: Path, chunk_rows: int) -> None:
    """However many rows are held at a time, the files are the same."""
    one = bytes_below(written(tmp_path / "one"))
    MarketSimulator(small_profile(), 1, 50, chunk_rows).write(tmp_path / "other", KEY, 200)
    assert bytes_below(tmp_path / "other") == one


def test_more_messages_begin_like_fewer(tmp_path: Path) -> None:
    """A longer simulation starts with the shorter one."""
    written(tmp_path / "short", 100)
    written(tmp_path / "long", 200)
    for name in ("book_delta_v2", "book", "trades", "truth/book_ticker", "truth/update_chain"):
        short = read(tmp_path / "short", name)
        assert read(tmp_path / "long", name).head(short.height).equals(short)


def test_seeds_symbols_and_days_differ(tmp_path: Path) -> None:
    """Another seed, symbol or day is another market; ids of a later day are larger."""
    other_symbol = PartitionKey.parse("SIMULATED:ETH-USDT", "2024-08-08")
    next_day = PartitionKey(KEY.instrument, date(2024, 8, 9))
    prices = [
        read(written(tmp_path / f"{seed}", 100, key, seed), "book_delta_v2", key)["price"].to_list()
        for seed, key in ((1, KEY), (2, KEY), (3, other_symbol), (4, next_day))
    ]
    prices.append(
        read(written(tmp_path / "x", 100, other_symbol, 1), "book_delta_v2", other_symbol)["price"].to_list()
    )
    prices.append(
        read(written(tmp_path / "y", 100, next_day, 1), "book_delta_v2", next_day)["price"].to_list()
    )
    assert len({tuple(each) for each in prices}) == len(prices)
    today, later = read(tmp_path / "1", "book_delta_v2"), read(tmp_path / "y", "book_delta_v2", next_day)
    assert later["sequence_number"].min() > today["sequence_number"].max()  # type: ignore[operator]


def test_files_are_as_crypto_lake_ships_them(tmp_path: Path, recordings: Path) -> None:
    """Names, order and dtypes of every column, and the compression, equal the recorded files'."""
    report = MarketSimulator(profile(), 1).write(tmp_path, RECORDED, 30)
    for name, root in (
        ("book_delta_v2", recordings / "lake"),
        ("book", recordings / "lake"),
        ("trades", recordings / "lake"),
        ("truth/book_ticker", recordings),
        ("truth/update_chain", recordings),
    ):
        ours, theirs = (
            pq.ParquetFile(report.files[name]),
            pq.ParquetFile(next((root / name / RECORDED.path).iterdir())),
        )
        assert ours.schema_arrow.equals(theirs.schema_arrow)
        assert physical(ours) == physical(theirs)
        assert ours.metadata.row_group(0).column(0).compression == "SNAPPY"
        assert report.files[name].name == "1.snappy.parquet"


def physical(file: pq.ParquetFile) -> list[tuple[str, str, str, int]]:
    """How each column is stored."""
    columns = [file.schema.column(place) for place in range(len(file.schema))]
    return [
        (each.name, each.physical_type, str(each.logical_type), each.max_definition_level) for each in columns
    ]


@pytest.mark.parametrize("name", profile_names())
def test_floats_are_the_nearest_to_their_decimals(tmp_path: Path, name: str) -> None:
    """Every price and size converts to ticks and lots exactly."""
    market = profile(name)
    MarketSimulator(market, 1).write(tmp_path, KEY, 60)
    for table in ("book_delta_v2", "truth/full_book", "truth/book_ticker", "book", "trades"):
        frame = read(tmp_path, table)
        for column in frame.columns:
            decimals = {
                "price": market.price_decimals,
                "size": market.size_decimals,
                "amount": market.size_decimals,
            }
            kind = column.split("_")[-1]
            if kind in decimals:
                assert not float_to_pips(frame[column].to_numpy(), decimals[kind])[1].any()


def test_book_rows_come_every_100_ms(tmp_path: Path) -> None:
    """There is a row at each message at least 100 ms after the last row, and nowhere else."""
    written(tmp_path)
    chain, books = read(tmp_path, "truth/update_chain"), read(tmp_path, "book")
    expected, last = [], -(10**18)
    for time, sequence in zip(chain["timestamp"], chain["final_update_id"], strict=True):
        if time - last >= 100_000_000:
            expected.append(sequence)
            last = time
    assert books["sequence_number"].to_list() == expected


def test_messages_are_chained(tmp_path: Path) -> None:
    """Each `pu` is the `u` before, arrivals come after, and the deltas hold every message and level once."""
    written(tmp_path)
    chain, deltas = read(tmp_path, "truth/update_chain"), read(tmp_path, "book_delta_v2")
    final = chain["final_update_id"]
    assert chain["prev_final_update_id"][1:].to_list() == final[:-1].to_list()
    assert (chain["first_update_id"] > chain["prev_final_update_id"]).all()
    assert (chain["first_update_id"] <= final).all()
    assert (chain["transaction_timestamp"] <= chain["timestamp"]).all()
    assert (chain["receipt_timestamp"] > chain["timestamp"]).all()
    messages = deltas.group_by("sequence_number", maintain_order=True).agg(
        pl.col("timestamp", "receipt_timestamp").unique()
    )
    assert messages["sequence_number"].to_list() == final.to_list()
    assert messages["timestamp"].explode().to_list() == chain["timestamp"].to_list()
    assert messages["receipt_timestamp"].explode().to_list() == chain["receipt_timestamp"].to_list()
    levels = deltas.select("sequence_number", "side_is_bid", "price")
    assert not levels.is_duplicated().any()


def test_spot_shows_what_spot_sends(tmp_path: Path) -> None:
    """Spot's ids are contiguous, its chain has no T and no `pu`, its ticker no time, its rows best first."""
    MarketSimulator(profile("btc-spot"), 1).write(tmp_path, KEY, 60)
    chain, deltas = read(tmp_path, "truth/update_chain"), read(tmp_path, "book_delta_v2")
    assert chain["first_update_id"][1:].to_list() == [last + 1 for last in chain["final_update_id"][:-1]]
    assert chain["transaction_timestamp"].unique().to_list() == [0]
    assert chain["prev_final_update_id"].unique().to_list() == [-1]
    assert read(tmp_path, "truth/book_ticker")["timestamp"].unique().to_list() == [0]
    steps = deltas.with_columns(
        step=pl.col("price").diff().over("sequence_number", "side_is_bid")
    ).drop_nulls()
    assert (steps.filter(pl.col("side_is_bid"))["step"] < 0).all()
    assert (steps.filter(~pl.col("side_is_bid"))["step"] > 0).all()


def test_trades_hit_the_best_prices(tmp_path: Path) -> None:
    """Buyers pay what was asked just before, sellers get what was bid."""
    written(tmp_path)
    tickers = read(tmp_path, "truth/book_ticker").select("timestamp", "bid_price", "ask_price")
    trades = read(tmp_path, "trades")
    assert trades.height > 20
    for side, amount, price, time in trades.select("side", "amount", "price", "timestamp").iter_rows():
        around = tickers.filter(pl.col("timestamp").is_between(time - 10_000_000, time + 10_000_000))
        before = tickers.filter(pl.col("timestamp") < time - 10_000_000).tail(1)
        seen = pl.concat([before, around])["ask_price" if side == "buy" else "bid_price"]
        assert seen.min() <= price <= seen.max()  # type: ignore[operator]
        assert amount > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_flow_drives_the_mid(tmp_path: Path, recordings: Path, seed: int) -> None:
    """Order flow explains the mid about as well as recorded, and a reference shifted by a second is mostly wrong."""
    MarketSimulator(profile(), seed).write(tmp_path, KEY, 6_500)
    simulated = order_flow_r2(tmp_path, tmp_path / "truth", KEY)
    recorded = order_flow_r2(recordings / "lake", recordings / "truth", RECORDED)
    assert 0.36 < recorded < 0.47
    assert 0.25 < simulated < 0.6
    for shift in (1_000_000_000, 10_000_000_000):
        assert shifted_equal(tmp_path, tmp_path / "truth", KEY, shift) < 0.05
        assert shifted_equal(tmp_path, tmp_path / "truth", KEY, 0) == 1


def test_progress_is_told(tmp_path: Path) -> None:
    """Progress counts the messages up to all of them."""
    seen: list[tuple[str, int, int]] = []
    MarketSimulator(small_profile(), 1, 50).write(
        tmp_path, KEY, 120, Faults(drop=3), lambda *step: seen.append(step)
    )
    assert [step for step in seen if step[0] == "messages"][-1] == ("messages", 120, 120)
    assert {step[0] for step in seen} == {
        "messages",
        *(f"faults in {table}" for table in ("book_delta_v2", "book", "trades")),
    }


def test_a_report_says_what_is_there(tmp_path: Path) -> None:
    """Rows, times and files of the report are those on disk."""
    report = MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 50)
    chain = read(tmp_path, "truth/update_chain")
    assert report.messages == chain.height == 50
    assert (report.first_timestamp, report.last_timestamp) == (chain["timestamp"][0], chain["timestamp"][-1])
    for table, rows in report.rows.items():
        assert pq.ParquetFile(report.files[table]).metadata.num_rows == rows
    assert all(path.is_file() for path in report.files.values())


@pytest.mark.parametrize("name", profile_names())
def test_a_full_day_stays_in_its_day(name: str) -> None:
    """The most messages that are allowed end before midnight, with room; one more is refused."""
    market = profile(name)
    most = MarketSimulator(market, 1).messages_per_day
    assert 0.97 < most * market.mean_interval_ms / 86_400_000 < 0.995
    with pytest.raises(SettingsError, match=f"expected at most {most:,} messages"):
        MarketSimulator(market, 1).write(Path("nowhere"), KEY, most + 1)


@pytest.mark.parametrize(
    ("arguments", "messages", "where"),
    [({"seed": -1}, 1, "seed"), ({"full_book_every": 0}, 1, "full_book_every"), ({}, 0, "messages")],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, arguments: dict[str, int], messages: int, where: str
) -> None:
    """A number out of range is named, and nothing is written."""
    with pytest.raises(SettingsError, match=f"{where}: expected"):
        MarketSimulator(small_profile(), **{"seed": 1, **arguments}).write(tmp_path, KEY, messages)
    assert not list(tmp_path.iterdir())


def test_recorded_files_are_never_replaced(tmp_path: Path) -> None:
    """A folder that holds files of that day which no simulation wrote stays as it is."""
    written(tmp_path)
    (tmp_path / "truth/faults" / KEY.path / "faults.json").unlink()
    before = bytes_below(tmp_path)
    with pytest.raises(SettingsError, match="simulated files never replace recorded ones"):
        written(tmp_path, 10)
    assert bytes_below(tmp_path) == before


def test_a_failed_simulation_leaves_the_old_files(tmp_path: Path) -> None:
    """Faults that do not fit leave the folder as it was, without leftovers."""
    before = bytes_below(written(tmp_path))
    with pytest.raises(SettingsError, match="faults: drop"):
        MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 40, Faults(drop=30))
    assert bytes_below(tmp_path) == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second simulation of the same symbol and day in the same folder is refused."""
    name = f".simulating-{KEY.instrument.exchange}-{KEY.instrument.symbol}-{KEY.day}"
    with locked_folder(tmp_path / name), pytest.raises(PartitionBusyError):
        written(tmp_path, 10)
