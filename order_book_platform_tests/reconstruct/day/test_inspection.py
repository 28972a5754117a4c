"""The book at an instant, and a second replay of a published day."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from order_book_platform.clock import iso_from_ns
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.errors import NoBookError, PartitionCorruptError
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day."""
    root = tmp_path_factory.mktemp("lake")
    MarketSimulator(profile("btc-perp"), 11).write(root, KEY, 1_500)
    return root


def chain_over(folder: Path, lake: Path, **wanted: object) -> Chain:
    """A chain with books published."""
    chain = Chain.over(folder, lake, [KEY], reconstruct=wanted)
    chain.books(KEY)
    return chain


def test_verify_agrees_for_any_batch_size(lake: Path, tmp_path: Path) -> None:
    """Replayed in other pieces and read back from disk: the same hash."""
    chain = chain_over(tmp_path, lake)
    for batch_rows in (97, 5_000, 10**6):
        assert Reconstructor(chain.store, chain.settings).verify(KEY, batch_rows=batch_rows).matches


def test_verify_notices_changed_inputs_and_damaged_files(lake: Path, tmp_path: Path) -> None:
    """Another setting, or other sizes in the deltas, gives another hash; a damaged file is refused."""
    chain = chain_over(tmp_path, lake)
    seed_only = Chain.over(tmp_path, lake, [KEY], reconstruct={"extend_every": 0})
    assert not Reconstructor(seed_only.store, seed_only.settings).verify(KEY).matches
    manifest, table = chain.store.manifest("raw_deltas", KEY), chain.store.frame("raw_deltas", KEY).collect()
    bump = (
        pl.when((pl.int_range(pl.len()) > table.height // 2) & (pl.col("size_pips") > 0))
        .then(10**8)
        .otherwise(0)
    )
    with chain.store.write("raw_deltas", KEY) as writer:
        changed = table.with_columns(pl.col("size_pips") + bump).to_arrow().cast(RAW_DELTAS_SCHEMA)
        writer.parquet("deltas.parquet", RAW_DELTAS_SCHEMA).write(changed)
        writer.metadata.update(manifest.metadata)
    result = Reconstructor(chain.store, chain.settings).verify(KEY)
    assert result.stored == result.published != result.replayed
    assert result.changed_inputs == ("raw_deltas",)
    books = chain.store.folder("reconstructed_books", KEY) / "books-00000.parquet"
    books.write_bytes(books.read_bytes()[:-1] + b"?")
    with pytest.raises(PartitionCorruptError, match=r"books-00000\.parquet"):
        Reconstructor(chain.store, chain.settings).verify(KEY)


def test_book_at_a_time_or_a_number_is_the_published_row(lake: Path, tmp_path: Path) -> None:
    """Any instant gives the row that holds then; before the first message there is none."""
    chain = chain_over(tmp_path, lake, cadence="message")
    books = chain.store.frame("reconstructed_books", KEY).collect()
    reconstructor = Reconstructor(chain.store, chain.settings)
    for at in (0, 700, len(books) - 1):
        row = books.row(at, named=True)
        for state in (
            reconstructor.book_at(KEY, sequence_number=row["sequence_number"]),
            reconstructor.book_at(KEY, at_ns=row["origin_time"] + 1_000),
        ):
            assert (state.sequence_number, state.origin_time) == (row["sequence_number"], row["origin_time"])
            assert (state.bids.price_pips[0], state.asks.size_pips[0]) == (
                row["bid_0_price_pips"],
                row["ask_0_size_pips"],
            )
            assert state.flags == row["flags"]
    first = books.row(0, named=True)
    with pytest.raises(NoBookError, match=f"an instant from {iso_from_ns(first['origin_time'])} on"):
        reconstructor.book_at(KEY, at_ns=1)
    with pytest.raises(NoBookError, match=f"a sequence number from {first['sequence_number']} on, found 5"):
        reconstructor.book_at(KEY, sequence_number=5)
