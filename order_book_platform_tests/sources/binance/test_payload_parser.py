"""The slow parser by itself: exact numbers, and a reason for every refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from order_book_platform.model import FixedPoint
from order_book_platform.sources.binance.market import SPOT, USDM
from order_book_platform.sources.binance.payload_parser import (
    DepthMessage,
    DepthResponse,
    OtherMessage,
    PayloadParser,
    Refusal,
    TickerMessage,
    TradeMessage,
)
from order_book_platform_tests.sources.binance.raw_rows import depth
from order_book_platform_tests.sources.binance.test_raw_log_decoder import ticker, trade

POINTS = {"BTCUSDT": FixedPoint(2, 3)}
FUTURES, SPOT_PARSER = PayloadParser(USDM, POINTS), PayloadParser(SPOT, POINTS)


def parsed(message: Any, parser: PayloadParser = FUTURES) -> Any:
    """What the parser makes of a message."""
    return parser.parse(message if isinstance(message, bytes) else json.dumps(message).encode())


def test_depth() -> None:
    """Decimals become pips exactly, trailing zeros or not; spot has neither `T` nor `pu`."""
    message = depth(4, 10, 2, [["61737.63000000", "1"]], [["0.5", "0.000"]], event_ms=5)
    assert parsed(message) == DepthMessage(
        "BTCUSDT", 5_000_000, 5_000_000, 4, 10, 2, ((6_173_763, 1000),), ((50, 0),)
    )
    assert parsed(message, SPOT_PARSER).prev_final_update_id is None
    assert parsed(message | {"E": 1_723_161_600_000_001}).event_ns == 1_723_161_600_000_001_000


def test_ticker_and_trade() -> None:
    """A ticker without `e` is one by its keys; a trade with another `X` is no trade of the book."""
    assert parsed(ticker(7)) == TickerMessage("BTCUSDT", None, None, 7, (100, 7000), (110, 1000))
    event_ns = trade(3)["E"] * 10**6
    assert parsed(trade(3)) == TradeMessage("BTCUSDT", False, event_ns, 3, (100, 2000), True, True)
    assert not parsed(trade(3, X="ADL", p="0")).is_market
    assert parsed(trade(3) | {"e": "aggTrade", "a": 9}).trade_id == 9


def test_responses() -> None:
    """A response for depth has its id, and its time where the exchange sends one."""
    body = {"lastUpdateId": 5, "bids": [["1.0", "2"]], "asks": []}
    assert FUTURES.parse_response("BTCUSDT", json.dumps(body).encode()) == DepthResponse(
        None, 5, ((100, 2000),), ()
    )
    timed = json.dumps(body | {"E": 3}).encode()
    assert FUTURES.parse_response("BTCUSDT", timed) == DepthResponse(3_000_000, 5, ((100, 2000),), ())
    assert isinstance(FUTURES.parse_response("BTCUSDT", b"<html>"), Refusal)
    assert isinstance(FUTURES.parse_response("ETHUSDT", timed), Refusal)


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"result": None, "id": 1}, "no event"),
        ({"e": "serverShutdown", "E": 1}, "serverShutdown"),
        ({"e": 5}, "no event"),
        ({"stream": "btcusdt@depth20@100ms", "data": depth(1, 2, 0)}, "depth of another stream"),
        ({"stream": "btcusdt@rpiDepth@500ms", "data": depth(1, 2, 0)}, "depth of another stream"),
    ],
)
def test_other_messages_are_named(message: dict[str, Any], what: str) -> None:
    """What is no market data of ours is sound all the same; partial books come by the same event."""
    assert parsed(message) == OtherMessage(what)


SOUND = depth(1, 2, 0, [["1.0", "1"]])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"a":NaN}', "NaN is no JSON number"),
        (b'{"e":"depthUpdate","e":"depthUpdate"}', "`e` stands twice"),
        (b'{"stream":1,"data":{}}', "`stream` is no text"),
        (SOUND | {"s": "ETHUSDT"}, "no rules of 'ETHUSDT'"),
        (SOUND | {"s": 1}, "`s` is no text"),
        (SOUND | {"u": True}, "`u` is no integer"),
        (SOUND | {"u": 2**63}, "`u` is no integer"),
        (SOUND | {"E": 10**13}, "`E` is no time"),
        (SOUND | {"b": {}}, "`b` is no list of pairs"),
        (SOUND | {"b": [["1", "1", "1"]]}, "`b` is no list of pairs"),
        (SOUND | {"b": [["0.00", "1"]]}, "a price of `b` is 0"),
        (SOUND | {"b": [["1.001", "1"]]}, "more than 2 decimals"),
        (SOUND | {"b": [["1", "9223372036854775.808"]]}, "does not fit int64"),
        (SOUND | {"b": [["1e3", "1"]]}, "no decimal"),
        (SOUND | {"b": [["1", "٣"]]}, "no decimal"),
        ({name: value for name, value in SOUND.items() if name != "pu"}, "there is no `pu`"),
        (trade(1) | {"m": "true"}, "`m` is no truth value"),
    ],
)
def test_refusals_have_a_reason(message: Any, reason: str) -> None:
    """Whoever reads the report knows what was wrong."""
    found = parsed(message)
    assert isinstance(found, Refusal)
    assert reason in found.reason
