"""Verdicts: what makes a day go, go with repair, or no-go, and that each rule can fail."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from order_book_platform.assess import Assessment, DataAssessor, GapReporter
from order_book_platform.sources import LakeIngest
from order_book_platform_tests.chain import Chain, failed
from order_book_platform_tests.lake import KEY, START_NS, book_frame, delta_frame, trade_frame, write_lake


def assessed(
    folder: Path, deltas: pl.DataFrame, book: pl.DataFrame | None = None, **sections: object
) -> Assessment:
    """The assessment of a small lake."""
    write_lake(folder / "lake", KEY, deltas, book_frame() if book is None else book, trade_frame())
    chain = Chain.over(folder, folder / "lake", [KEY], **sections)
    LakeIngest(chain.store, chain.settings).run(KEY)
    GapReporter(chain.store, chain.settings).run(KEY)
    return DataAssessor(chain.store, chain.settings).run(KEY)


def late(frame: pl.DataFrame, after: int, ns: int) -> pl.DataFrame:
    """Messages after the n-th come `ns` later."""
    shift = pl.when(pl.col("sequence_number") > 1_000 + 7 * after).then(ns).otherwise(0)
    return frame.with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)


def backward(frame: pl.DataFrame) -> pl.DataFrame:
    """Every second message is stamped a second early."""
    odd = (pl.col("sequence_number") - 1_000) // 7 % 2 == 1
    return frame.with_columns(
        pl.when(odd).then(pl.col("timestamp") - 10**9).otherwise(pl.col("timestamp")).alias("timestamp")
    )


CASES = {
    "gap_ratio": (lambda d: late(d, 10, 3 * 10**9), "no-go"),
    "origin_coverage": (lambda d: late(d, 10, 3 * 10**9), "no-go"),
    "origin_valid": (backward, "no-go"),
    "off_grid": (lambda d: d.with_columns(pl.col("price") + 1e-10), "no-go"),
    "duplicates": (lambda d: pl.concat([d, d]).sort("sequence_number", maintain_order=True), None),
    "unsorted": (lambda d: d.reverse(), None),
    "latency_p50_ms": (lambda d: d.with_columns(pl.col("receipt_timestamp") + 10**9), None),
    "latency_negative": (lambda d: d.with_columns(pl.col("receipt_timestamp") - 10**9), None),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_fails_on_what_it_is_for(tmp_path: Path, rule: str) -> None:
    """Data that are wrong in one way fail the rule for it; a required rule makes the day a no-go."""
    change, verdict = CASES[rule]
    sound = assessed(tmp_path / "sound", delta_frame())
    assert rule not in failed(sound.gates)
    broken = assessed(tmp_path / "broken", change(delta_frame()), sources={"max_off_grid_rows": 1_000})
    assert rule in failed(broken.gates)
    if verdict:
        assert broken.report["verdict"] == verdict
        assert rule in broken.report["why"]


def test_bad_snapshots_fail_their_rule_and_none_at_all_means_cold(tmp_path: Path) -> None:
    """Crossed snapshots are no seeds; without a sound one the book starts cold."""
    crossed = book_frame().with_columns(pl.col("bid_0_price") + 10)
    result = assessed(tmp_path, delta_frame(), crossed)
    assert "snapshots_sound" in failed(result.gates)
    assert result.report["recommendation"]["seeding"] == "cold"
    assert result.report["snapshots"]["defects"] == {"crossed": 5}


def test_the_report_reads_well(tmp_path: Path) -> None:
    """Verdict first, each rule with value, gate and meaning, the span in UTC."""
    result = assessed(tmp_path, delta_frame())
    text = (tmp_path / "store/data_assessment" / KEY.path / "report.md").read_text()
    assert text.startswith(f"# TEST:ABC-USD 2024-01-02: {result.report['verdict']}\n")
    for gate in result.gates:
        assert f"| {gate.name} |" in text
    assert "2024-01-02T00:00:00.000000000Z" in text
    assert result.report["audit"]["first_origin_time"] == START_NS
