"""Verdicts: what makes a day go, go with repair, or no-go, and that each rule can fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from order_book_platform.assess import DataAssessor, GapReporter, PublishedReport
from order_book_platform.errors import PartitionCorruptError
from order_book_platform.model import Severity
from order_book_platform.settings import load_settings
from order_book_platform.sources import LakeIngest, table_reader
from order_book_platform.storage import DataStore
from order_book_platform_tests.chain import failed
from order_book_platform_tests.lake import (
    KEY,
    START_NS,
    book_frame,
    delta_frame,
    trade_frame,
    write_lake,
    write_settings,
)


def assessed(
    folder: Path,
    deltas: pl.DataFrame,
    book: pl.DataFrame | None = None,
    trades: pl.DataFrame | None = None,
    *,
    without: Sequence[str] = (),
    tick: str | None = None,
    **sections: object,
) -> PublishedReport:
    """The assessment of a small lake."""
    write_lake(
        folder / "lake",
        KEY,
        deltas,
        book_frame() if book is None else book,
        trade_frame() if trades is None else trades,
    )
    for table in without:
        (folder / "lake" / table / KEY.path / "1.parquet").unlink()
    path = write_settings(folder, keys=[KEY], **sections)
    if tick:
        path.write_text(f'{path.read_text()}tick = "{tick}"\n')
    settings = load_settings(path)
    store = DataStore(settings.data_root)
    LakeIngest(store, settings).run(KEY)
    GapReporter(store, settings).run(KEY)
    return DataAssessor(store, settings).run(KEY)


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
    "messages": (lambda d: d.with_columns(pl.lit(0, pl.Int64).alias("sequence_number")), "no-go"),
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
    """Crossed snapshots are no seeds; a source with snapshots but no sound one is a no-go."""
    crossed = book_frame().with_columns(pl.col("bid_0_price") + 10)
    result = assessed(tmp_path, delta_frame(), crossed)
    assert "snapshots_sound" in failed(result.gates)
    assert result.report["recommendation"]["seeding"] == "cold"
    assert result.report["snapshots"]["defects"] == {"crossed": 5}
    assert result.report["verdict"] == "no-go"
    assert "seed" in result.report["why"]


def test_a_source_without_snapshots_is_a_warning(tmp_path: Path) -> None:
    """Without the table `book` the book has to start cold; that alone is no reason not to go."""
    result = assessed(tmp_path, delta_frame(), without=("book",))
    (seed,) = (gate for gate in result.gates if gate.name == "seed")
    assert (seed.value, seed.passed, seed.severity) == (0, False, Severity.WARN)
    assert result.report["verdict"] == "go"
    assert result.report["recommendation"]["seeding"] == "cold"


@pytest.mark.parametrize(("step", "covered"), [(86_400 * 10**9 // 30, 29 / 30), (86_400 * 10**9 // 29, 1.0)])
def test_day_coverage_is_the_share_of_the_day_between_first_and_last(
    tmp_path: Path, step: int, covered: float
) -> None:
    """Less than 99 % of the day is a warning; times outside the day do not make up for it."""
    moved = (pl.col("sequence_number") - 1_000) // 7 * step + START_NS
    frame = delta_frame().with_columns(
        moved.alias("timestamp"), (moved + 4_000_000).alias("receipt_timestamp")
    )
    early = (
        pl.when(pl.int_range(pl.len()) == 0).then(pl.col("timestamp") - 10**12).otherwise(pl.col("timestamp"))
    )
    result = assessed(tmp_path, frame.with_columns(early.alias("timestamp")))
    (coverage,) = (gate for gate in result.gates if gate.name == "day_coverage")
    assert coverage.value == pytest.approx(covered)
    assert (coverage.passed, coverage.severity) == (covered == 1.0, Severity.WARN)


def test_off_grid_trades_count(tmp_path: Path) -> None:
    """Accepted by the settings, but a no-go all the same."""
    trades = trade_frame().with_columns(pl.col("price") + 1e-10)
    result = assessed(tmp_path, delta_frame(), trades=trades, sources={"max_off_grid_rows": 1_000})
    (off_grid,) = (gate for gate in result.gates if gate.name == "off_grid")
    assert (off_grid.value, off_grid.passed) == (len(trades), False)


STRAY = {
    "a stray digit among quarters": (1, 1 / 3),
    "a stray digit among sizes beyond 8 decimals": (10**10, 1 / 3),
    "a size that no pips hold": (1, 1e17),
}


@pytest.mark.parametrize("case", STRAY)
def test_one_value_that_moves_a_day_to_decimals_is_shown(tmp_path: Path, case: str) -> None:
    """A warning with the count, 1, and the value; a day that was set to decimals has no such warning."""
    factor, value = STRAY[case]
    at = pl.int_range(pl.len()) == 5
    frame = delta_frame().with_columns(
        pl.when(at).then(value).otherwise(pl.col("size") * factor).alias("size")
    )
    result = assessed(tmp_path / "auto", frame)
    (rule,) = (gate for gate in result.gates if gate.name == "decimals")
    assert (rule.value, rule.passed, rule.severity) == (1, False, Severity.WARN)
    assert rule.note.endswith(f"; the first: 1.parquet: column size, row 5: {value!r}")
    text = (tmp_path / "auto/store/data_assessment" / KEY.path / "report.md").read_text()
    assert f"0 prices and 1 sizes need it, the first: 1.parquet: column size, row 5: {value!r}" in text
    wished = assessed(tmp_path / "wished", frame, instrument={"precision": "decimal128"})
    assert "decimals" not in failed(wished.gates)
    assert wished.report["precision"]["sizes_beyond_pips"] == 1


@pytest.mark.parametrize(("tick", "wrong"), [("0.25", 0), ("1", 1)])
def test_configured_increments_are_held_against_the_data(tmp_path: Path, tick: str, wrong: int) -> None:
    """A configured tick that prices are no multiples of is a no-go; the report shows both."""
    result = assessed(tmp_path, delta_frame(), tick=tick)
    (increments,) = (gate for gate in result.gates if gate.name == "increments")
    assert (increments.value, increments.passed, increments.severity) == (wrong, not wrong, Severity.ERROR)
    text = (tmp_path / "store/data_assessment" / KEY.path / "report.md").read_text()
    assert (
        "Tick 0.5 (detected; contradicts the configured 1)" if wrong else "Tick 0.25 (configured)"
    ) in text


def test_the_report_reads_well(tmp_path: Path) -> None:
    """Verdict first, each rule with value, gate and meaning, the span in UTC."""
    result = assessed(tmp_path, delta_frame())
    text = (tmp_path / "store/data_assessment" / KEY.path / "report.md").read_text()
    assert text.startswith(f"# TEST:ABC-USD 2024-01-02: {result.report['verdict']}\n")
    for gate in result.gates:
        assert f"| {gate.name} |" in text
    assert "2024-01-02T00:00:00.000000000Z" in text
    assert result.report["audit"]["first_origin_time"] == START_NS


def test_a_change_of_the_tick_is_a_warning_that_says_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves, then quarters: rule, report and Markdown name the first message of the piece with the new step."""
    monkeypatch.setattr(table_reader, "PIECE_ROWS", 20)
    frame = delta_frame(60)
    row = pl.int_range(pl.len())
    finer = pl.when((row >= 80) & (row % 2 == 0)).then(0.25).otherwise(0.0)
    result = assessed(tmp_path, frame.with_columns(pl.col("price") + finer))
    (rule,) = (gate for gate in result.gates if gate.name == "tick_changes")
    assert (rule.value, rule.passed, rule.severity) == (1, False, Severity.WARN)
    (change,) = result.report["precision"]["tick_changes"]
    assert (change["from"], change["to"]) == ("0.5", "0.25")
    assert change["sequence_number"] == frame["sequence_number"][80]
    text = (tmp_path / "store/data_assessment" / KEY.path / "report.md").read_text()
    assert f"the tick changes from 0.5 to 0.25 at {change['at']}" in text


