"""Random schedules of faults: what was sent is archived or in a gap, no gap is false, and books outside gaps are exact.

`CAPTURE_FAULT_SEEDS=500` runs the schedules 0 to 499, `CAPTURE_FAULT_SEEDS=250-499` some of them. A failure names its
schedule. `CAPTURE_FAULT_FIGURES=FILE` appends a line of JSON with the figures of each schedule.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.capture_account import account, read_archive
from order_book_platform.capture import LiveCapture
from order_book_platform.clock import NS_PER_MS, NS_PER_SECOND
from order_book_platform.exchange import LocalExchange, parse_faults
from order_book_platform.exchange.fault_injection import FaultKind
from order_book_platform.exchange.protocol.venue import StreamKind
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform_tests.capture.fault_schedule import (
    CHANGES_PER_SECOND,
    DEPTH,
    Schedule,
    feed_truth,
    gaps_of,
    judge,
    messages_of,
    shorten,
)
from order_book_platform_tests.capture.served import SYMBOLS, served
from order_book_platform_tests.capture.test_against_local_exchange import recorded
from order_book_platform_tests.capture.test_captured_gaps import chain

FIRST, _, LAST = os.environ.get("CAPTURE_FAULT_SEEDS", "5").rpartition("-")
SEEDS = range(int(FIRST), int(LAST) + 1) if FIRST else range(int(LAST))
FIGURES = os.environ.get("CAPTURE_FAULT_FIGURES")
INSTRUMENTS = {
    "BTCUSDT": {"usdm": "BINANCE_FUTURES:BTC-USDT-PERP", "spot": "BINANCE:BTC-USDT"},
    "ETHUSDT": {"usdm": "BINANCE_FUTURES:ETH-USDT-PERP", "spot": "BINANCE:ETH-USDT"},
    "BTCUSD_PERP": {"coinm": "BINANCE_DELIVERY:BTC-USD-PERP"},
}
MESSAGES = {"usdm": 2_400, "coinm": 1_400, "spot": 2_400}
"""Messages after which a schedule may be over: not before `LEAST_NS`, and with a snapshot of every book."""
SEEDED_WITHIN = 50
"""Depth messages within which a book has its snapshot, so that it is compared."""
LEAST_NS, MOST_NS = 3 * NS_PER_SECOND, 15 * NS_PER_SECOND
BAR_WEIGHT = 2_400
DOUBT = int(BookFlag.GAP | BookFlag.CORRUPT | BookFlag.HINDSIGHT)


@dataclass(slots=True)
class Figures:
    """What one schedule came to."""

    seed: int
    schedule: str
    faults: dict[str, int]
    sent: int = 0
    damaged: int = 0
    archived: int = 0
    in_gaps: int = 0
    unreported: int = 0
    connections: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    false_gaps: list[str] = field(default_factory=list)
    late_gaps: int = 0
    open_gaps: int = 0
    untold: int = 0
    weight: int = 0
    rows: int = 0
    equal: int = 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_schedule(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is unreported, no gap is false, the weight is kept, and books are the exchange's own."""
    shorten(monkeypatch)
    schedule = Schedule.drawn(seed)
    with served(schedule.market, schedule.faults, seed, CHANGES_PER_SECOND) as (exchange, addresses):
        log = record(schedule, tmp_path, addresses)
        ledger = exchange.ledger.table()
    events = ledger.to_pylist()
    figures = Figures(seed, repr(schedule), happened(events), weight=max(exchange.most_weight().values()))
    found = account(ledger, read_archive(log))
    figures.sent, figures.archived, figures.in_gaps = found.sent, found.archived, found.in_gaps
    figures.damaged, figures.unreported, figures.gaps = found.damaged, len(found.unreported), dict(found.gaps)
    rows = recorded(log)
    figures.connections = sum(row["kind"] == "connect" for row in rows)
    hold_gaps(figures, schedule, exchange, rows, events)
    for symbol in SYMBOLS[schedule.market]:
        hold_books(figures, tmp_path / symbol, schedule.market, symbol, rows)
    if FIGURES:
        with Path(FIGURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figures)) + "\n")
    assert found.unreported == [], figures
    assert figures.false_gaps == [], figures
    assert figures.untold == 0, figures
    assert figures.weight <= min(schedule.weight_per_minute, BAR_WEIGHT), figures
    assert figures.equal == figures.rows, figures
    most_depth = max((len(each) for name, each in messages_of(rows).items() if "@depth" in name), default=0)
    assert figures.rows or most_depth < SEEDED_WITHIN or "silence" in schedule.faults, figures
    assert found.archived > MESSAGES[schedule.market] / 4, figures


def test_schedules_draw_every_fault() -> None:
    """All that can be ordered from the exchange, but a wrong `pu`: no client can tell that from a loss."""
    ordered = {each.kind for seed in range(500) for each in parse_faults(Schedule.drawn(seed).faults)}
    assert ordered == set(FaultKind) - {FaultKind.WRONG_PREV_ID}
    assert {Schedule.drawn(seed).market for seed in range(500)} == set(MARKETS)


