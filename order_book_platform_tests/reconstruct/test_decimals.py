"""The decimal path: equal to int64 pips wherever both hold the numbers, to an oracle of integers where only it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from order_book_platform.errors import ReconstructionError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests import oracle
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import KEY, START_NS, trade_frame, write_lake
from order_book_platform_tests.reconstruct.two_days import KEY as SIMULATED
from order_book_platform_tests.reconstruct.two_days import NEXT, two_days

DECIMAL128 = {"precision": "decimal128"}
TABLES = (
    ("raw_deltas", None),
    ("snapshots", None),
    ("trades", None),
    ("sequence_gap_report", None),
    ("reconstructed_books", None),
    ("reconstructed_books", "closing_state.parquet"),
    ("reconstructed_books", "used_snapshots.parquet"),
)


def same(pips: Chain, decimals: Chain, key: PartitionKey) -> None:
    """Every row of every table says the same, the one in pips, the other in decimals."""
    for dataset, name in TABLES:
        point = pips.store.manifest("raw_deltas", key).fixed_point
        one, other = (pl.DataFrame(chain.store.table(dataset, key, name)) for chain in (pips, decimals))
        converted = one.select(in_decimals(column, point) for column in one)
        assert converted.equals(other), (dataset, name)
    counts = [
        chain.store.manifest("reconstructed_books", key).metadata["counts"] for chain in (pips, decimals)
    ]
    assert counts[0] == counts[1]


def in_decimals(column: pl.Series, point: Any) -> pl.Series:
    """A column of pips as Decimal(38, 18), any other as it is."""
    if not column.name.endswith("_pips"):
        return column
    places = point.price_decimals if "price" in column.name else point.size_decimals
    factor = pl.lit(10**places).cast(pl.Decimal(38, 0))

    def convert(pips: pl.Expr) -> pl.Expr:
        return pips.cast(pl.Decimal(38, 18)) / factor

    lists = isinstance(column.dtype, pl.List)
    wanted = pl.col(column.name).list.eval(convert(pl.element())) if lists else convert(pl.col(column.name))
    return column.to_frame().select(wanted.alias(column.name.removesuffix("_pips"))).to_series()


def both(folder: Path, lake: Path, key: PartitionKey, **wanted: object) -> tuple[Chain, Chain]:
    """Books of one day in pips and in decimals."""
    chains = []
    for name, instrument in (("pips", {"precision": "int64"}), ("decimals", DECIMAL128)):
        chain = Chain.over(folder / name, lake, [key], reconstruct=wanted, instrument=instrument)
        chain.books(key)
        chains.append(chain)
    return chains[0], chains[1]


@pytest.mark.parametrize("strategy", ["full_event", "snapshot"])
@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_recordings_are_the_same_in_decimals(
    recordings: Path, tmp_path: Path, key: PartitionKey, strategy: str
) -> None:
    """Deltas, snapshots, trades, gaps, books, flags, known levels, used snapshots, closing state; any batch size."""
    pips, decimals = both(tmp_path, recordings / "lake", key, strategy=strategy)
    same(pips, decimals, key)
    for batch_rows in (1_000, 50_000):
        assert Reconstructor(decimals.store, decimals.settings).verify(key, batch_rows=batch_rows).matches


@pytest.mark.parametrize("strategy", ["full_event", "snapshot"])
@pytest.mark.parametrize("cadence", ["change", "message", "grid"])
def test_a_simulated_day_is_the_same_in_decimals(tmp_path: Path, strategy: str, cadence: str) -> None:
    """For every way of writing rows; verified in other pieces; the book at any instant too."""
    MarketSimulator(profile("btc-perp"), 11).write(tmp_path / "lake", SIMULATED, 700)
    pips, decimals = both(tmp_path, tmp_path / "lake", SIMULATED, strategy=strategy, cadence=cadence)
    same(pips, decimals, SIMULATED)
    for batch_rows in (97, 10**6):
        assert (
            Reconstructor(decimals.store, decimals.settings).verify(SIMULATED, batch_rows=batch_rows).matches
        )
    numbers = pips.store.frame("reconstructed_books", SIMULATED).collect()["sequence_number"]
    for number in (numbers[0], numbers[len(numbers) // 2], numbers[-1]):
        states = [
            Reconstructor(chain.store, chain.settings).book_at(SIMULATED, sequence_number=number)
            for chain in (pips, decimals)
        ]
        assert states[0].flags == states[1].flags
        shown = [
            [
                (state.fixed_point.price(price), state.fixed_point.size(size), known)
                for side in (state.bids, state.asks)
                for price, size, known in zip(side.price_pips, side.size_pips, side.known, strict=True)
            ]
            for state in states
        ]
        assert shown[0] == shown[1]


def test_verify_notices_other_decimals(tmp_path: Path) -> None:
    """A size that differs in its eighteenth decimal gives another hash."""
    MarketSimulator(profile("btc-perp"), 11).write(tmp_path / "lake", SIMULATED, 200)
    _, chain = both(tmp_path, tmp_path / "lake", SIMULATED)
    manifest = chain.store.manifest("raw_deltas", SIMULATED)
    table = chain.store.frame("raw_deltas", SIMULATED).collect()
    with chain.store.write("raw_deltas", SIMULATED) as writer:
        bump = (
            pl.when(pl.col("size") > 0).then(pl.lit(Decimal("1e-18")).cast(pl.Decimal(38, 18))).otherwise(0)
        )
        schema = chain.store.rows("raw_deltas", SIMULATED).schema
        changed = table.with_columns((pl.col("size") + bump).cast(pl.Decimal(38, 18)))
        writer.parquet("deltas.parquet", schema).write(changed.to_arrow().cast(schema))
        writer.metadata.update(manifest.metadata)
    result = Reconstructor(chain.store, chain.settings).verify(SIMULATED)
    assert result.stored == result.published != result.replayed


def test_a_day_of_decimals_may_go_on_from_the_day_before(tmp_path: Path) -> None:
    """Over midnight with another unit of prices; but not from a day of pips."""

    def off(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns((pl.selectors.ends_with("price") + 0.04).round(2))

    pips = two_days(tmp_path / "pips", off, continue_previous_day=True)
    chain = two_days(tmp_path / "decimals", off, continue_previous_day=True, instrument=DECIMAL128)
    for each in (pips, chain):
        for key in (SIMULATED, NEXT):
            each.books(key)
    before = chain.store.manifest("reconstructed_books", SIMULATED).metadata["closing"]["sequence_number"]
    assert chain.store.manifest("reconstructed_books", NEXT).metadata["continued_from"] == before
    units = [
        chain.store.manifest("reconstructed_books", key).metadata["price_unit"] for key in (SIMULATED, NEXT)
    ]
    assert units == [10**17, 2 * 10**16]
    same(pips, chain, NEXT)
    mixed = two_days(tmp_path / "decimals", continue_previous_day=True, instrument={"precision": "int64"})
    with pytest.raises(
        ReconstructionError, match=r"int64 with 8 and 8 decimals, found decimal128 with 18 and 18"
    ):
        mixed.books(NEXT)


def test_days_whose_prices_share_no_unit_are_not_continued(tmp_path: Path) -> None:
    """Prices of 60,000 and of 0.06 with 15 decimals have codes each, but not in one unit: seeded anew, and why."""

    def tiny(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns((pl.selectors.ends_with("price") * 1.000123456e-6).round(15))

    chain = two_days(tmp_path, tiny, continue_previous_day=True, instrument=DECIMAL128)
    for key in (SIMULATED, NEXT):
        chain.books(key)
    metadata = chain.store.manifest("reconstructed_books", NEXT).metadata
    assert metadata["continued_from"] is None
    assert "no unit" in metadata["not_continued"]
    assert metadata["seed"] == "snapshot"


def test_a_continued_book_of_finer_sizes_has_features(tmp_path: Path) -> None:
    """What the day before left in the book counts for the decimals of the features, as its own sizes do."""

    def whole(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.selectors.matches("size$|amount").ceil())

    chain = two_days(tmp_path, whole, continue_previous_day=True, instrument=DECIMAL128)
    (tmp_path / "lake" / "book" / NEXT.path / "1.parquet").unlink()
    for key in (SIMULATED, NEXT):
        chain.books(key)
    manifest = chain.store.manifest("reconstructed_books", NEXT)
    assert manifest.metadata["continued_from"] is not None
    assert (manifest.fixed_point.lot, manifest.metadata["size_unit"]) == (1, 10**15)
    FeatureBuilder(chain.store, chain.settings).run(NEXT)
    assert chain.store.manifest("rl_features", NEXT).fixed_point.size_decimals == 3


@dataclass(frozen=True)
class Wide:
    """Deltas or snapshots as the oracle reads them, prices and sizes as integers of any length."""

    origin_time: np.ndarray
    received_time: np.ndarray
    sequence_number: np.ndarray
    encoded_price: np.ndarray
    encoded_size: np.ndarray
    is_bid: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sequence_number)


def unscaled(value: float) -> int:
    """A float's shortest decimal in units of 10**-18."""
    scaled = Decimal(repr(value)).scaleb(18, EXACT)
    assert scaled == int(scaled)
    return int(scaled)


