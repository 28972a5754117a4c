"""A day judged from its files: by sample as by every row, on sound and broken days, on recordings and on bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.assess import DataAssessor, GapReporter, LakeAssessor
from order_book_platform.assess.lake_day import PIECES
from order_book_platform.assess.markdown import assessment_markdown
from order_book_platform.assess.rules import RULES
from order_book_platform.errors import (
    FixedPointRangeError,
    OrderBookPlatformError,
    SourceAccessError,
    SourceCorruptError,
    SourceEmptyError,
    SourceMissingError,
    SourceSchemaError,
    SourceValueError,
)
from order_book_platform.model import PartitionKey
from order_book_platform.settings import Settings, load_settings
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.assess.test_assessor import CASES
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import (
    KEY,
    START_NS,
    book_frame,
    delta_frame,
    trade_frame,
    write_lake,
    write_settings,
)

SECOND = 10**9


def lake(
    folder: Path, deltas: pl.DataFrame | None = None, book: pl.DataFrame | None = None, **sections: object
) -> Settings:
    """Settings over a small lake."""
    write_lake(
        folder / "lake",
        KEY,
        delta_frame() if deltas is None else deltas,
        book_frame() if book is None else book,
        trade_frame(),
    )
    return load_settings(write_settings(folder, keys=[KEY], **sections))


def failed(report: dict[str, Any]) -> set[str]:
    """Names of the rules that do not hold."""
    return {rule["name"] for rule in report["rules"] if not rule["passed"]}


def in_groups(folder: Path, frame: pl.DataFrame, rows: int) -> Settings:
    """A small lake whose deltas lie in row groups of so many rows."""
    settings = lake(folder)
    path = folder / "lake/book_delta_v2" / KEY.path / "1.parquet"
    pq.write_table(frame.to_arrow(), path, row_group_size=rows)
    return settings


@pytest.mark.parametrize("rule", CASES)
def test_a_sample_fails_what_the_whole_fails(tmp_path: Path, rule: str) -> None:
    """A day that is small enough to be sampled wholly gets the same verdict from the sample."""
    change, verdict = CASES[rule]
    assessor = LakeAssessor(lake(tmp_path, change(delta_frame()), sources={"max_off_grid_rows": 1_000}))
    sampled = assessor.sampled(KEY)
    assert rule in failed(sampled)
    if verdict:
        assert sampled["verdict"] == assessor.full(KEY)["verdict"] == verdict


def test_figures_of_a_whole_sample_are_those_of_the_full_scan(tmp_path: Path) -> None:
    """Audit, clocks, precision and rules agree where the sample is everything."""
    assessor = LakeAssessor(lake(tmp_path))
    sampled, full = assessor.sampled(KEY), assessor.full(KEY)
    for section in ("audit", "clocks", "rate"):
        measured = {name: value for name, value in full[section].items() if name != "basis"}
        assert {name: sampled[section][name] for name in measured} == measured
    for table, there in full["availability"].items():
        names = (
            "available",
            "rows",
            "files",
            "bytes",
            *(("first_time",) if table == "book_delta_v2" else ()),
        )
        assert {name: sampled["availability"][table][name] for name in names} == {
            name: there[name] for name in names
        }
    for name in ("first_time", "last_time", "day_coverage", "holes_in_all"):
        assert sampled["coverage"][name] == full["coverage"][name]
    for name in ("tick", "lot", "price_decimals", "size_decimals", "chosen"):
        assert sampled["precision"][name] == full["precision"][name]
    values = [
        {rule["name"]: (rule["value"], rule["gate"]) for rule in each["rules"]} for each in (sampled, full)
    ]
    assert {name: each for name, each in values[0].items() if name != "gap_ratio"}.items() <= values[
        1
    ].items()


def test_the_full_scan_says_what_the_asset_says_and_leaves_nothing(tmp_path: Path) -> None:
    """The same report, byte for byte as JSON; no store appears."""
    settings = lake(tmp_path)
    report = LakeAssessor(settings).full(KEY)
    assert not settings.data_root.exists()
    store = DataStore(settings.data_root)
    for component in (LakeIngest, GapReporter, DataAssessor):
        component(store, settings).run(KEY)
    assert store.report("data_assessment", KEY) == report


@pytest.mark.parametrize(
    "report_of", [lambda each: each.sampled(KEY), lambda each: each.full(KEY)], ids=["sample", "full"]
)
def test_every_figure_says_what_it_is_from(
    tmp_path: Path, report_of: Callable[[LakeAssessor], dict[str, Any]]
) -> None:
    """Rules and sections have a basis; of a sample there is a count; rules without a figure are named."""
    report = report_of(LakeAssessor(lake(tmp_path)))
    for rule in report["rules"]:
        assert rule["basis"] in ("statistics", "sample", "full", "estimate")
        assert rule["n"] > 0
    sections = ("coverage", "rate", "precision", "audit", "trades", "gaps", "clocks", "estimate")
    parts = [report[name] for name in sections] + list(report["availability"].values())
    parts += [part for part in report["snapshots"].values() if isinstance(part, dict) and "rows" in part]
    for part in parts:
        assert part["basis"] in ("statistics", "sample", "full", "estimate")
        assert part["basis"] != "sample" or part.get("n", part.get("rows")) is not None
    assert {rule["name"] for rule in report["rules"]} | set(report["unmeasured"]) == set(RULES)
    assert report["validation_gate"] == {"rules": ["gap_ratio", "origin_coverage", "memory"], "passed": True}


@pytest.mark.parametrize("sampled", [True, False])
def test_markdown_of_both(tmp_path: Path, sampled: bool) -> None:
    """Verdict, every rule with its basis, the gate of the requirement, and the clock's skew or why there is none."""
    assessor = LakeAssessor(lake(tmp_path))
    report = assessor.sampled(KEY) if sampled else assessor.full(KEY)
    text = assessment_markdown(report)
    assert "messages/s of" in text
    assert "- Crossed rows of book: 0 (0.000%)" in text
    basis = f"sample of {len(delta_frame())}" if sampled else "full"
    assert text.startswith(f"# TEST:ABC-USD 2024-01-02: {report['verdict']}\n")
    assert "The validation gate (gap_ratio, origin_coverage, memory) holds." in text
    assert f"| duplicates | 0 | <= 0.001 | yes | {basis} |" in text
    assert "- Clock: no skew: 1 window(s) with enough messages are too few" in text


