"""The decoder of a raw log: one true stream out of several connections, whatever the batches."""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import SourceSchemaError
from order_book_platform.model import FixedPoint
from order_book_platform.replay.gap_detector import GapDetector
from order_book_platform.sources.binance.decoded_rows import DecodedRows
from order_book_platform.sources.binance.depth_merge import DepthGap
from order_book_platform.sources.binance.market import COINM, SPOT, USDM, Market
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform_tests.sources.binance.raw_rows import (
    START_NS,
    RawRows,
    Truth,
    depth,
    merged_connections,
)


def decode(
    rows: RawRows, cuts: list[int] | None = None, *, finish: bool = True
) -> tuple[RawLogDecoder, list[DecodedRows]]:
    """Decode rows cut at the given places."""
    decoder, decoded = RawLogDecoder(rows.market), []
    edges = [0, *sorted(cuts or []), len(rows.rows)]
    for start, stop in itertools.pairwise(edges):
        decoded += decoder.feed(rows.batch(start, stop), start)
    return decoder, decoded + (decoder.finish() if finish else [])


def joined(decoded: list[DecodedRows]) -> dict[Any, dict[str, Any]]:
    """Return the rows of each stretch as lists, whatever batches they came in."""
    found: dict[Any, dict[str, Any]] = {}
    for part in decoded:
        own = found.setdefault(
            part.numbering, {name: [] for name in ("deltas", "snapshots", "tickers", "trades", "gaps")}
        )
        own["gaps"] += part.gaps
        for batch in part.deltas:
            own["deltas"] += batch.to_arrow().to_pylist()
        for name in ("snapshots", "tickers", "trades"):
            for table in getattr(part, name):
                own[name] += table.to_pylist()
    return {numbering: rows for numbering, rows in found.items() if any(rows.values())}


def holes(rows: RawRows) -> list[tuple[int, int]]:
    """Return the ids that no message of any connection covers, by looking at every id: (last known, last missing)."""
    messages = [json.loads(row["payload"]) for row in rows.rows if row["kind"] == "message"]
    messages = [message.get("data", message) for message in messages]
    covered: set[int] = set()
    for message in messages:
        covered |= set(range(message["U"], message["u"] + 1))
    first = messages[0]["U"]
    missing = sorted(set(range(first, max(covered) + 1)) - covered)
    found: list[tuple[int, int]] = []
    for number in missing:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number - 1, number))
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([USDM, SPOT]),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.lists(st.integers(0, 150), max_size=12),
)
def test_connections_give_the_true_stream(
    seed: int, market: Market, connections: int, loss: float, cuts: list[int]
) -> None:
    """Every id that came is used, every id that never came is in a gap, and the book between gaps is the true one."""
    random = Random(seed)
    truth = Truth.drawn(random, random.randint(5, 80))
    rows = merged_connections(random, market, truth, connections, loss)
    if not any(row["kind"] == "message" for row in rows.rows):
        return
    _, decoded = decode(rows)
    whole = joined(decoded)
    assert joined(decode(rows, [min(cut, len(rows.rows)) for cut in cuts])[1]) == whole
    (own,) = whole.values()
    assert [(gap.after_id, gap.before_id) for gap in own["gaps"]] == holes(rows)
    assert all(gap.is_final for gap in own["gaps"])
    check_books(truth, market, own["deltas"], own["gaps"])


def check_books(truth: Truth, market: Market, deltas: list[dict[str, Any]], gaps: list[DepthGap]) -> None:
    """Apply the deltas to the true book before them, begun anew behind each gap, and compare after each message."""
    behind = {gap.before_id for gap in gaps}
    book: dict[int, int] | None = None
    numbers = sorted({row["sequence_number"] for row in deltas})
    assert [row["sequence_number"] for row in deltas] == sorted(row["sequence_number"] for row in deltas)
    last = None
    for number in numbers:
        message = [row for row in deltas if row["sequence_number"] == number]
        prev = message[0]["prev_final_update_id"] if market.has_pu else message[0]["first_update_id"] - 1
        if book is None or prev in behind:
            book = truth.book(prev)
        else:
            assert prev <= last
        for row in message:
            price, size = row["price_pips"] // 10**8, row["size_pips"] // 10**8
            book[price] = size
        book = {price: size for price, size in book.items() if size}
        assert book == truth.book(number)
        last = number