PRICES: Mapping[str, np.ndarray] = {
    "all digits a float has": np.sort(np.random.default_rng(5).uniform(0.0199, 0.0201, 120)),
    "tenths": np.arange(120) / 10 + 60_000,
}
SIZES = (1e12, 999_999_999_999.0, 1e-8, 0.1, 3.00000001e-10, 123_456_789.12345678, 1e19)


def wild_day(lake: Path, prices: np.ndarray, messages: int = 240) -> tuple[Wide, Wide]:
    """Write a day that int64 pips cannot hold; returns what the oracle needs of it."""
    rng = np.random.default_rng(9)
    half = len(prices) // 2
    sizes: dict[int, float] = {}
    deltas: list[dict[str, Any]] = []
    books: list[dict[str, Any]] = []
    for message in range(messages):
        head = {
            "timestamp": START_NS + message * 100_000_000,
            "receipt_timestamp": START_NS + message * 100_000_000 + 7,
            "sequence_number": 10 * message + 5,
        }
        for at in rng.choice(len(prices), 12, replace=False).tolist():
            size = float(rng.choice(SIZES)) if rng.random() < 0.7 else 0.0
            sizes[at] = size
            deltas.append(head | {"side_is_bid": at < half, "price": float(prices[at]), "size": size})
        live = sorted(at for at, size in sizes.items() if size)
        sides = [at for at in reversed(live) if at < half][:DEPTH], [at for at in live if at >= half][:DEPTH]
        if message > 20 and message % 3 == 0 and all(sides):
            row: dict[str, Any] = dict(head)
            for name, side in zip(("bid", "ask"), sides, strict=True):
                for level in range(DEPTH):
                    at = side[level] if level < len(side) else None
                    row[f"{name}_{level}_price"] = None if at is None else float(prices[at])
                    row[f"{name}_{level}_size"] = None if at is None else sizes[at]
            books.append(row)
    order = ["timestamp", "receipt_timestamp", "sequence_number"]
    floats = [name for name in books[0] if name not in order]
    frame = pl.DataFrame(books, schema=dict.fromkeys(order, pl.Int64) | dict.fromkeys(floats, pl.Float64))
    write_lake(lake, KEY, pl.DataFrame(deltas), frame, trade_frame())
    return wide_deltas(deltas), wide_snapshots(books)


