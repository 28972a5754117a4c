"""From the files to the features: nothing that comes later changes an earlier row by one bit."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.rl import FeatureBuilder
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def features(folder: Path, lake: Path, **sections: object) -> pl.DataFrame:
    """The published features of a lake; no feature reads the report on the books, which takes ten times as long."""
    chain = Chain.over(folder, lake, [KEY], **sections)
    chain.books(KEY)
    FeatureBuilder(chain.store, chain.settings).run(KEY)
    return chain.store.frame("rl_features", KEY).collect()


def cut(lake: Path, out: Path, last_ns: int) -> None:
    """Copy the rows up to a time: what a recorder that stopped then would have left."""
    for table in ("book_delta_v2", "book", "trades"):
        frame = pl.read_parquet(lake / table / KEY.path / "*.parquet", hive_partitioning=False)
        path = out / table / KEY.path
        if len(left := frame.filter(pl.col("timestamp") <= last_ns)):
            path.mkdir(parents=True)
            left.write_parquet(path / "1.parquet")


@pytest.mark.parametrize("faults", ["", "drop=16", "ghost=6", "silence=1,crossed=1"])
def test_features_of_a_day_cut_short_are_the_same(tmp_path: Path, faults: str) -> None:
    """Wherever the day is cut, also inside a gap that only a later snapshot shows, the rows before are equal."""
    lake = tmp_path / "lake"
    MarketSimulator(profile("btc-perp"), 3).write(
        lake, KEY, 1_200, Faults.parse(faults) if faults else Faults()
    )
    whole = features(tmp_path / "whole", lake)
    gaps = Chain.over(tmp_path / "whole", lake, [KEY]).store.frame("sequence_gap_report", KEY).collect()
    first, last = whole["time"][0], whole["time"][-1]
    cuts = [first + (last - first) * share // 100 for share in (35, 80)]
    cuts += [(row["from_origin_time"] + row["to_origin_time"]) // 2 for row in gaps.head(2).to_dicts()]
    compared = 0
    for number, at_ns in enumerate(cuts):
        cut(lake, tmp_path / f"cut{number}", at_ns)
        part = features(tmp_path / f"part{number}", tmp_path / f"cut{number}")
        assert part.equals(whole.head(len(part)), null_equal=True)
        compared += len(part)
    assert compared > 100


@pytest.mark.parametrize(
    ("faults", "sections", "seconds"),
    [
        ("crossed=1x8s", {"gaps": {"crossed_after": "500ms"}, "reconstruct": {"extend_every": 60}}, None),
        ("", {"reconstruct": {"warm_up": "10s"}}, 30.0),
    ],
)
def test_what_is_done_about_a_book_does_not_depend_on_snapshots_to_come(
    tmp_path: Path, faults: str, sections: dict[str, object], seconds: float | None
) -> None:
    """A crossed book and a cold one, on a day that has snapshots later and cut before they come: equal rows."""
    lake = tmp_path / "lake"
    report = MarketSimulator(profile("btc-perp"), 3).write(lake, KEY, 1_200, Faults.parse(faults or "none"))
    book = lake / "book" / KEY.path / "1.snappy.parquet"
    frame = pl.read_parquet(book, hive_partitioning=False)
    start = frame["timestamp"][0] + int((seconds or 0) * 10**9)
    if report.injected:
        start = report.injected[0]["from_timestamp"]
    else:
        frame.filter(pl.col("timestamp") > start + 10 * 10**9).write_parquet(book)
    whole = features(tmp_path / "whole", lake, **sections)
    for number, after_ms in enumerate((300, 800, 1_500, 1_900)):
        cut(lake, tmp_path / f"cut{number}", start + after_ms * 10**6)
        part = features(tmp_path / f"part{number}", tmp_path / f"cut{number}", **sections)
        assert len(part) > 100
        assert part.equals(whole.head(len(part)), null_equal=True)