def test_a_hole_waits_for_whoever_can_fill_it() -> None:
    """A message behind a hole is taken when another connection fills the hole, and not before."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.connect(2)
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    rows.message(2, depth(1, 5, 0, [["9.0", "1"]]))
    rows.message(1, depth(21, 30, 20, [["3.0", "3"]]))
    decoder, decoded = decode(rows, finish=False)
    (own,) = joined(decoded).values()
    assert [row["sequence_number"] for row in own["deltas"]] == [10]
    assert decoder.state() is None
    rows.message(2, depth(6, 25, 5, [["2.0", "2"]]))
    _, decoded = decode(rows, finish=False)
    (own,) = joined(decoded).values()
    assert [row["sequence_number"] for row in own["deltas"]] == [10, 25, 30]
    assert own["gaps"] == []


@pytest.mark.parametrize("end", ["close", "killed", "behind", "unsubscribe"])
def test_a_hole_is_a_gap_once_nobody_can_fill_it(end: str) -> None:
    """The other connection ends, dies with the process, stops to carry the stream, or is behind the hole itself."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.connect(2)
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    rows.message(1, depth(21, 30, 20, [["3.0", "3"]]))
    (own,) = joined(decode(rows, finish=False)[1]).values()
    assert own["gaps"] == []
    if end == "close":
        rows.close(2)
    elif end == "killed":
        rows.add("gap", detail={"why": "killed"})
    elif end == "behind":
        rows.message(2, depth(21, 25, 20))
    else:
        sent = json.dumps({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
        rows.add("subscribe", connection=2, detail={"sent": sent})
    (own,) = joined(decode(rows, finish=False)[1]).values()
    (gap,) = own["gaps"]
    assert (gap.after_id, gap.before_id, gap.is_final) == (10, 20, True)


@pytest.mark.parametrize("market", [USDM, SPOT], ids=lambda market: market.name)
@pytest.mark.parametrize("cuts", [[], [4], [2, 3, 4, 5]])
def test_an_empty_message_keeps_the_chain(market: Market, cuts: list[int]) -> None:
    """The gap detector finds no break across empty messages, and finds the loss right behind one."""
    rows = RawRows(market)
    rows.rules()
    rows.connect(1)
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    rows.message(1, depth(11, 20, 10))
    rows.message(1, depth(21, 30, 20))
    rows.message(1, depth(31, 40, 30, [["2.0", "2"]]))
    rows.message(1, depth(41, 50, 40))
    rows.message(1, depth(61, 70, 60, [["3.0", "3"]]))
    _, decoded = decode(rows, cuts)
    (own,) = joined(decoded).values()
    assert [(row["sequence_number"], row["first_update_id"]) for row in own["deltas"]] == [
        (10, 1),
        (40, 11),
        (70, 61),
    ]
    batch = DeltaBatch.concat([each for part in decoded for each in part.deltas])
    _, gaps = GapDetector(1).feed(batch, np.empty(0, np.int64))
    assert [(gap.cause, gap.before, gap.after) for gap in gaps] == [("chain", 40, 70)]


def test_a_wait_has_an_end() -> None:
    """A connection that is open and silent does not hold up the others for good; the gap says that it was given up."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.connect(2)
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    rows.message(1, depth(21, 30, 20))
    rows.now_ns += 61 * 10**9
    rows.message(1, depth(31, 40, 30, [["2.0", "1"]]))
    (own,) = joined(decode(rows, finish=False)[1]).values()
    assert [(gap.before_id, gap.is_final) for gap in own["gaps"]] == [(20, False)]
    assert [row["sequence_number"] for row in own["deltas"]] == [10, 40]


def test_a_numbering_that_begins_anew_begins_another_stretch() -> None:
    """Ids that go back, much later by the exchange's clock, are no duplicates."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.message(1, depth(1001, 1010, 1000, [["1.0", "1"]]))
    later = START_NS // 10**6 + 10_000_000
    rows.now_ns += 61 * 10**9
    row = rows.message(1, depth(1, 5, 0, [["2.0", "1"]], event_ms=later))
    rows.message(1, depth(6, 8, 5, [["3.0", "1"]], event_ms=later + 1))
    found = joined(decode(rows)[1])
    assert [numbering.from_row for numbering in found] == [0, row]
    assert [[each["sequence_number"] for each in own["deltas"]] for own in found.values()] == [[1010], [5, 8]]
    assert joined(decode(rows, [3, 4])[1]) == found


def test_a_jump_of_the_exchanges_clock_begins_nothing() -> None:
    """A second connection brings what is known already, dated by a clock that has jumped meanwhile."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.connect(2)
    later = START_NS // 10**6 + 10_000_000
    rows.message(1, depth(1001, 1010, 1000, [["1.0", "1"]]))
    rows.message(2, depth(1001, 1010, 1000, [["1.0", "1"]], event_ms=later))
    rows.message(1, depth(1011, 1015, 1010, [["2.0", "1"]], event_ms=later))
    (own,) = joined(decode(rows)[1]).values()
    assert [each["sequence_number"] for each in own["deltas"]] == [1010, 1015]
    assert own["gaps"] == []


def test_rules_that_change_begin_another_stretch() -> None:
    """The chain goes on over it; equal rules, which every process writes at its start, change nothing."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    rows.rules()
    row = rows.rules(tick="0.01")
    rows.message(1, depth(11, 20, 10, [["1.01", "1"]]))
    found = joined(decode(rows)[1])
    assert [(each.from_row, each.point.tick_pips) for each in found] == [(0, 10**7), (row, 10**6)]
    assert not any(own["gaps"] for own in found.values())


@pytest.mark.parametrize("cuts", [[], [3], [2, 3, 4, 5]])
def test_a_price_off_the_tick_begins_another_stretch(cuts: list[int]) -> None:
    """The tick of the live logs divides every price, whatever the rules say; snapshots are looked at too."""
    rows = RawRows()
    rows.rules()
    rows.connect(1)
    rows.message(1, depth(1, 10, 0, [["1.1", "1"]]))
    row = rows.message(1, depth(11, 20, 10, [["1.1", "2"]], [["1.15", "1"]]))
    shot = rows.snapshot(20, [["1.01", "1"]])
    rows.message(1, depth(21, 30, 20, [["1.15", "1"]]))
    found = joined(decode(rows, cuts)[1])
    assert [(each.from_row, each.point.tick_pips) for each in found] == [
        (0, 10**7),
        (row, 5 * 10**6),
        (shot, 10**6),
    ]


def ticker(update_id: int, **more: Any) -> dict[str, Any]:
    """Return a ticker of BTCUSDT whose size is its number."""
    return {"u": update_id, "s": "BTCUSDT", "b": "1.0", "B": f"{update_id}", "a": "1.1", "A": "1", **more}


def trade(trade_id: int, **more: Any) -> dict[str, Any]:
    """Return a trade of BTCUSDT."""
    times = {"E": 1_723_161_600_000 + trade_id, "T": 1_723_161_600_000}
    return {"e": "trade", **times, "s": "BTCUSDT", "t": trade_id, "p": "1.0", "q": "2", "m": False, **more}


def test_tickers_and_trades_come_once() -> None:
    """Whichever connection is first counts; trades that are none of the book, and aggregates, are counted."""
    rows = RawRows()
    rows.rules()
    for connection, numbers in ((1, [5, 6]), (2, [6, 7]), (1, [7, 9])):
        for number in numbers:
            rows.message(connection, ticker(number, e="bookTicker", E=1, T=2))
            rows.message(connection, trade(number))
    rows.message(1, trade(10, X="INSURANCE_FUND", p="0"))
    rows.message(1, trade(11, e="aggTrade", a=1))
    decoder, decoded = decode(rows)
    (own,) = joined(decoded).values()
    assert [row["sequence_number"] for row in own["tickers"]] == [5, 6, 7, 9]
    assert own["tickers"][0]["bid_size_pips"] == 5 * 10**8
    assert [row["trade_id"] for row in own["trades"]] == [5, 6, 7, 9]
    assert own["trades"][0]["is_buy"] is True
    counts = decoder.report()["instruments"]["BINANCE_FUTURES:BTC-USDT-PERP"]
    assert counts["ticker_duplicates"] == 2
    assert counts["trade_duplicates"] == 2
    assert (counts["missing_trade_ids"], counts["trades_off_book"], counts["aggregates"]) == (1, 1, 1)


def test_snapshots_and_what_is_no_market_data() -> None:
    """A snapshot without `E` has its arrival as its time; errors, binary and unknown messages are counted and named."""
    rows = RawRows()
    rows.rules()
    row = rows.snapshot(7, [["1.0", "1"]], [["1.1", "2"], ["1.2", "0"]])
    rows.add("rest", route="/fapi/v1/depth?symbol=BTCUSDT", payload=b"busy", detail={"status": 503})
    rows.add("rest", route="/fapi/v1/depth?symbol=BTCUSDT", payload=b"{}", detail={"status": 200})
    rows.add("rest", route="/fapi/v1/exchangeInfo", payload=b"{}", detail={"status": 200})
    rows.message(1, {"result": None, "id": 1})
    rows.add("message", connection=1, payload=b"\x00\x01", binary=True)
    bad = rows.add("message", connection=1, payload=b"<html>")
    other = rows.message(1, ticker(1) | {"s": "ETHUSDT"})
    decoder, decoded = decode(rows)
    (own,) = joined(decoded).values()
    (shot,) = own["snapshots"]
    assert shot["origin_time"] == shot["received_time"] == rows.rows[row]["received_time"]
    assert (shot["sequence_number"], shot["ask_size_pips"]) == (7, [2 * 10**8, 0])
    report = decoder.report()
    assert {name: count for name, count in report["counts"].items() if count} == {
        "binary": 1,
        "other: no event": 1,
        "refused": 2,
        "refused_responses": 1,
        "slow": 3,
    }
    assert [each["row"] for each in report["refusals"]] == [3, bad, other]
    assert "ETHUSDT" in report["refusals"][2]["reason"]


@pytest.mark.parametrize("market", [USDM, SPOT])
def test_a_state_is_gone_on_with(market: Market) -> None:
    """A decoder that is restored from its state, after any row without a wait, gives the same rows."""
    random = Random(3)
    rows = merged_connections(random, market, Truth.drawn(random, 60), 2, 0.2)
    rows.message(1, ticker(3))
    rows.message(2, trade(3))
    whole = joined(decode(rows)[1])
    states = 0
    for cut in range(1, len(rows.rows)):
        first = RawLogDecoder(market)
        decoded = first.feed(rows.batch(0, cut), 0)
        state = first.state()
        if state is not None:
            states += 1
            second = RawLogDecoder.restore(market, json.loads(json.dumps(state)))
            decoded += second.feed(rows.batch(cut), cut) + second.finish()
            assert joined(decoded) == whole
    assert states > 5
    with pytest.raises(SourceSchemaError, match="coinm"):
        RawLogDecoder.restore(COINM, json.loads(json.dumps(RawLogDecoder(market).state())))


def test_an_instrument_that_is_not_wanted_is_left_out() -> None:
    """With `keys`, rules of other instruments are passed over, and their messages refused."""
    rows = RawRows()
    rows.rules()
    rows.message(1, depth(1, 10, 0, [["1.0", "1"]]))
    decoder = RawLogDecoder(USDM, ["BINANCE_FUTURES:ETH-USDT-PERP"])
    assert decoder.feed(rows.batch(), 0) == []


def test_deltas_have_bids_first_and_the_exact_ids() -> None:
    """The order of the message stays, bids before asks; ids and times are as received."""
    rows = RawRows()
    rows.rules()
    row = rows.message(1, depth(4, 10, 2, [["1.0", "1"], ["2.0", "0"]], [["0.5", "3"]]))
    (part,) = decode(rows)[1][:1]
    (batch,) = part.deltas
    assert part.numbering.point == FixedPoint(8, 8, 10**7, 10**5)
    assert isinstance(batch, DeltaBatch)
    assert batch.to_arrow().equals(
        pa.table(
            {
                "origin_time": [START_NS + 10 * 10**6] * 3,
                "transaction_time": [START_NS + 10 * 10**6] * 3,
                "received_time": [rows.rows[row]["received_time"]] * 3,
                "sequence_number": [10] * 3,
                "first_update_id": [4] * 3,
                "prev_final_update_id": [2] * 3,
                "is_bid": [True, True, False],
                "price_pips": [10**8, 2 * 10**8, 5 * 10**7],
                "size_pips": [10**8, 0, 3 * 10**8],
            },
            schema=batch.to_arrow().schema,
        )
    )
