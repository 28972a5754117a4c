"""A day out of a raw log of many segments: only those that matter are read, and what comes out is that of all rows."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND
from order_book_platform.errors import LogCorruptError
from order_book_platform.model import PartitionKey
from order_book_platform.sources.binance.captured_day import WARM_UP_NS, CapturedDay
from order_book_platform.sources.binance.depth_merge import DepthGap
from order_book_platform.sources.binance.market import USDM
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform.sources.binance.raw_segments import RawSegments, shaping_rows
from order_book_platform.storage import LogWriter
from order_book_platform.storage.log.segments import first_rows, sealed_path
from order_book_platform_tests.sources.binance.raw_rows import START_NS, RawRows, depth

KEY = PartitionKey.parse("BINANCE_FUTURES:BTC-USDT-PERP", "2024-08-09")
STREAMS = ["btcusdt@depth@100ms", "btcusdt@bookTicker"]
HOUR_NS = 3_600 * NS_PER_SECOND


def days_of_rows(random: Random, days_before: int = 4) -> RawRows:
    """Several days of a capture up to an hour behind the day: rotations, kills, losses, a clock that is set back."""
    rows = RawRows(now_ns=START_NS - days_before * NS_PER_DAY)
    connections: list[int] = []
    opened, last_id, rules_ns = 0, 0, 0
    while rows.now_ns < START_NS + NS_PER_DAY + HOUR_NS:
        if rows.now_ns - rules_ns > NS_PER_DAY:
            rows.rules(tick=random.choice(["0.10", "0.10", "0.01"]))
            rules_ns = rows.now_ns
        if not connections or random.random() < 0.1:
            opened += 1
            rows.connect(opened, random.choice([STREAMS, STREAMS[1:]]))
            if opened % 3 == 0:
                sent = {"method": "SUBSCRIBE", "params": STREAMS[:1], "id": 1}
                rows.add("subscribe", connection=opened, detail={"sent": json.dumps(sent)})
            connections.append(opened)
        if random.random() < 0.05:
            rows.add("gap", detail={"why": "killed", "streams": []})
            connections.clear()
            continue
        if len(connections) > 2 or random.random() < 0.05:
            rows.close(connections.pop(0))
            continue
        if random.random() < 0.05:
            rows.add("gap", detail={"why": "buffer_full", "streams": [], "dropped": 1})
        for _ in range(random.randint(1, 4)):
            first = last_id + 1 if random.random() < 0.8 else last_id + 5
            last_id = first + random.randint(0, 3)
            event_ms = rows.now_ns // 10**6
            message = depth(first, last_id, first - 1, [["1.0", f"{last_id % 7}"]], event_ms=event_ms)
            rows.message(random.choice(connections), message)
        pause_ns = random.choice([NS_PER_SECOND, 20 * NS_PER_SECOND, HOUR_NS, 3 * HOUR_NS])
        rows.now_ns += pause_ns if random.random() < 0.95 else -30 * NS_PER_SECOND
    rows.add("clock", detail={"offset_ns": 0})
    return rows


def written(folder: Path, rows: RawRows, cuts: list[int], *, seal: bool = True) -> Path:
    """Write rows to a raw log with a segment between each two cuts."""
    with LogWriter(folder, rows.batch().schema, row_group_rows=5) as writer:
        for start, stop in itertools.pairwise(sorted({0, *cuts, len(rows.rows)})):
            writer.append(rows.batch(start, stop))
            if seal or stop < len(rows.rows):
                writer.rotate()
    return folder


def lines(decoded: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of each dataset, whatever batches they came in."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, rows in decoded:
        found.setdefault(name, []).extend((rows.to_arrow() if name == "raw_deltas" else rows).to_pylist())
    return found


def wanted(rows: RawRows) -> tuple[dict[str, Any], list[dict[str, Any]], list[DepthGap]]:
    """The report, the deltas and the gaps of the day, by a decoder told of all rows; no connection is a day old."""
    decoder, batch = RawLogDecoder(USDM, [KEY.instrument.key]), rows.batch()
    times = np.maximum.accumulate([row["received_time"] for row in rows.rows])
    begin, end = np.searchsorted(times, [START_NS - WARM_UP_NS, START_NS + NS_PER_DAY + WARM_UP_NS])
    before = shaping_rows(batch.slice(0, begin), 0)
    oldest_ns = START_NS - WARM_UP_NS - 25 * HOUR_NS
    opening = ("connect", "subscribe")
    decoder.skim(
        each for each in before if each[1]["kind"] not in opening or each[1]["received_time"] >= oldest_ns
    )
    parts = decoder.feed(batch.slice(begin, end - begin), int(begin)) + decoder.finish()
    deltas = [row for part in parts for each in part.deltas for row in each.to_arrow().to_pylist()]
    latest = np.maximum.accumulate([row["received_time"] for row in deltas]) if deltas else np.array([])
    chosen = [
        row for row, time in zip(deltas, latest, strict=True) if START_NS <= time < START_NS + NS_PER_DAY
    ]
    gaps = [gap for part in parts for gap in part.gaps]
    end_ns = START_NS + NS_PER_DAY
    return decoder.report(), chosen, [gap for gap in gaps if START_NS <= gap.received_ns < end_ns]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 1), max_size=30), st.booleans())
def test_segments_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, places: list[float], seal: bool
) -> None:
    """Rules and connections of days before shape the day as if every row of the log had been read."""
    rows = days_of_rows(Random(seed))
    cuts = [int(place * len(rows.rows)) for place in places]
    folder = written(tmp_path_factory.mktemp("day") / "raw", rows, cuts, seal=seal)
    day = CapturedDay(RawSegments.of(folder), USDM, KEY)
    found = lines(day.decode())
    report, deltas, gaps = wanted(rows)
    assert day.gaps == gaps
    assert found.get("raw_deltas", []) == deltas
    own = day.report()
    assert own["recorder_gaps"] == report["recorder_gaps"]
    assert own["instrument"] == report["instruments"].get(KEY.instrument.key, {})
    assert own["complete"]


def quiet_days(days: int) -> RawRows:
    """Days with rules, a rotation and some messages each; the log ends forty minutes behind the day."""
    rows, final = RawRows(now_ns=START_NS - days * NS_PER_DAY), 0
    for day in range(days + 2):
        rows.now_ns = START_NS + (day - days) * NS_PER_DAY
        rows.rules()
        rows.connect(day + 1, STREAMS)
        if day:
            rows.close(day)
        for _ in range(60 if day <= days else 40):
            final += 1
            event_ms = rows.now_ns // 10**6
            rows.message(day + 1, depth(final, final, final - 1, [["1.0", f"{final}"]], event_ms=event_ms))
            rows.now_ns += 24 * 60 * NS_PER_SECOND if day <= days else 60 * NS_PER_SECOND
    return rows


@pytest.mark.parametrize("days", [3, 6])
def test_only_segments_that_matter_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Messages are read of the day and its edges only, and kinds of rows no further back than a connection lives."""
    rows = quiet_days(days)
    folder = written(tmp_path / "raw", rows, list(range(0, len(rows.rows), 10)))
    segments = RawSegments.of(folder)
    read = pq.ParquetFile.read_row_group
    begun_ns: dict[str, set[int]] = {"messages": set(), "kinds": set()}

    def noted(self: Any, group: int, columns: list[str] | None = None) -> Any:
        table = read(self, group, columns=columns)
        if "received_time" in table.column_names:
            what = "messages" if columns is None else "kinds"
            begun_ns[what].add(table.column("received_time")[0].as_py())
        return table

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    day = CapturedDay(segments, USDM, KEY)
    assert len(lines(day.decode())["raw_deltas"]) == 60
    segment_ns = 10 * 24 * 60 * NS_PER_SECOND
    assert min(begun_ns["messages"]) >= START_NS - WARM_UP_NS - segment_ns
    # A row group behind the end tells that this is the end; the log goes on for forty minutes.
    assert max(begun_ns["messages"]) < START_NS + NS_PER_DAY + WARM_UP_NS + HOUR_NS // 6
    assert START_NS - NS_PER_DAY - HOUR_NS - 2 * segment_ns < min(begun_ns["kinds"]) < START_NS - HOUR_NS