def whole_messages_in(frame: pl.DataFrame, count: int, rows: int) -> int:
    """Messages that lie wholly inside one of so many row groups spread over the frame, and are known to."""
    numbers, last = frame["sequence_number"].to_list(), -(-len(frame) // rows) - 1
    found = 0
    for group in np.linspace(0, last, count).round().astype(int).tolist():
        part = numbers[group * rows : (group + 1) * rows]
        found += len(set(part) - ({part[0]} if group else set()) - ({part[-1]} if group < last else set()))
    return found


def test_pieces_of_a_day_are_not_joined(tmp_path: Path) -> None:
    """Between pieces nothing is missing: no gap, no pause, and messages cut by a piece's ends are left out."""
    frame = delta_frame(2_000)
    report = LakeAssessor(in_groups(tmp_path, frame, 50)).sampled(KEY)
    assert report["gaps"]["gaps"] == 0
    assert report["clocks"]["longest_pause_ms"] == pytest.approx(100)
    assert report["clocks"]["origin_coverage"] == 1
    assert report["availability"]["book_delta_v2"]["row_groups"] > 100
    assert report["gaps"]["n"] == whole_messages_in(frame, PIECES, 50)
    assert report["rate"]["messages_per_s"] == pytest.approx(10)
    assert report["rate"]["messages_in_all"] == pytest.approx(2_000, rel=0.1)


@pytest.mark.parametrize(("row", "seen"), [(1_000, "statistics"), (1_025, None)])
def test_a_hole_is_seen_between_row_groups(tmp_path: Path, row: int, seen: str | None) -> None:
    """Exactly where one ends and the next begins, without being sampled; inside it makes the group thin."""
    frame = delta_frame(2_000)
    shift = pl.when(pl.int_range(pl.len()) >= row).then(60 * SECOND).otherwise(0)
    moved = frame.with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)
    report = LakeAssessor(in_groups(tmp_path, moved, 50)).sampled(KEY)
    (rule,) = (rule for rule in report["rules"] if rule["name"] == "origin_coverage")
    assert (rule["passed"], rule["basis"]) == ((False, "statistics") if seen else (True, "sample"))
    assert report["coverage"]["holes_in_all"] == (1 if seen else 0)
    assert len(report["coverage"]["thin_groups"]) == (0 if seen else 1)
    assert report["verdict"] == ("no-go" if seen else "go")


def test_the_tick_of_pieces(tmp_path: Path) -> None:
    """Halves in the first half of the day, eighths in the second: a warning that says when."""
    frame = delta_frame(2_000)
    finer = (pl.int_range(pl.len()) >= len(frame) // 2) * 0.125
    report = LakeAssessor(in_groups(tmp_path, frame.with_columns(pl.col("price") + finer), 50)).sampled(KEY)
    (change,) = report["precision"]["tick_changes"]
    assert (change["from"], change["to"]) == ("0.5", "0.125")
    assert "tick_changes" in failed(report)
    assert report["verdict"] == "go"


def test_crossed_rows_of_book_are_all_counted(tmp_path: Path) -> None:
    """Their share of rows and of time, and the longest spell; a book that is crossed too often is a warning."""
    book = book_frame().with_columns(
        pl.when(pl.int_range(pl.len()).is_in([1, 2]))
        .then(101.0)
        .otherwise(pl.col("bid_0_price"))
        .alias("bid_0_price")
    )
    assessor = LakeAssessor(lake(tmp_path, book=book))
    report, full = assessor.sampled(KEY), assessor.full(KEY)
    best = report["snapshots"]["best_prices"]
    assert full["snapshots"]["best_prices"].items() <= best.items()
    assert "2 (40.000%), the longest spell 1.200 s" in assessment_markdown(full)
    assert (best["rows"], best["crossed_rows"], best["crossed_share"]) == (5, 2, 0.4)
    assert (best["crossed_time_share"], best["longest_crossed_s"]) == (0.5, 1.2)
    assert "book_crossed" in failed(report)
    assert report["snapshots"]["levels"]["defects"] == {"crossed": 2}


def test_values_beyond_pips_are_judged_as_decimals(tmp_path: Path) -> None:
    """As the whole day would be: the sample is read as decimals, and the value is named."""
    frame = delta_frame().with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(1e17).otherwise(pl.col("size")).alias("size")
    )
    report = LakeAssessor(lake(tmp_path, frame)).sampled(KEY)
    assert report["precision"]["chosen"] == "decimal128"
    assert report["precision"]["sizes_beyond_pips"] == 1
    assert "decimals" in failed(report)
    assert "size, row 5: 1e+17" in assessment_markdown(report)


