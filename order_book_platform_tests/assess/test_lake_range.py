"""Ranges judged by footers: every verdict, what decided it, and days in order whatever the threads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.assess import DaySummary, summarise_range
from order_book_platform.assess.lake_range import (
    days_of,
    impossible_values,
)
from order_book_platform.assess.rules import RULES
from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.errors import SourceAccessError
from order_book_platform.model import PartitionKey
from order_book_platform.settings import Settings, load_settings
from order_book_platform.sources.day_survey import ParquetStatistics
from order_book_platform_tests.lake import (
    KEY,
    book_frame,
    delta_frame,
    trade_frame,
    write_lake,
    write_settings,
)

SECOND = 10**9
DELTAS = f"book_delta_v2/{KEY.path}/1.parquet"


def whole_day() -> pl.DataFrame:
    """Messages spread over the whole UTC day, half a minute apart."""
    moved = (pl.col("sequence_number") - 1_000) // 7 * 30 * SECOND
    start = delta_frame()["timestamp"][0]
    return delta_frame(2_880).with_columns(
        (start + moved).alias("timestamp"), (start + moved + 4_000_000).alias("receipt_timestamp")
    )


def lake(folder: Path, frame: pl.DataFrame | None = None, rows: int = 30) -> Settings:
    """Settings over a small lake; the deltas lie in row groups of so many rows."""
    write_lake(folder / "lake", KEY, delta_frame(), book_frame(), trade_frame())
    deltas = whole_day() if frame is None else frame
    pq.write_table(deltas.to_arrow(), folder / "lake" / DELTAS, row_group_size=rows)
    return load_settings(write_settings(folder, keys=[KEY], gaps={"silence": "31s", "recover_after": "5m"}))


def the_day(settings: Settings) -> DaySummary:
    """Of the one day there is."""
    (summary,) = summarise_range(settings, [KEY.instrument], [KEY.day])
    return summary


def shifted(after: int, seconds: int) -> pl.DataFrame:
    """The whole day, with a hole after so many rows."""
    shift = pl.when(pl.int_range(pl.len()) >= after).then(seconds * SECOND).otherwise(0)
    return whole_day().with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)


def test_a_sound_day(tmp_path: Path) -> None:
    """Go so far: rows of each table, the whole day covered, an estimate."""
    found = the_day(lake(tmp_path))
    assert (found.verdict, found.warnings, found.holes) == ("go", (), 0)
    assert found.rows == {"book_delta_v2": len(whole_day()), "book": 5, "trades": 10}
    assert found.coverage == pytest.approx(1, abs=0.001)
    assert found.estimate is not None
    assert found.to_dict()["basis"] == "statistics"


def test_a_short_day_takes_little_room(tmp_path: Path) -> None:
    """What goes by time is estimated by the span that the footers tell."""
    estimate = the_day(lake(tmp_path, delta_frame())).estimate
    assert estimate is not None
    assert estimate.disk_bytes < 10**6


@pytest.mark.parametrize(
    ("seconds", "verdict", "why"),
    [
        (200, "go", "every required rule"),
        (600, "go with repair", "1 gap"),
        (3_600, "no-go", "origin_coverage"),
    ],
)
def test_holes_decide(tmp_path: Path, seconds: int, verdict: str, why: str) -> None:
    """A short hole is counted, a longer one is to be repaired, and one of an hour is more than 1 % of the day."""
    found = the_day(lake(tmp_path, shifted(3_000, seconds)))
    assert (found.verdict, found.holes) == (verdict, 1)
    assert found.longest_hole_s == pytest.approx(seconds + 30, abs=30)
    assert why in found.why


def test_a_thin_row_group_is_a_warning(tmp_path: Path) -> None:
    """A hole inside a group is not known from the footers, but that the group lasts too long for its rows is."""
    found = the_day(lake(tmp_path, shifted(3_015, 3_600)))
    assert (found.verdict, found.holes, found.warnings) == ("go", 0, ("thin row groups",))


def spoiled(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    """Writes the deltas anew, changed."""
    return lambda path: change(whole_day()).write_parquet(path)


SPOILED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no file": (Path.unlink, "missing", "no book_delta_v2; there is book, trades"),
    "no Parquet": (lambda path: path.write_bytes(b"x"), "damaged", "SourceCorruptError"),
    "no rows": (spoiled(lambda frame: frame[:0]), "damaged", "SourceEmptyError"),
    "no such column": (spoiled(lambda frame: frame.drop("price")), "damaged", "expected column price"),
    "another dtype": (
        spoiled(lambda frame: frame.with_columns(pl.col("size").cast(pl.Int64))),
        "damaged",
        "column size",
    ),
    "nulls": (
        spoiled(
            lambda frame: frame.with_columns(pl.when(pl.col("size") > 0.3).then(pl.col("size")).alias("size"))
        ),
        "no-go",
        "nulls in size",
    ),
    "a price of nothing": (
        spoiled(lambda frame: frame.with_columns(pl.col("price") - 99)),
        "no-go",
        "prices down to",
    ),
    "a size below 0": (
        spoiled(lambda frame: frame.with_columns(pl.col("size") - 0.5)),
        "no-go",
        "sizes down to -0.5",
    ),
    "another day": (
        spoiled(lambda frame: frame.with_columns(pl.col("timestamp") + 3 * 86_400 * SECOND)),
        "no-go",
        "times of another day",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_bad_days_are_named_and_the_others_judged(tmp_path: Path, case: str) -> None:
    """One bad file makes its own day bad, with the reason, and stops nothing."""
    spoil, verdict, why = SPOILED[case]
    settings = lake(tmp_path)
    tomorrow = PartitionKey(KEY.instrument, KEY.day + timedelta(days=1))
    day = timedelta(days=1) // timedelta(microseconds=1) * 1_000
    later = [pl.col(name) + day for name in ("timestamp", "receipt_timestamp")]
    frames = [frame.with_columns(later) for frame in (whole_day(), book_frame(), trade_frame())]
    write_lake(tmp_path / "lake", tomorrow, *frames)
    spoil(tmp_path / "lake" / DELTAS)
    bad, good = summarise_range(settings, [KEY.instrument], [KEY.day, tomorrow.day])
    assert bad.verdict == verdict
    assert why in bad.why
    assert good.verdict == "go"


def test_what_else_is_missing_is_a_warning(tmp_path: Path) -> None:
    """Without book the seed is cold, without trades there is no trade flow: a day may go all the same."""
    settings = lake(tmp_path)
    for table in ("book", "trades"):
        (tmp_path / "lake" / table / KEY.path / "1.parquet").unlink()
    found = the_day(settings)
    assert found.verdict == "go"
    assert found.warnings == ("no book", "no trades")
    assert found.rows["book"] is None


def test_files_without_statistics_may_go(tmp_path: Path) -> None:
    """Rows are known, coverage is not, and nothing is made up."""
    settings = lake(tmp_path)
    pq.write_table(whole_day().to_arrow(), tmp_path / "lake" / DELTAS, write_statistics=False)
    found = the_day(settings)
    assert (found.verdict, found.coverage, found.holes) == ("go", None, 0)
    assert found.rows["book_delta_v2"] == len(whole_day())
    assert found.warnings == ("no statistics",)
    assert {"origin_coverage", "day_coverage", "unsorted", "gap_ratio"} <= set(found.unmeasured)


def test_rules_of_a_day(tmp_path: Path) -> None:
    """What was measured has figure and bar, in the JSON as in the reason; what was not is named."""
    found = the_day(lake(tmp_path, shifted(3_000, 3_600)))
    day = found.to_dict()
    (rule,) = (rule for rule in day["rules"] if rule["name"] == "origin_coverage")
    assert (rule["gate"], rule["basis"], rule["passed"]) == ("> 0.99", "statistics", False)
    assert found.why == f"required rules do not hold: origin_coverage {rule['value']:.6g} (> 0.99)"
    assert {each["name"] for each in day["rules"]} | set(day["unmeasured"]) == set(RULES)


@pytest.mark.parametrize("threads", [1, 7])
def test_days_come_in_order(tmp_path: Path, threads: int) -> None:
    """Symbol by symbol and day by day, however many threads look; progress ends with all of them."""
    settings = lake(tmp_path)
    days = list(days_of(date(2023, 12, 25), date(2024, 1, 5)))
    other = PartitionKey.parse("TEST:OTHER", "2024-01-02").instrument
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int, figures: object = None) -> None:
        told.append((stage, done, total))

    found = summarise_range(settings, [other, KEY.instrument], days, progress, threads)
    assert [(each.symbol, each.day) for each in found] == [
        (key, day) for key in ("TEST:OTHER", "TEST:ABC-USD") for day in days
    ]
    assert [each.verdict for each in found].count("go") == 1
    assert told[-1] == ("days", 24, 24)


def test_a_folder_that_may_not_be_read_is_no_missing_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the scan with the folder's name."""
    settings = lake(tmp_path)

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceAccessError, match="book_delta_v2"):
        the_day(settings)


