"""Reading what was published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.datasets.snapshots import SnapshotBatch, read_snapshots
from order_book_platform.model import PartitionKey
from order_book_platform.model.encoding import VERBATIM
from order_book_platform.observability import silent
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
Read = Callable[[DataStore, PartitionKey], Iterator[DeltaBatch] | Iterator[SnapshotBatch]]


@pytest.mark.parametrize(
    ("dataset", "read"),
    [
        ("raw_deltas", lambda store, key: PublishedDeltas(store, key).batches(1_000, silent, "read")),
        ("snapshots", lambda store, key: read_snapshots(store, key, VERBATIM)),
    ],
)
def test_a_partition_is_read_as_it_was_when_it_was_asked_for(
    tmp_path: Path, dataset: str, read: Read
) -> None:
    """One that is published anew before the first batch is taken is not what the reader's manifest spoke of."""
    MarketSimulator(profile("btc-perp"), 5).write(tmp_path / "lake", KEY, 50)
    chain = Chain.over(tmp_path, tmp_path / "lake", [KEY])
    LakeIngest(chain.store, chain.settings).run(KEY)
    wanted = chain.store.rows(dataset, KEY).num_rows
    batches = read(chain.store, KEY)
    table, metadata = chain.store.table(dataset, KEY), chain.store.manifest(dataset, KEY).metadata
    with chain.store.write(dataset, KEY) as writer:
        writer.parquet(f"{dataset.removeprefix('raw_')}.parquet", table.schema).write(table.slice(0, 1))
        writer.metadata.update(metadata)
    assert sum(len(batch) for batch in batches) == wanted > 1