def test_configured_pips_that_are_too_small_are_refused(tmp_path: Path) -> None:
    """As by the ingest: nobody is told go where a run would be refused."""
    frame = delta_frame().with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(1e17).otherwise(pl.col("size")).alias("size")
    )
    with pytest.raises(FixedPointRangeError):
        LakeAssessor(lake(tmp_path, frame, instrument={"precision": "int64"})).sampled(KEY)


def test_a_day_without_book_or_trades(tmp_path: Path) -> None:
    """Only deltas are required; the seed is cold, and rules about snapshots have no figure."""
    settings = lake(tmp_path)
    for table in ("book", "trades"):
        (tmp_path / "lake" / table / KEY.path / "1.parquet").unlink()
    report = LakeAssessor(settings).sampled(KEY)
    assert report["recommendation"]["seeding"] == "cold"
    assert report["verdict"] == "go"
    assert {"snapshots_sound", "book_crossed"} <= set(report["unmeasured"])
    assert not report["availability"]["book"]["available"]


BAD: dict[str, tuple[Callable[[Path], object], type[OrderBookPlatformError], str]] = {
    "no deltas": (Path.unlink, SourceMissingError, "book_delta_v2 for TEST:ABC-USD"),
    "no rows": (delta_frame()[:0].write_parquet, SourceEmptyError, r"1\.parquet"),
    "a column is missing": (
        lambda path: delta_frame().drop("size").write_parquet(path),
        SourceSchemaError,
        "expected column size",
    ),
    "a column of another dtype": (
        lambda path: delta_frame().with_columns(pl.col("price").cast(pl.Float32)).write_parquet(path),
        SourceSchemaError,
        "column price",
    ),
    "no Parquet": (lambda path: path.write_bytes(b"gone"), SourceCorruptError, r"1\.parquet"),
    "a null": (
        lambda path: (
            delta_frame()
            .with_columns(pl.when(pl.int_range(pl.len()) != 7).then(pl.col("price")).alias("price"))
            .write_parquet(path)
        ),
        SourceValueError,
        "column price, row 7",
    ),
    "another day": (
        lambda path: (
            delta_frame().with_columns(pl.col("timestamp") + 3 * 86_400 * SECOND).write_parquet(path)
        ),
        SourceValueError,
        "within one day of 2024-01-02",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("full", [False, True])
def test_bad_input_is_named(tmp_path: Path, case: str, full: bool) -> None:
    """Both scans say which file, column and row, as the ingest does."""
    spoil, error, words = BAD[case]
    assessor = LakeAssessor(lake(tmp_path))
    spoil(tmp_path / "lake/book_delta_v2" / KEY.path / "1.parquet")
    with pytest.raises(error, match=words):
        assessor.full(KEY) if full else assessor.sampled(KEY)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never taken for a day without files."""
    assessor = LakeAssessor(lake(tmp_path))

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceAccessError, match="book_delta_v2"):
        assessor.sampled(KEY)


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_recordings(recordings: Path, tmp_path: Path, key: PartitionKey) -> None:
    """The recorder's skew, no gap, sound snapshots, the exchange's tick; times of the next day do not hide a thing."""
    path = write_settings(tmp_path, lake_root=str(recordings / "lake"), keys=[key])
    report = LakeAssessor(load_settings(path)).sampled(key)
    assert report["clocks"]["skew_ms"] == pytest.approx(-1_270, abs=20)
    assert report["clocks"]["drift_ppm"] == pytest.approx(-5, abs=2)
    assert (report["gaps"]["gaps"], report["gaps"]["reconnects"]["count"]) == (0, 0)
    assert report["snapshots"]["best_prices"]["crossed_rows"] == 0
    assert report["precision"]["tick"] == {"BINANCE": "0.01"}.get(key.instrument.exchange, "0.1")
    assert failed(report) == {"day_coverage", "latency_negative"}
    assert (report["verdict"], report["validation_gate"]["passed"]) == ("go", True)


def test_start_is_the_days(tmp_path: Path) -> None:
    """Spans are of the deltas, in UTC."""
    report = LakeAssessor(lake(tmp_path)).sampled(KEY)
    assert report["coverage"]["first_time"] == "2024-01-02T00:00:00.000000000Z"
    assert report["audit"]["first_origin_time"] == START_NS