def test_crossed_snapshots_have_a_rule_of_their_own(tmp_path: Path) -> None:
    """The share of `book` that is crossed, apart from other defects."""
    row = pl.int_range(pl.len())
    bid, ask = (
        pl.when(row == at).then(value).otherwise(pl.col(name)).alias(name)
        for at, value, name in ((1, 110.0, "bid_0_price"), (3, -1.0, "ask_0_size"))
    )
    result = assessed(tmp_path, delta_frame(), book_frame().with_columns(bid, ask))
    values = {gate.name: gate.value for gate in result.gates}
    assert (values["book_crossed"], values["snapshots_sound"]) == (0.2, 0.6)


def test_partitions_of_earlier_code_are_still_judged(tmp_path: Path) -> None:
    """Deltas published before changes of the tick were looked for have none."""
    result = assessed(tmp_path, delta_frame())
    settings = load_settings(tmp_path / "settings.toml")
    store = DataStore(settings.data_root)
    old = store.manifest("raw_deltas", KEY)
    deltas = store.table("raw_deltas", KEY)
    with store.write("raw_deltas", KEY) as writer:
        writer.parquet("deltas.parquet", deltas.schema).write(deltas)
        writer.metadata.update({k: v for k, v in old.metadata.items() if k != "tick_changes"})
    assert DataAssessor(store, settings).run(KEY).report["rules"] == result.report["rules"]


def test_a_gap_report_of_earlier_code_is_named(tmp_path: Path) -> None:
    """It lacks what is asked for now: which, where, and what to do, and the assessment there was stays."""
    before = assessed(tmp_path, delta_frame()).manifest
    settings = load_settings(tmp_path / "settings.toml")
    store = DataStore(settings.data_root)
    report = store.report("sequence_gap_report", KEY)
    del report["snapshots_crossed"]
    gaps = store.table("sequence_gap_report", KEY)
    with store.write("sequence_gap_report", KEY) as writer:
        writer.json("report.json", report)
        writer.parquet("gaps.parquet", gaps.schema).write(gaps)
    with pytest.raises(PartitionCorruptError, match=r"without snapshots_crossed.*Make sequence_gap_report"):
        DataAssessor(store, settings).run(KEY)
    assert store.manifest("data_assessment", KEY) == before