def test_days_of_a_range() -> None:
    """Both ends included, over the end of a leap year's February."""
    assert [day.day for day in days_of(date(2024, 2, 28), date(2024, 3, 1))] == [28, 29, 1]


DAY = date(2024, 1, 2)
START = day_start_ns(DAY)
FIRST, LAST = "2024-01-02T00:00:00.000000000Z", "2024-01-04T00:00:00.000000000Z"


def footers(
    table: str = "book_delta_v2", nulls: dict[str, int] | None = None, **limits: list[float]
) -> dict[str, ParquetStatistics]:
    """Statistics of one row group with these limits."""
    arrays = {name: np.array([pair]) for name, pair in limits.items()}
    return {table: ParquetStatistics(table, 1, 100, np.array([10]), arrays, nulls or {})}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (footers(price=[1.0, 2.0], size=[0.0, 5.0], timestamp=[START, START + 1]), []),
        (footers(timestamp=[0, START]), []),
        (footers(nulls={"price": 2, "size": 0}), ["nulls in price (2)"]),
        (footers(price=[0.0, 2.0]), ["prices down to 0"]),
        (footers(size=[-0.5, 2.0]), ["sizes down to -0.5"]),
        (footers(price=[1.0, np.inf]), ["prices up to inf"]),
        (footers("trades", amount=[-0.0, 2.0]), ["trades: amounts down to 0"]),
        (
            footers("book", receipt_timestamp=[START, START + 2 * NS_PER_DAY]),
            [f"book: times of another day in receipt_timestamp: {FIRST} to {LAST}"],
        ),
    ],
)
def test_what_is_impossible_is_named(found: dict[str, ParquetStatistics], wanted: list[str]) -> None:
    """One phrase each; a size of 0 removes a level, an origin time of 0 is unknown, and both are possible."""
    assert impossible_values(DAY, found)[0] == wanted


def test_the_figure_counts_kinds_and_stands_on_row_groups() -> None:
    """Without any statistics there is no figure; without a find there is no note."""
    _, figure, note = impossible_values(DAY, footers(price=[0.0, 2.0], size=[-1.0, 2.0]))
    assert figure["impossible"][:2] == (2, 1)
    assert note == {"impossible": ": prices down to 0; sizes down to -1"}
    assert impossible_values(DAY, footers(price=[1.0, 2.0]))[2] == {}
    assert impossible_values(DAY, footers()) == ([], {}, {})
