"""From Crypto Lake files to features through the real components, on all recorded symbol-days."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder, FeatureResult
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.conftest import RECORDED, RECORDED_KEYS
from order_book_platform_tests.rl.recorded import publish


def settings_for(recordings: Path, store: DataStore) -> Settings:
    """Default settings over the recordings."""
    return Settings(
        lake_root=recordings / "lake",
        data_root=store.root,
        first_day="2024-08-08",
        instruments=[{"symbol": symbol} for symbol in dict.fromkeys(symbol for symbol, _ in RECORDED)],
    )


def run_chain(recordings: Path, store: DataStore, key: PartitionKey) -> FeatureResult:
    """Every component before the features, then these."""
    settings = settings_for(recordings, store)
    for component in (LakeIngest, GapReporter, DataAssessor, Reconstructor):
        component(store, settings).run(key)
    return FeatureBuilder(store, settings).run(key)


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_features_of_every_recording(recordings: Path, tmp_path: Path, key: PartitionKey) -> None:
    """All gates hold, a rerun gives the same bytes, and only starts and unknown depth are null."""
    store = DataStore(tmp_path)
    result = run_chain(recordings, store, key)
    assert [gate.name for gate in result.gates if not gate.passed] == []
    again = FeatureBuilder(store, settings_for(recordings, store), batch_rows=999).run(key)
    assert again.manifest.to_bytes() == result.manifest.to_bytes()
    settled = store.frame("rl_features", key).collect().slice(20)
    assert settled["valid"].all()
    assert settled["ofi_1"].null_count() == 0
    assert not settled["ret_1s"].is_nan().any()
    assert settled["time"].diff().drop_nulls().unique().to_list() == [100_000_000]
    assert settled["latency_ms"].is_between(-1_300, -1_200).all()


def test_reconstructed_books_give_the_features_of_a_plain_replay(
    recordings: Path, tmp_path: Path, usdm_key: PartitionKey, usdm_books: pa.Table
) -> None:
    """What does not depend on how rows are thinned out is the same from both books, to the last bit."""
    real, plain = DataStore(tmp_path / "real"), DataStore(tmp_path / "plain")
    run_chain(recordings, real, usdm_key)
    publish(recordings, usdm_key, plain, usdm_books)
    FeatureBuilder(plain, settings_for(recordings, plain)).run(usdm_key)
    columns = ["time", "mid2", "spread_ticks", "wmid_off", "qi_20", "ofi_1", "mlofi_10", "tfi", "rv_10s"]
    frames = [store.frame("rl_features", usdm_key).select(columns).collect() for store in (real, plain)]
    settled, end = frames[1]["time"][120], frames[0]["time"][-1]
    one, other = (frame.filter(pl.col("time").is_between(settled, end)) for frame in frames)
    assert one.height > 3_300
    assert one.equals(other)
