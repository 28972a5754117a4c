"""Published books: equal to the oracle and to the simulated truth, verifiable, and open to inspection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.clock import iso_from_ns
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch, PublishedDeltas
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import NoBookError, PartitionCorruptError
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.observability import silent
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests import oracle
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day with its truth."""
    root = tmp_path_factory.mktemp("lake")
    MarketSimulator(profile("btc-perp"), 11).write(root, KEY, 1_500)
    return root


def chain_over(folder: Path, lake: Path, **wanted: object) -> Chain:
    """A chain with books published."""
    chain = Chain.over(folder, lake, [KEY], reconstruct=wanted)
    chain.books(KEY)
    return chain


@pytest.mark.parametrize("cadence", ["change", "message"])
def test_books_equal_the_oracle(lake: Path, tmp_path: Path, cadence: str) -> None:
    """Rows, used snapshots and closing state are those of a plain dict replay of the same partition."""
    chain = chain_over(tmp_path, lake, cadence=cadence)
    deltas = DeltaBatch.concat(list(PublishedDeltas(chain.store, KEY).batches(10_000, silent, "read")))
    snapshots = SnapshotBatch.from_arrow(chain.store.table("snapshots", KEY))
    tick = chain.store.manifest("raw_deltas", KEY).fixed_point.tick_pips
    wanted = oracle.replay(deltas, snapshots, tick_pips=tick, every_message=cadence == "message")
    found = chain.store.table("reconstructed_books", KEY)
    assert pl.DataFrame(found).equals(pl.DataFrame(wanted.rows))
    assert chain.store.table("reconstructed_books", KEY, "used_snapshots.parquet").equals(wanted.used)
    closing = chain.store.table("reconstructed_books", KEY, "closing_state.parquet").to_pylist()
    levels = [(row["is_bid"], row["price_pips"], row["size_pips"]) for row in closing]
    assert levels == [
        (side is wanted.book.bids, key * side.sign, side.sizes[key])
        for side in wanted.book.sides
        for key in side.keys
    ]


def test_known_levels_equal_the_simulated_truth(lake: Path, tmp_path: Path) -> None:
    """After each message whose full book was kept, every level claimed known is the market's own."""
    chain = chain_over(tmp_path, lake, cadence="message")
    truth = pl.read_parquet(lake / "truth/full_book" / KEY.path / "*.parquet", hive_partitioning=False)
    numbers = truth["sequence_number"].unique().sort().to_list()
    compared = 0
    for number in numbers:
        state = Reconstructor(chain.store, chain.settings).book_at(KEY, sequence_number=number)
        if not state.flags & BookFlag.SEEDED:
            continue
        for is_bid, levels in ((True, state.bids), (False, state.asks)):
            side = truth.filter((pl.col("sequence_number") == number) & (pl.col("side_is_bid") == is_bid))
            side = side.sort("price", descending=is_bid)
            n = int(levels.known.sum())
            compared += n
            np.testing.assert_array_equal(levels.price_pips[:n] / 10**8, side["price"].to_numpy()[:n])
            np.testing.assert_array_equal(levels.size_pips[:n] / 10**8, side["size"].to_numpy()[:n])
    assert compared > 100


def test_change_rows_are_the_message_rows_that_differ(lake: Path, tmp_path: Path) -> None:
    """Between two rows of cadence change, every message shows the same book."""
    changes = chain_over(tmp_path / "a", lake).store.frame("reconstructed_books", KEY).collect()
    messages = (
        chain_over(tmp_path / "b", lake, cadence="message").store.frame("reconstructed_books", KEY).collect()
    )
    at = (
        np.searchsorted(
            changes["sequence_number"].to_numpy(), messages["sequence_number"].to_numpy(), "right"
        )
        - 1
    )
    same = [
        name
        for name in messages.columns
        if name not in ("origin_time", "received_time", "sequence_number", "flags")
    ]
    assert messages.select(same).equals(changes.select(same)[at.tolist()])
    assert len(changes) < len(messages)


def test_without_snapshots_the_book_is_cold_and_says_so(tmp_path: Path) -> None:
    """No seed: rows are there, nothing is called known."""
    MarketSimulator(profile("btc-perp"), 11).write(tmp_path / "lake", KEY, 300)
    for path in (tmp_path / "lake/book" / KEY.path).iterdir():
        path.unlink()
    books = chain_over(tmp_path, tmp_path / "lake").store.frame("reconstructed_books", KEY).collect()
    assert len(books)
    assert set(books["flags"].unique()) <= {
        int(BookFlag.UNKNOWN_DEPTH),
        int(BookFlag.UNKNOWN_DEPTH | BookFlag.CROSSED),
        int(BookFlag.UNKNOWN_DEPTH | BookFlag.LOCKED),
    }
    assert books["known_bid_levels"].max() == books["known_ask_levels"].max() == 0


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