@pytest.mark.parametrize("seal", [True, False])
def test_a_front_that_is_not_needed_may_go(tmp_path: Path, seal: bool) -> None:
    """Without the days before the last two, report, digest and rows are the same."""
    rows = quiet_days(5)
    found = []
    for keep_days in (9, 2):
        folder = written(tmp_path / f"raw{keep_days}", rows, list(range(0, len(rows.rows), 7)), seal=seal)
        edge_ns = START_NS - keep_days * NS_PER_DAY
        for row in first_rows(folder):
            if rows.rows[min(row + 7, len(rows.rows) - 1)]["received_time"] < edge_ns:
                sealed_path(folder, row).unlink()
        day = CapturedDay(RawSegments.of(folder), USDM, KEY)
        found.append((lines(day.decode()), day.report(), day.digest))
    assert found[0] == found[1]
    assert len(first_rows(tmp_path / "raw2")) < len(first_rows(tmp_path / "raw9"))
    assert found[0][1]["recorder_gaps"] == []


def test_a_front_that_is_missing_is_a_gap(tmp_path: Path) -> None:
    """A day that began in removed segments says so: a gap with the number of the rows that nobody knows."""
    rows = quiet_days(2)
    folder = written(tmp_path / "raw", rows, list(range(0, len(rows.rows), 7)))
    removed = [row for row in first_rows(folder) if rows.rows[row]["received_time"] < START_NS + HOUR_NS]
    for row in removed:
        sealed_path(folder, row).unlink()
    day = CapturedDay(RawSegments.of(folder), USDM, KEY)
    decoded = lines(day.decode())
    assert decoded == {}  # nor are there rules in what is left of the day
    (gap,) = day.report()["recorder_gaps"]
    kept = first_rows(folder)[0]
    assert (gap["row"], gap["why"], gap["rows"]) == (kept, "removed", kept)


def test_a_hole_is_damage(tmp_path: Path) -> None:
    """A segment that is gone from between those whose rules and connections are needed is no front."""
    rows = quiet_days(3)
    folder = written(tmp_path / "raw", rows, list(range(0, len(rows.rows), 7)))
    edge_ns = START_NS - HOUR_NS
    ends = {row: rows.rows[min(row + 7, len(rows.rows) - 1)] for row in first_rows(folder)}
    gone = max(row for row, end in ends.items() if end["received_time"] < edge_ns)
    shutil.copytree(folder, tmp_path / "whole")
    sealed_path(folder, gone).unlink()
    with pytest.raises(LogCorruptError, match=f"from row {gone} on"):
        list(CapturedDay(RawSegments.of(folder), USDM, KEY).decode())
    assert list(CapturedDay(RawSegments.of(tmp_path / "whole"), USDM, KEY).decode())