def record(schedule: Schedule, folder: Path, addresses: dict[str, Any]) -> Path:
    """Record until enough has come and every book has its snapshot; returns the folder of the raw log."""
    market = MARKETS[schedule.market]
    settings = CaptureSettings(clock_source="none", weight_per_minute=schedule.weight_per_minute)
    capture = LiveCapture(settings, folder / "captures", market, SYMBOLS[market.name], **addresses)
    rotations = list(schedule.rotations)

    def stopped() -> bool:
        metrics = capture.metrics()
        if rotations and metrics.messages >= rotations[0]:
            rotations.pop(0)
            capture.rotate()
        is_long = metrics.messages >= MESSAGES[market.name] and metrics.running_ns >= LEAST_NS
        return is_long and not metrics.snapshots_waiting

    capture.run(stopped, duration_ns=MOST_NS, seal=schedule.seed % 4 > 0)  # frames or Parquet
    return capture.folder


def happened(ledger: list[dict[str, Any]]) -> dict[str, int]:
    """How often faults met the capture, as far as the ledger lists them."""
    found = Counter(row["fault"] for row in ledger if row["fault"])
    for row in ledger:
        if row["kind"] in ("refused", "undelivered"):
            found[row["kind"]] += 1
        elif row["kind"] == "close" and row["stream"] != "by the client":
            found[f"close: {row['stream']}"] += 1
        elif row["kind"] == "rest" and row["status"] != 200:
            found[f"status {row['status']}"] += 1
    return dict(found)


def hold_gaps(
    figures: Figures,
    schedule: Schedule,
    exchange: LocalExchange,
    rows: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
) -> None:
    """Hold the gaps of every stream against what its feed has published."""
    started_ns = exchange.player.started_ns
    assert started_ns is not None
    opened_ns = next((row["time_ns"] for row in ledger if row["kind"] == "open"), started_ns)
    withheld: dict[str, set[int]] = defaultdict(set)
    for row in ledger:
        if row["kind"] == "message" and row["fate"] != "sent" and "@depth" not in row["stream"]:
            withheld[row["stream"]].add(row["final_update_id"])
    messages, gaps = messages_of(rows), gaps_of(rows)
    lost_ns = [
        row["monotonic_time"] for row in rows if row["kind"] == "close" and '"recorder"' not in row["detail"]
    ]
    for symbol in SYMBOLS[schedule.market]:
        truth = feed_truth(schedule.market, symbol)
        truth.extend(rows[-1]["received_time"] - started_ns)
        for kind in StreamKind:
            name = truth.stream(kind)
            mine = [(gap, at_ns - started_ns) for gap, at_ns in gaps if gap.is_of(name)]
            since_ns = opened_ns - started_ns - 100 * NS_PER_MS
            found = judge(truth.streams[kind], messages[name], mine, since_ns, withheld[name])
            figures.late_gaps += found.late
            figures.untold += len(found.unreported)
            for gap in found.false:
                # A connection was lost, and nothing tells whether something was missed: ids of tickers never do, and
                # nothing does where no message has come since.
                is_last = all(message.row < gap.row for message in messages[name])
                is_open = kind is StreamKind.TICKER or is_last
                if is_open and any(gap.from_ns <= at_ns <= gap.to_ns for at_ns in lost_ns):
                    figures.open_gaps += 1
                else:
                    figures.false_gaps.append(f"{name}: {gap}")


def hold_books(figures: Figures, folder: Path, market: str, symbol: str, rows: list[dict[str, Any]]) -> None:
    """Publish the captured day up to its books, and compare what is in no gap with the exchange's own books."""
    day = np.datetime64(rows[0]["received_time"], "ns").astype("datetime64[D]")
    key = PartitionKey.parse(INSTRUMENTS[symbol][market], str(day))
    folder.mkdir()
    (folder / "captures").symlink_to(folder.parent / "captures")
    store = chain(folder, key, 1, depth=DEPTH)
    point = store.manifest("raw_deltas", key).fixed_point
    scales = Decimal(10) ** -point.price_decimals, Decimal(10) ** -point.size_decimals
    truth = feed_truth(market, symbol)
    for row in store.rows("reconstructed_books", key).read().to_pylist():
        known = [row["known_bid_levels"], row["known_ask_levels"]]
        if row["flags"] & DOUBT or not all(known):
            continue
        figures.rows += 1
        figures.equal += all(
            shown(row, side, min(levels, DEPTH), scales) == best[:levels]
            for side, levels, best in zip(
                ("bid", "ask"), known, truth.best[row["sequence_number"]], strict=True
            )
        )


def shown(
    row: dict[str, Any], side: str, levels: int, scales: tuple[Decimal, Decimal]
) -> list[tuple[Decimal, Decimal]]:
    """Levels of a side of a row."""
    names = [(f"{side}_{level}_price_pips", f"{side}_{level}_size_pips") for level in range(levels)]
    return [(row[price] * scales[0], row[size] * scales[1]) for price, size in names]
