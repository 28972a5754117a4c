"""Messages lost from recordings that keep their ids: exactly so many gaps, each at its place, with ids and times."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from order_book_platform.assess import GapReporter
from order_book_platform.assess.gap_classification import RecoverySnapshots, classify, gaps_table
from order_book_platform.assess.message_scan import MessageScan
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.model import PartitionKey
from order_book_platform.settings import GapSettings
from order_book_platform.sources import LakeIngest
from order_book_platform_tests.assess.test_message_scan import NO_SNAPSHOTS
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS


@cache
def chain_of(recordings: Path, key: PartitionKey) -> pl.DataFrame:
    """The ids and times of every message of a recording, and whether `pu` is there."""
    path = recordings / "truth/update_chain" / key.path / "*.parquet"
    chain = pl.read_parquet(path, hive_partitioning=False)
    has_pu = bool((chain["prev_final_update_id"] >= 0).all())
    return chain.select(
        "timestamp",
        "receipt_timestamp",
        "final_update_id",
        first=pl.lit(None, pl.Int64) if has_pu else pl.col("first_update_id"),
        prev=pl.col("prev_final_update_id") if has_pu else pl.lit(None, pl.Int64),
    )


def ids_of(frame: pl.DataFrame) -> dict[str, np.ndarray | None]:
    """`U` or `pu`, whichever proves the chain; the other is None."""
    names = {"first_update_id": "first", "prev_final_update_id": "prev"}
    return {
        name: None if frame[short].null_count() else frame[short].to_numpy() for name, short in names.items()
    }


def separate(draw: st.DataObject, messages: int) -> list[int]:
    """Places of messages inside a recording, no two of them neighbours."""
    places = draw.draw(st.lists(st.integers(1, messages - 2), max_size=60, unique=True))
    kept: list[int] = []
    for place in sorted(places):
        if not kept or place > kept[-1] + 1:
            kept.append(place)
    return kept


def losses(chain: pl.DataFrame, lost: list[int]) -> list[tuple[int, int, int, int]]:
    """What each lost message lies between: ids and origin times of its neighbours."""
    ids, times = chain["final_update_id"].to_list(), chain["timestamp"].to_list()
    return [(ids[at - 1], ids[at + 1], times[at - 1], times[at + 1]) for at in lost]


PLACE = ("from_sequence_number", "to_sequence_number", "from_origin_time", "to_origin_time")


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
@given(st.data())
@profile(max_examples=40)
def test_k_lost_messages_are_k_gaps(recordings: Path, key: PartitionKey, draw: st.DataObject) -> None:
    """Any k of N, no two in a row: k exact gaps, named by the ids and times around each."""
    chain = chain_of(recordings, key)
    lost = separate(draw, len(chain))
    kept = chain.with_row_index().filter(~pl.col("index").is_in(lost))
    ones = np.ones(len(kept), np.int64)
    times = (kept[name].to_numpy() for name in ("timestamp", "receipt_timestamp", "final_update_id"))
    scan = MessageScan(10**9, NO_SNAPSHOTS)
    scan.feed(DeltaBatch(*times, ones.astype(bool), ones, ones, **ids_of(kept)))
    nowhere = RecoverySnapshots(NO_SNAPSHOTS, NO_SNAPSHOTS)
    found = gaps_table(classify(each, nowhere, GapSettings()) for each in scan.candidates).to_pylist()
    assert [tuple(gap[name] for name in PLACE) for gap in found] == losses(chain, lost)
    assert {(gap["kind"], gap["cause"], gap["proven"]) for gap in found} <= {("exact", "chain", True)}


@pytest.mark.parametrize("lost", [0, 1, 23])
@pytest.mark.parametrize("key", [RECORDED_KEYS[0], RECORDED_KEYS[2], RECORDED_KEYS[4]], ids=str)
def test_the_report_of_a_source_with_ids(
    recordings: Path, tmp_path: Path, key: PartitionKey, lost: int
) -> None:
    """From published deltas to gaps.parquet: the exact ratio is k of N − 1, and 0 for what was recorded."""
    chain = Chain.over(tmp_path, recordings / "lake", [key])
    metadata = LakeIngest(chain.store, chain.settings).run(key).manifest.metadata
    ids = chain_of(recordings, key)
    gone = np.random.default_rng(lost).choice(np.arange(2, len(ids) - 2, 2), lost, replace=False)
    gone.sort()
    table = chain.store.table("raw_deltas", key)
    message = np.searchsorted(ids["final_update_id"].to_numpy(), table["sequence_number"].to_numpy())
    whole = replace(DeltaBatch.from_arrow(table), **ids_of(ids[message])).to_arrow()
    kept = whole.filter(pa.array(~np.isin(message, gone)))
    with chain.store.write("raw_deltas", key) as writer:
        writer.parquet("deltas.parquet", RAW_DELTAS_SCHEMA).write(kept)
        writer.metadata.update(metadata)
    report = GapReporter(chain.store, chain.settings).run(key).report
    found = chain.store.frame("sequence_gap_report", key).collect().filter(pl.col("cause") == "chain")
    assert found.select(PLACE).rows() == losses(ids, gone.tolist())
    assert report["kind"] == "exact"
    assert report["seq_gap_ratio"] == lost / (len(ids) - lost - 1)
    assert sum(report["distribution"]["by_hour"]) == report["gaps"]
    if not lost:
        assert (report["gaps"], report["inferred_gap_ratio"], report["reconnects"]["count"]) == (0, 0, 0)
