"""A day judged from its files: by sample as by every row, on sound and broken days, on recordings and on bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.assess import (
    DataAssessor,
    GapReporter,
    LakeAssessor,
    lake_assessor,
    lake_day,
    summarise_range,
)
from order_book_platform.assess.day_report import assessment_markdown
from order_book_platform.assess.lake_assessor import unreadable_report
from order_book_platform.assess.lake_day import PIECES
from order_book_platform.assess.rules import RULES
from order_book_platform.clock import iso_from_ns
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
from order_book_platform_tests.assess.test_data_assessor import CASES
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import (
    KEY,
    START_NS,
    at,
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


@pytest.mark.parametrize("groups", [1, 2, 3, 7, 12])
def test_figures_of_a_whole_sample_are_those_of_the_full_scan(tmp_path: Path, groups: int) -> None:
    """Audit, clocks, precision and rules agree where the sample is everything, in however many row groups it lies."""
    frame = delta_frame(200)
    assessor = LakeAssessor(in_groups(tmp_path, frame, -(-len(frame) // groups)))
    sampled, full = assessor.sampled(KEY), assessor.full(KEY)
    assert sampled["availability"]["book_delta_v2"]["row_groups"] == groups
    assert sampled["gaps"]["n"] == 200
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
    for name, value in full["coverage"].items():
        assert sampled["coverage"][name] == value
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
    so_far = " so far" if sampled else ""
    assert f"The validation gate (gap_ratio, origin_coverage, memory) holds{so_far}." in text
    assert ("- Not looked for: crossed, disagreement: it takes --full" in text) is sampled
    assert ("crossed books and disagreement need --full" in text) is sampled
    assert ("- Sample: 100.00% of the deltas, all of the day" in text) is sampled
    assert f"| duplicates | 0 | <= 0.001 | yes | {basis} |" in text
    assert "- Clock: no skew: 1 window(s) with enough messages are too few" in text


def test_rules_without_a_figure_are_printed(tmp_path: Path) -> None:
    """Nobody has to compare lists to see what was not judged."""
    settings = lake(tmp_path)
    (tmp_path / "lake/book" / KEY.path / "1.parquet").unlink()
    text = assessment_markdown(LakeAssessor(settings).sampled(KEY))
    assert "- Rules without a figure: snapshots_sound, book_crossed" in text


def test_a_sample_says_which_stretch_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of one row group it is the begin alone, and whoever reads the report is told so."""
    monkeypatch.setattr(lake_day, "DELTA_SAMPLE_ROWS", 1_500)
    frame = delta_frame(2_000)
    report = LakeAssessor(in_groups(tmp_path, frame, 10**6)).sampled(KEY)
    sample = report["sample"]
    assert (sample["n"], sample["whole"], sample["reaches_end"]) == (1_500, False, False)
    assert sample["share_of_rows"] == 1_500 / len(frame)
    last = frame["timestamp"][1_499]
    assert sample["stretches"] == [["2024-01-02T00:00:00.000000000Z", iso_from_ns(last)]]
    assert sample["unseen_at_end_s"] == (frame["timestamp"].max() - last) / SECOND
    assert "s of the day were not sampled: use --full**" in assessment_markdown(report)
    spread = LakeAssessor(in_groups(tmp_path, frame, 50)).sampled(KEY)["sample"]
    assert (len(spread["stretches"]), spread["reaches_end"]) == (PIECES, True)


def test_groups_that_go_back_leave_gaps_unmeasured(tmp_path: Path) -> None:
    """The neighbours of a message may lie where nobody looked: what seems lost is not, and the day is not refused."""
    frame = delta_frame(2_000)
    number = (pl.col("sequence_number") - 1_000) // 7
    odd = pl.concat([frame.filter(number % 2 == 0), frame.filter(number % 2 == 1)])
    book = book_frame(50).with_columns(pl.col("sequence_number") + 7 * (pl.int_range(pl.len()) % 2))
    settings = lake(tmp_path, book=book)
    path = tmp_path / "lake/book_delta_v2" / KEY.path / "1.parquet"
    pq.write_table(odd.to_arrow(), path, row_group_size=50)
    report = LakeAssessor(settings).sampled(KEY)
    assert {"gap_ratio", "proven_losses"} <= set(report["unmeasured"])
    assert report["gaps"]["gaps"] == 0
    assert report["gaps"]["inferred_gap_ratio"] is None
    assert not report["validation_gate"]["passed"]
    assert report["verdict"] == "go"
    (rule,) = (rule for rule in report["rules"] if rule["name"] == "unsorted")
    # the group in which the numbers begin anew, and the one behind it
    assert (rule["value"], rule["basis"], rule["passed"]) == (2, "statistics", False)
    assert rule["n"] == report["availability"]["book_delta_v2"]["row_groups"]
    assert LakeAssessor(settings).full(KEY)["gaps"]["by_cause"].get("unseen_snapshot", 0) == 0


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


def with_hole(row: int, seconds: int = 60) -> pl.DataFrame:
    """Messages, from the one of a row on so much later."""
    frame = delta_frame(2_000)
    later = pl.col("sequence_number") >= frame["sequence_number"][row]
    shift = pl.when(later).then(seconds * SECOND).otherwise(0)
    return frame.with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)


