"""Files and arrays that several tests of datasets make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from order_book_platform.model import PartitionKey
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
INT64 = st.integers(-(2**63), 2**63 - 1)


def column(n: int) -> st.SearchStrategy[Any]:
    """An int64 column of n rows."""
    return st.lists(INT64, min_size=n, max_size=n).map(lambda values: np.array(values, dtype=np.int64))


def same(one: Any, other: Any) -> bool:
    """Whether two batches hold the same columns with the same values."""
    return all(
        (getattr(one, name) is None and getattr(other, name) is None)
        or np.array_equal(getattr(one, name), getattr(other, name))
        for name in one.__slots__
    )


def write(folder: Path, table: pa.Table, group_rows: int = 100) -> ParquetRows:
    """The table as a file of small row groups."""
    pq.write_table(table, folder / "rows.parquet", row_group_size=group_rows)
    return ParquetRows([folder / "rows.parquet"])


def published(folder: Path) -> Chain:
    """A small simulated day, with its deltas, snapshots and trades published."""
    MarketSimulator(profile("btc-perp"), 5).write(folder / "lake", KEY, 50)
    chain = Chain.over(folder, folder / "lake", [KEY])
    LakeIngest(chain.store, chain.settings).run(KEY)
    return chain


def publish_first_row_alone(chain: Chain, dataset: str, file: str) -> None:
    """Publish a dataset of the day anew, cut to its first row."""
    table, metadata = chain.store.table(dataset, KEY), chain.store.manifest(dataset, KEY).metadata
    with chain.store.write(dataset, KEY) as writer:
        writer.parquet(file, table.schema).write(table.slice(0, 1))
        writer.metadata.update(metadata)
