"""A replay in memory gives the rows and the hash of the published books of the same inputs."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from order_book_platform import replay_in_memory
from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.replay import in_memory
from order_book_platform.replay.strategy import SnapshotReplay, Strategy
from order_book_platform.settings import GapSettings, ReconstructSettings
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short day with losses, crossed spells, bad snapshots and a silence."""
    folder = tmp_path_factory.mktemp("lake")
    faults = Faults.parse("drop=16,crossed=2x3s,bad_snapshots=4,silence=1x7s")
    MarketSimulator(profile("btc-perp"), 5).write(folder, KEY, 700, faults)
    return folder


@pytest.mark.parametrize(
    ("reconstruct", "strategy"),
    [
        ({}, None),
        ({"cadence": "grid", "depth": 3}, None),
        ({"cadence": "message", "strategy": "snapshot"}, SnapshotReplay(10)),
    ],
)
def test_it_equals_the_published_books(
    lake: Path, tmp_path: Path, reconstruct: dict[str, Any], strategy: Strategy | None
) -> None:
    """Row for row, however the deltas are cut, and with the levels that the closing state has."""
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct=reconstruct)
    metadata = chain.books(KEY)[3].manifest.metadata
    deltas = PublishedDeltas(chain.store, KEY)
    options = {name: value for name, value in reconstruct.items() if name != "strategy"}
    found = replay_in_memory(
        (batch for group in deltas.row_groups() for batch in deltas.decode(group, 333)),
        SnapshotBatch.from_arrow(chain.store.table("snapshots", KEY)),
        tick=deltas.encoding.tick,
        strategy=strategy,
        gaps=chain.store.table("sequence_gap_report", KEY),
        **options,
    )
    published = chain.store.rows("reconstructed_books", KEY).read()
    assert found.rows.num_rows > 100
    assert found.rows.equals(published.cast(found.rows.schema))
    assert found.replay_hash == metadata["replay_hash"]
    closing = chain.store.table("reconstructed_books", KEY, "closing_state.parquet")
    prices = np.concatenate([found.book.levels(side).encoded_price for side in (0, 1)])
    assert prices.tolist() == closing.column("price_pips").to_pylist()


def test_snapshots_and_gaps_may_be_missing(lake: Path, tmp_path: Path) -> None:
    """Deltas alone give an unseeded book, and one batch is as good as many."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    deltas = list(PublishedDeltas(chain.store, KEY).batches(10_000, silent, "read"))
    tick = PublishedDeltas(chain.store, KEY).encoding.tick
    whole, cut = (replay_in_memory(each, tick=tick, depth=2) for each in (DeltaBatch.concat(deltas), deltas))
    assert whole.replay_hash == cut.replay_hash
    assert whole.rows.column("known_bid_levels").to_pylist() == [0] * whole.rows.num_rows
    assert not whole.book.seeded


def test_nothing_to_replay_is_an_empty_table() -> None:
    """No delta, no row; a snapshot that no message reaches shapes nothing."""
    shots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    found = replay_in_memory([], shots, tick=STEP, depth=1)
    assert (found.rows.num_rows, found.book.messages, len(found.book.outcomes)) == (0, 0, 0)


def test_prices_off_the_tick_are_refused() -> None:
    """The error is that of the book."""
    with pytest.raises(BatchError, match="multiples of 7"):
        replay_in_memory(delta_batch([[(True, CENTRE, 1)]], [10]), tick=7)


def test_defaults_are_those_of_the_settings() -> None:
    """A replay without options is the replay of a platform without settings."""
    defaults = {name: each.default for name, each in inspect.signature(replay_in_memory).parameters.items()}
    reconstruct, gaps = ReconstructSettings(), GapSettings()
    assert (defaults["depth"], defaults["cadence"]) == (reconstruct.depth, reconstruct.cadence)
    assert (defaults["grid_ns"], defaults["warm_up_ns"]) == (reconstruct.grid, reconstruct.warm_up)
    assert (defaults["crossed_after_ns"], defaults["silence_ns"]) == (gaps.crossed_after, gaps.silence)


def test_the_example_is_right() -> None:
    """The example of the module's docstring gives what it says."""
    result = doctest.testmod(in_memory)
    assert result.attempted > 5
    assert result.failed == 0