@pytest.mark.parametrize("row", [1_000, 1_025])
@pytest.mark.parametrize("rows", [50, 2_000, 10**6])
def test_a_silence_is_seen_wherever_it_is(tmp_path: Path, row: int, rows: int) -> None:
    """Between row groups and inside one that is not sampled, and counted as by the full scan."""
    assessor = LakeAssessor(in_groups(tmp_path, with_hole(row), rows))
    reports = [assessor.sampled(KEY), assessor.full(KEY)]
    rules = [{rule["name"]: rule for rule in each["rules"]} for each in reports]
    assert [each["origin_coverage"]["passed"] for each in rules] == [False, False]
    assert rules[0]["origin_coverage"]["basis"] == "full"
    assert rules[0]["origin_coverage"]["value"] == pytest.approx(
        rules[1]["origin_coverage"]["value"], abs=1e-9
    )
    assert [each["gaps"]["by_cause"]["silence"] for each in reports] == [1, 1]
    for each in reports:
        assert each["gaps"]["distribution"]["duration_s"]["longest"] == pytest.approx(60.1)
    assert [each["verdict"] for each in reports] == ["no-go", "no-go"]


def test_the_last_group_of_one_row_hides_no_silence(tmp_path: Path) -> None:
    """A group of one row has no span; a hole in another group is found all the same."""
    frame = with_hole(1_025)[:4_001]
    report = LakeAssessor(in_groups(tmp_path, frame, 50)).sampled(KEY)
    assert report["coverage"]["silences_in_all"] == 1
    assert "origin_coverage" in failed(report)
    assert "1 silence, one of 60.1 s" in assessment_markdown(report)


def test_a_tiny_last_piece_changes_no_tick(tmp_path: Path) -> None:
    """A few prices share a coarser step by chance; pieces of as few rows say nothing of the step."""
    frame = delta_frame(2_000)
    frame = frame[: len(frame) // 50 * 50]
    last = frame[-1:].with_columns(pl.lit(96.0).alias("price"))
    report = LakeAssessor(in_groups(tmp_path, pl.concat([frame, last]), 50)).sampled(KEY)
    assert report["precision"]["tick_changes"] == []


def test_the_tick_of_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves in the first half of the day, eighths in the second: a warning that says when."""
    monkeypatch.setattr(lake_assessor, "PIECE_ROWS", 50)
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
    frame = at(5, "size", 1e17)(delta_frame())
    report = LakeAssessor(lake(tmp_path, frame)).sampled(KEY)
    assert report["precision"]["chosen"] == "decimal128"
    assert report["precision"]["sizes_beyond_pips"] == 1
    assert "decimals" in failed(report)
    assert "size, row 5: 1e+17" in assessment_markdown(report)


def test_configured_pips_that_are_too_small_are_refused(tmp_path: Path) -> None:
    """As by the ingest: nobody is told go where a run would be refused."""
    frame = at(5, "size", 1e17)(delta_frame())
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
        lambda path: at(7, "price", None)(delta_frame()).write_parquet(path),
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


def spoiled(column: str, row: int, value: object) -> pl.DataFrame:
    """Messages of which one row holds something else; a function is applied to what it held."""
    return at(row, column, value(pl.col(column)) if callable(value) else value)(delta_frame(2_000))


UNSEEN: dict[str, tuple[str, object, str]] = {
    "a null": ("timestamp", None, "nulls in timestamp (1)"),
    "a negative price": ("price", -5.0, "prices down to -5"),
    "a negative size": ("size", -0.5, "sizes down to -0.5"),
    "an infinite size": ("size", float("inf"), "sizes up to inf"),
    "five days later": (
        "timestamp",
        lambda column: column + 5 * 86_400 * SECOND,
        "times of another day in timestamp",
    ),
    "an arrival of 0": ("receipt_timestamp", 0, "times of another day in receipt_timestamp"),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_a_sample_is_never_more_lenient_than_its_footers(tmp_path: Path, case: str) -> None:
    """What a row group shows in the footer forbids the day in both, although no row of the group was sampled."""
    column, value, words = UNSEEN[case]
    settings = in_groups(tmp_path, spoiled(column, 1_025, value), 50)
    report = LakeAssessor(settings).sampled(KEY)
    (summary,) = summarise_range(settings, [KEY.instrument], [KEY.day])
    assert (report["verdict"], summary.verdict) == ("no-go", "no-go")
    assert "impossible" in failed(report)
    (rule,) = (rule for rule in report["rules"] if rule["name"] == "impossible")
    assert rule["basis"] == "statistics"
    assert words in rule["note"]
    assert words in summary.why


def test_impossible_trades_and_snapshots_are_named_by_their_table(tmp_path: Path) -> None:
    """They are refused by the ingest as well; a missing level of a snapshot is not."""
    book = book_frame().with_columns(pl.lit(None, pl.Float64).alias("bid_0_price"))
    settings = lake(tmp_path, book=book)
    (summary,) = summarise_range(settings, [KEY.instrument], [KEY.day])
    assert summary.verdict == "go"
    trades = trade_frame().with_columns(pl.col("amount") * 0)
    trades.write_parquet(tmp_path / "lake/trades" / KEY.path / "1.parquet")
    (summary,) = summarise_range(settings, [KEY.instrument], [KEY.day])
    assert (summary.verdict, summary.why) == ("no-go", "trades: amounts down to 0")


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


@pytest.mark.parametrize(
    ("kind", "verdict"), [(SourceMissingError, "missing"), (SourceCorruptError, "damaged")]
)
@pytest.mark.parametrize("scan", ["full", "sample"])
def test_what_ended_the_scan_is_told(kind: type[OrderBookPlatformError], verdict: str, scan: str) -> None:
    """A day without files is missing, any other is damaged; the error is told as text and in parts."""
    error = kind(expected="a file", found="none", where="here", remedy="Fetch it.")
    report = unreadable_report(KEY, error, scan)
    assert (report["verdict"], report["scan"], report["day"]) == (verdict, scan, "2024-01-02")
    assert report["why"].startswith(f"{kind.__name__}: here: expected a file, found none")
    assert report["error"] == {
        "class": kind.__name__,
        "expected": "a file",
        "found": "none",
        "where": "here",
        "remedy": "Fetch it.",
    }
