"""The capture against `obp exchange` in a thread: what its ledger lists is in the log, or inside a recorded gap."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.capture_account import account, read_archive
from order_book_platform.capture import LiveCapture
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import LogReader
from order_book_platform_tests.capture.served import SYMBOLS, served

ROTATIONS = 50


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Rows of a raw log."""
    return [row for batch in LogReader(folder).read() for row in batch.batch.to_pylist()]


def breaks(rows: list[dict[str, Any]], has_pu: bool) -> Counter[str]:
    """Breaks of the chain of ids by depth stream, as the rows have them."""
    last: dict[str, int] = {}
    found: Counter[str] = Counter()
    for row in rows:
        if row["kind"] != "message" or row["binary"] or b"depthUpdate" not in row["payload"]:
            continue
        document = json.loads(row["payload"])
        name, data = document["stream"], document["data"]
        previous = data["pu"] if has_pu else data["U"] - 1
        if name in last and previous > last[name]:
            found[name] += 1
        last[name] = max(last.get(name, 0), data["u"])
    return found


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(
    "faults",
    [
        "",
        "disconnect@300,429=0.2/1s,duplicate=0.01,binary@50",
        "drop@7+15:depth,stale_snapshot=0.5/200ms,503=0.2",
    ],
)
def test_the_ledger_is_in_the_log_or_in_a_gap(market: str, faults: str, tmp_path: Path) -> None:
    """Per connection the log has what was sent, in order; each break of a chain has its gap, and no gap is false."""
    settings = CaptureSettings(clock_source="none")
    with served(market, faults) as (exchange, addresses):
        capture = LiveCapture(settings, tmp_path, MARKETS[market], SYMBOLS[market], **addresses)
        metrics = capture.run(lambda: capture.metrics().messages > 800, duration_ns=60 * NS_PER_SECOND)
        ledger = exchange.ledger.table().to_pylist()
    rows = recorded(capture.folder)
    assert metrics.rows == len(rows)
    assert metrics.dropped == 0
    sent: dict[int, list[str]] = defaultdict(list)
    for entry in ledger:
        if entry["kind"] == "message" and entry["fate"] == "sent":
            sent[entry["connection"]].append(entry["stream"])
    got: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "message":
            text = not row["binary"]
            got[row["connection"]].append(json.loads(row["payload"])["stream"] if text else "binary")
    for number, names in got.items():
        streams = [name for name in names if name != "binary"]
        assert streams == [name for name in sent[number] if name in set(streams)][: len(streams)]
    last_message = max(at for at, row in enumerate(rows) if row["kind"] == "message")
    gaps = Counter(  # without those of a connection that had just been lost when the capture was stopped
        name
        for row in rows[: last_message + 2]
        if row["kind"] == "gap"
        for name in json.loads(row["detail"])["streams"]
        if "@depth" in name
    )
    assert gaps == breaks(rows, MARKETS[market].has_pu)
    assert bool(gaps) == bool(faults)
    snapshots = [row for row in rows if row["kind"] == "rest" and "/depth?" in row["route"]]
    assert snapshots


def test_a_stop_between_two_connections_is_reported(tmp_path: Path) -> None:
    """Every stream of a connection that was lost has a gap to the end of the log, behind everything else."""
    settings = CaptureSettings(clock_source="none")
    with served("usdm", "disconnect@300") as (_, addresses):
        capture = LiveCapture(settings, tmp_path, MARKETS["usdm"], SYMBOLS["usdm"], **addresses)
        capture.run(
            lambda: capture.metrics().messages > 100 and not capture.metrics().connections,
            duration_ns=60 * NS_PER_SECOND,
        )
    rows = recorded(capture.folder)
    (close,) = [at for at, row in enumerate(rows) if row["kind"] == "close"]
    behind = [json.loads(row["detail"]) for row in rows[close + 1 :] if row["kind"] == "gap"]
    assert {detail["why"] for detail in behind} == {"disconnected"}
    assert sorted(name for detail in behind for name in detail["streams"]) == sorted(
        MARKETS["usdm"].stream(kind, symbol)
        for kind in ("depth", "bookTicker", "trade")
        for symbol in SYMBOLS["usdm"]
    )


@pytest.mark.parametrize("market", MARKETS)
def test_rotations_on_differing_groupings_lose_nothing_and_report_nothing(
    market: str, tmp_path: Path
) -> None:
    """Fifty over sockets, each connection with a grouping of its own: all that was sent is there, and no gap is."""
    settings = CaptureSettings(clock_source="none")
    with served(market, "") as (exchange, addresses):
        capture = LiveCapture(settings, tmp_path, MARKETS[market], SYMBOLS[market], **addresses)
        replaced: list[Any] = []

        def rotated() -> bool:
            """Ask for the next rotation once every connection has been replaced."""
            current = [group.current for group in capture._session.groups]
            if current and all(
                each is not None and each.state == "open" and each not in replaced for each in current
            ):
                replaced.extend(current)
                capture.rotate()
            return len(replaced) > ROTATIONS * len(current) > 0

        metrics = capture.run(rotated, duration_ns=240 * NS_PER_SECOND)
        ledger = exchange.ledger.table()
    rows = recorded(capture.folder)
    boundaries = [json.loads(row["detail"]) for row in rows if row["kind"] == "boundary"]
    assert len(boundaries) >= ROTATIONS
    assert not any(boundary["unproven"] for boundary in boundaries)
    assert (metrics.gaps, [row for row in rows if row["kind"] == "gap"]) == (0, [])
    found = account(ledger, read_archive(capture.folder))
    assert found.archived == found.sent > 1_000
    assert found.unreported == []
