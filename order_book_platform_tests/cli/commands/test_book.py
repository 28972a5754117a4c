"""`obp book`: the book at an instant, against the published rows and the simulator's truth."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from order_book_platform.clock import iso_from_ns
from order_book_platform.datasets.scan import scan
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform

ARGUMENTS = ("book", "--symbol", SYMBOL, "--day", DAY)


@pytest.fixture(scope="module")
def row(materialized: tuple[Platform, Any]) -> dict[str, Any]:
    """A published row in the middle of the day, prices as decimals."""
    platform, _ = materialized
    books = scan("reconstructed_books", SYMBOL, DAY, prices="decimal", config=platform.config).collect()
    return books.row(books.height // 2, named=True)


def test_book_equals_the_published_row(materialized: tuple[Platform, Any], row: dict[str, Any]) -> None:
    """By sequence number, the replayed book is the published row, level by level."""
    platform, _ = materialized
    book = platform.json(*ARGUMENTS, "--sequence", str(row["sequence_number"]))
    assert book["sequence_number"] == row["sequence_number"]
    assert book["origin_time"] == iso_from_ns(row["origin_time"])
    for side in ("bid", "ask"):
        shown = [(Decimal(level["price"]), Decimal(level["size"])) for level in book[f"{side}s"]]
        assert shown == [(row[f"{side}_{level}_price"], row[f"{side}_{level}_size"]) for level in range(20)]


def test_time_and_sequence_agree(materialized: tuple[Platform, Any], row: dict[str, Any]) -> None:
    """A nanosecond before the next message, the book is still the one after this message."""
    platform, _ = materialized
    by_number = platform.json(*ARGUMENTS, "--sequence", str(row["sequence_number"]))
    for at in (iso_from_ns(row["origin_time"]), str(row["origin_time"] + 1)):
        assert platform.json(*ARGUMENTS, "--at", at) == by_number


def test_book_equals_the_truth(materialized: tuple[Platform, Any], key: PartitionKey) -> None:
    """After the simulator's last message, every known level is what the simulator had, in price and size."""
    platform, _ = materialized
    truth = pl.read_parquet(platform.config.parent / "lake" / "truth" / "full_book" / key.path / "*.parquet")
    last = truth["sequence_number"].max()
    truth = truth.filter(pl.col("sequence_number") == last)
    real = {(row["side_is_bid"], row["price"]): row["size"] for row in truth.iter_rows(named=True)}
    book = platform.json(*ARGUMENTS, "--sequence", str(last), "--depth", "1000")
    shown = {
        (side == "bids", float(level["price"])): float(level["size"])
        for side in ("bids", "asks")
        for level in book[side]
        if level["known"]
    }
    assert len(shown) > 40
    assert shown.items() <= real.items()


def test_depth_limits_what_is_shown(materialized: tuple[Platform, Any], row: dict[str, Any]) -> None:
    """`--depth` cuts the levels shown, not the count of live levels."""
    platform, _ = materialized
    book = platform.json(*ARGUMENTS, "--sequence", str(row["sequence_number"]), "--depth", "3")
    assert len(book["bids"]) == len(book["asks"]) == 3
    assert book["levels"]["bids"] > 20


def test_table_shows_best_prices_and_flags(materialized: tuple[Platform, Any], row: dict[str, Any]) -> None:
    """The table has the flags in words and the best level with the digits of tick and lot."""
    platform, _ = materialized
    result = platform.obp(*ARGUMENTS, "--sequence", str(row["sequence_number"]), "--depth", "2")
    assert "flags     SEEDED" in result.stdout
    first = next(line.split() for line in result.stdout.splitlines() if line.split()[:1] == ["0"])
    assert [Decimal(text) for text in first[1:]] == [
        row["bid_0_size"],
        row["bid_0_price"],
        row["ask_0_price"],
        row["ask_0_size"],
    ]
    assert first[2] == f"{row['bid_0_price']:.2f}"


def test_an_old_book_says_so(materialized: tuple[Platform, Any], row: dict[str, Any]) -> None:
    """Where the data end before the instant asked for, the age of the book stands beside it."""
    platform, _ = materialized
    result = platform.obp(*ARGUMENTS, "--at", str(row["origin_time"]), "--depth", "1")
    assert ", 0.000 s after this message" in result.stdout
    result = platform.obp(*ARGUMENTS, "--at", "2024-08-09T00:00:00Z", "--depth", "1")
    age_s = re.search(r"asked     2024-08-09T00:00:00\.0+Z, ([\d,]+)\.\d{3} s after", result.stdout)
    assert age_s is not None
    assert int(age_s[1].replace(",", "")) > 80_000
    assert "asked" not in platform.obp(*ARGUMENTS, "--sequence", str(row["sequence_number"])).stdout


def test_no_book_before_the_first_message(materialized: tuple[Platform, Any]) -> None:
    """An instant before the day's first message exits 1 and names the first one."""
    platform, _ = materialized
    result = platform.obp(*ARGUMENTS, "--at", "2024-08-08T00:00:00Z")
    assert result.exit_code == 1
    assert "Error (NoBookError)" in result.stderr
    assert "an instant from 2024-08-08T00:00:05" in result.stderr


@pytest.mark.parametrize("more", [[], ["--at", "2024-08-08", "--sequence", "1"]])
def test_one_way_to_say_when(simulated: Platform, more: list[str]) -> None:
    """Neither or both of --at and --sequence is a usage error."""
    result = simulated.obp(*ARGUMENTS, *more)
    assert result.exit_code == 2
    assert "expected either --at TIME or --sequence N" in result.stderr


def test_unpublished_day_says_what_to_run(empty: Platform) -> None:
    """Without inputs, the command that makes them is named."""
    result = empty.obp(*ARGUMENTS, "--sequence", "1")
    assert result.exit_code == 1
    assert "obp materialize" in result.stderr
    assert not DataStore(empty.store).root.exists()