def heads(rows: list[dict[str, Any]]) -> list[np.ndarray]:
    """The three times and numbers."""
    return [
        np.array([row[name] for row in rows])
        for name in ("timestamp", "receipt_timestamp", "sequence_number")
    ]


def wide_deltas(rows: list[dict[str, Any]]) -> Wide:
    """Deltas for the oracle."""
    price, size = (np.array([unscaled(row[name]) for row in rows], object) for name in ("price", "size"))
    return Wide(*heads(rows), price, size, np.array([row["side_is_bid"] for row in rows]))


def wide_snapshots(rows: list[dict[str, Any]]) -> Wide:
    """Snapshots for the oracle."""

    def levels(name: str, missing: int) -> np.ndarray:
        values = [
            [
                [
                    missing
                    if row[f"{side}_{level}_{name}"] is None
                    else unscaled(row[f"{side}_{level}_{name}"])
                    for level in range(DEPTH)
                ]
                for side in ("bid", "ask")
            ]
            for row in rows
        ]
        return np.array(values, object)

    return Wide(*heads(rows), levels("price", MISSING_PIPS), levels("size", 0))


@pytest.mark.parametrize("cadence", ["change", "message"])
@pytest.mark.parametrize("prices", PRICES)
def test_what_int64_cannot_hold_equals_an_oracle_of_integers(
    tmp_path: Path, prices: str, cadence: str
) -> None:
    """Sizes of 10^19 beside 3·10^-10, prices of 18 decimals: chosen by itself, said so, and exact to the last digit."""
    deltas, snapshots = wild_day(tmp_path / "lake", PRICES[prices])
    chain = Chain.over(
        tmp_path, tmp_path / "lake", [KEY], reconstruct={"cadence": cadence, "strategy": "full_event"}
    )
    chain.books(KEY)
    manifest = chain.store.manifest("raw_deltas", KEY)
    assert manifest.precision == "decimal128"
    audit = chain.store.report("data_assessment", KEY)["precision"]
    assert (audit["wanted"], audit["chosen"]) == ("auto", "decimal128")
    assert "found" in audit["why"]
    assert audit["sizes_beyond_pips"] == min(
        sum(size % 10**places != 0 or size > 2**51 * 10**places for size in deltas.encoded_size)
        for places in range(19)
    )
    wanted = oracle.replay(
        deltas, snapshots, tick_pips=manifest.fixed_point.tick_pips, every_message=cadence == "message",
        precision="decimal128",
    )  # fmt: skip
    found = chain.store.table("reconstructed_books", KEY)
    assert pl.DataFrame(found).equals(pl.DataFrame(wanted.rows))
    assert chain.store.table("reconstructed_books", KEY, "used_snapshots.parquet").equals(wanted.used)
    closing = chain.store.table("reconstructed_books", KEY, "closing_state.parquet").to_pylist()
    assert [(row["is_bid"], row["price"], row["size"]) for row in closing] == [
        (side is wanted.book.bids, oracle.unscaled(key * side.sign), oracle.unscaled(side.sizes[key]))
        for side in wanted.book.sides
        for key in side.keys
    ]
    assert len(found) > 100
    assert Reconstructor(chain.store, chain.settings).verify(KEY, batch_rows=50).matches
