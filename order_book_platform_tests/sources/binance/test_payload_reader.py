"""The scanner beside the slow parser: whatever bytes come, both give the same integers, or the same refusal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model import FixedPoint
from order_book_platform.sources.binance.market import COINM, SPOT, USDM, Market
from order_book_platform.sources.binance.payload_parser import (
    DepthMessage,
    OtherMessage,
    ParsedMessage,
    PayloadParser,
    Refusal,
    TickerMessage,
    TradeMessage,
)
from order_book_platform.sources.binance.payload_reader import OTHER, REFUSED, PayloadBatch, PayloadReader

POINTS = {
    "BTCUSDT": FixedPoint(),
    "BTCUSD_PERP": FixedPoint(2, 0),
    "A": FixedPoint(),
    "币安USDT": FixedPoint(8, 8),
}
DEPTH = (
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
    b'"U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61496.50","0.010"]],'
    b'"a":[["61510.90","0.000"]],"st":1}}'
)
TICKER = (
    b'{"stream":"btcusd_perp@bookTicker","data":{"u":1007198632021,"e":"bookTicker","s":"BTCUSD_PERP",'
    b'"ps":"BTCUSD","b":"61804.7","B":"35","a":"61804.8","A":"1645","T":1723161257465,"E":1723161257476}}'
)
TRADE = (
    b'{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006",'
    b'"X":"MARKET","m":false}'
)
AGGREGATE = (
    b'{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","nq":"99","f":100,"l":105,'
    b'"T":123456785,"m":true}'
)
SPOT_TICKER = (
    b'{"u":400900217,"s":"A","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
)
SPOT_TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"A","t":12345,"p":"0.001","q":"100","b":88,"a":50,"T":1672515782136,'
    b'"m":true,"M":true}'
)
EXAMPLES = [DEPTH, TICKER, TRADE, AGGREGATE, SPOT_TICKER, SPOT_TRADE]


def read_one(market: Market, payload: bytes, points: dict[str, FixedPoint] = POINTS) -> PayloadBatch:
    """Read one message, between two others so that its ends are those of the message and not of the buffer."""
    batch = PayloadReader(market, points).read(pa.array([b'{"', payload, b'"}'], pa.binary()).slice(1, 1))
    assert len(batch.records) == 1
    return batch


def message_of(reader: PayloadReader, batch: PayloadBatch, row: int = 0) -> ParsedMessage:
    """Return a row of a batch as the slow parser would give it."""
    record = batch.records[row].tolist()

    def known(column: int) -> int | None:
        return None if record[column] == scan.MISSING else int(record[column])

    def levels(start: int, end: int) -> tuple[tuple[int, int], ...]:
        rows = slice(record[start], record[end])
        return tuple(zip(batch.prices[rows].tolist(), batch.sizes[rows].tolist(), strict=True))

    kind = record[scan.KIND]
    if kind == REFUSED:
        return Refusal(batch.refusals[row])
    if kind == OTHER:
        return OtherMessage(next(iter(batch.others)))
    symbol = reader.symbols[record[scan.SYMBOL]]
    if kind == members.DEPTH:
        return DepthMessage(
            symbol,
            record[scan.EVENT_NS],
            known(scan.TRANSACTION_NS),
            record[scan.FIRST_ID],
            record[scan.FINAL_ID],
            known(scan.PREV_ID),
            levels(scan.BIDS_START, scan.BIDS_END),
            levels(scan.ASKS_START, scan.ASKS_END),
        )
    if kind == members.TICKER:
        return TickerMessage(
            symbol,
            known(scan.EVENT_NS),
            known(scan.TRANSACTION_NS),
            record[scan.FINAL_ID],
            (record[scan.BID_PRICE], record[scan.BID_SIZE]),
            (record[scan.ASK_PRICE], record[scan.ASK_SIZE]),
        )
    return TradeMessage(
        symbol,
        kind == members.AGGREGATE,
        record[scan.EVENT_NS],
        record[scan.FINAL_ID],
        (record[scan.BID_PRICE], record[scan.BID_SIZE]),
        bool(record[scan.IS_BUY]),
        bool(record[scan.IS_MARKET]),
    )


def check(payload: bytes) -> None:
    """Compare what the reader makes of a message with what the slow parser makes of it, in every market."""
    for market in (USDM, SPOT):
        wanted = PayloadParser(market, POINTS).parse(payload)
        assert message_of(PayloadReader(market, POINTS), read_one(market, payload)) == wanted, payload


@pytest.mark.parametrize("payload", EXAMPLES)
def test_the_scanner_takes_what_the_exchange_sends(payload: bytes) -> None:
    """Each kind of message in each spelling of the documentation is scanned, and equals the slow parser's."""
    market = SPOT if payload in (SPOT_TICKER, SPOT_TRADE) else USDM
    assert read_one(market, payload).slow == 0
    check(payload)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"0.014"', b'"1.4e-2"'),
        (b'"0.014"', b'"0.0140000000"'),
        (b'"0.014"', b'"0.014000001"'),
        (b'"0.014"', b'"99999999999999999"'),
        (b'"0.014"', b'"92233720368.54775807"'),
        (b'"0.014"', b'"92233720368.54775808"'),
        (b'"0.014"', b'"-0.014"'),
        (b'"0.014"', b'".014"'),
        (b'"0.014"', b'"14."'),
        (b'"0.014"', b"0.014"),
        (b'"0.014"', b'"\\u0030.014"'),
        (b'"58710.20"', b'"0"'),
        (b'"0.014"]', b'"0.014",[]]'),
        (b'"u":', b'"v":'),
        (b'"pu":5123107831937', b'"pu":-1'),
        (b'"E":1723161256299', b'"E":1723161256299000'),
        (b'"E":1723161256299', b'"E":9999999999999'),
        (b'"E":1723161256299', b'"E":1723161256299.0'),
        (b'"E":1723161256299', b'"E":01'),
        (b'"U":5123107832006', b'"U":true'),
        (b'"st":1', b'"st":{"a":[1,{"b":"]"}]}'),
        (b'"st":1', b'"st":NaN'),
        (b'"st":1', b'"st":1e9,"x":-0.5,"y":null,"z":"[[\\"'),
        (b'"st":1', b'"st":"\xff"'),
        (b'"st":1', b'"u":1'),
        (b"@depth@0ms", b"@depth20@100ms"),
        (b"@depth@0ms", b"@rpiDepth@500ms"),
        (b"@depth@0ms", b"@depth"),
        (b'"BTCUSDT"', b'"\xe5\xb8\x81\xe5\xae\x89USDT"'),
        (b'"BTCUSDT"', b'"ETHUSDT"'),
        (b'"BTCUSDT"', b'""'),
        (b"}}", b"}"),
        (b"}}", b"}}}"),
        (b"}}", b'},"extra":1}'),
        (b"}}", b"} } "),
        (b'"stream":"btcusdt@depth@0ms",', b""),
        (b'{"stream"', b'{"b":"x","stream"'),
        (b'"e":"depthUpdate",', b""),
    ],
)
def test_odd_messages(old: bytes, new: bytes) -> None:
    """Every oddity of a depth message gives what the slow parser gives, be it a value or a refusal."""
    assert old in DEPTH
    check(DEPTH.replace(old, new, 1))


def filled(price: str, size: str) -> list[bytes]:
    """A depth message, a ticker and a trade with 8 decimals in each price and size; the last ones are as given."""
    ids = {"E": 1723161255208, "T": 1723161255207, "s": "BTCUSD_PERP", "U": 5, "u": 7, "pu": 4}
    sides = {"b": [["61737.63000000", "12.00000000"], ["56854.50000000", "0.00000000"]], "a": [[price, size]]}
    trade = {"E": 1723161255208, "s": "BTCUSD_PERP", "t": 9, "p": price, "q": size, "m": True}
    ticker = {"u": 8, "s": "BTCUSD_PERP", "b": "61737.63000000", "B": "3.00000000", "a": price, "A": size}
    messages: list[dict[str, Any]] = [{"e": "depthUpdate", **ids, **sides}, ticker, {"e": "trade", **trade}]
    return [json.dumps(message, separators=(",", ":")).encode() for message in messages]


@pytest.mark.parametrize("market", [SPOT, USDM], ids=lambda market: market.name)
@pytest.mark.parametrize(
    ("price", "size", "is_slow", "is_refused"),
    [
        ("61564.91000000", "7.00000000", False, False),
        ("61564.9" + "0" * 40, "0." + "0" * 40, False, False),
        ("61564.91000001", "7.00000000", True, True),
        ("61564.91100000", "7.00000000", True, True),
        ("61564.91000000", "7.00100000", True, True),
        ("61564.91" + "0" * 40 + "1", "7.00000000", True, True),
        ("61564.91000000e0", "7.00000000", True, True),
        ("61564.91000000", "9223372036854775807.00000000", True, False),
        ("61564.91000000", "9223372036854775808.00000000", True, True),
    ],
)
def test_zeros_behind_the_decimals(
    market: Market, price: str, size: str, is_slow: bool, is_refused: bool
) -> None:
    """Zeros behind the instrument's decimals, 2 and 0, are scanned; the slow parser sees other digits and overflows."""
    payloads = filled(price, size)
    reader, parser = PayloadReader(market, POINTS), PayloadParser(market, POINTS)
    batch = reader.read(pa.array(payloads, pa.binary()))
    assert batch.slow == (len(payloads) if is_slow else 0)
    assert len(batch.refusals) == (len(payloads) if is_refused else 0)
    for row, payload in enumerate(payloads):
        assert message_of(reader, batch, row) == parser.parse(payload), payload


def test_keys_in_any_order() -> None:
    """Levels before the symbol, unknown keys before and behind: the scanner takes them all."""
    data = json.loads(DEPTH)["data"]
    backwards = dict(reversed(data.items())) | {"zz": None}
    payload = json.dumps({"more": 1, "stream": "btcusdt@depth", "x": "y", "data": backwards}).encode()
    assert read_one(USDM, payload).slow == 0
    check(payload)


EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["cut", "insert", "replace", "twice"]), st.binary(max_size=3)),
    min_size=1,
    max_size=4,
)
LIKELY = st.sampled_from([*b'0123456789.,:{}[]"\\eE-+ \n\tnutf', 0xC3, 0, 127, 128])


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(EXAMPLES), EDITS, st.lists(LIKELY, max_size=3))
def test_mutated_messages(payload: bytes, edits: list[tuple[float, str, bytes]], likely: list[int]) -> None:
    """Bytes that are cut, inserted, replaced or doubled anywhere never give two different results."""
    for place, edit, any_bytes in edits:
        at = int(place * len(payload))
        content = bytes(likely) or any_bytes
        if edit == "cut":
            payload = payload[:at] + payload[at + len(content) :]
        elif edit == "insert":
            payload = payload[:at] + content + payload[at:]
        elif edit == "replace":
            payload = payload[:at] + content + payload[at + len(content) :]
        else:
            payload = payload[:at] + payload[max(0, at - 12) : at] + payload[at:]
    check(payload)


DECIMALS = (
    st.from_regex(r"\A[0-9]{0,12}(\.[0-9]{0,10})?\Z")
    # Filled up with zeros beyond 8 decimals, some with another digit behind them.
    | st.from_regex(r"\A[0-9]{1,5}\.[0-9]{0,2}0{8,12}[0-9]?\Z")
    | st.sampled_from(["0", "1e5", "-1", "1.", "00.10"])
)
PAIRS = st.lists(st.lists(DECIMALS, min_size=2, max_size=2), max_size=4)
NUMBERS = (
    st.integers(0, 2**64)
    | st.integers(1_600_000_000_000, 1_800_000_000_000)
    | st.sampled_from([-1, 1.5, True])
)
UNKNOWN = st.dictionaries(
    st.text(max_size=3).filter(lambda key: key not in ("stream", "data")),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4),
    max_size=3,
)
EVENT = st.sampled_from(["depthUpdate", "bookTicker", "trade", "aggTrade", "kline"])
MEMBERS = {
    "e": EVENT,
    "s": st.sampled_from([*POINTS, "XRPUSDT", ""]),
    "b": PAIRS | DECIMALS,
    "a": PAIRS | DECIMALS | NUMBERS,
    "m": st.booleans(),
    "X": st.sampled_from(["MARKET", "ADL", ""]),
    **dict.fromkeys(["B", "A", "p", "q"], DECIMALS),
    **dict.fromkeys(["E", "T", "U", "u", "pu", "t"], NUMBERS),
}


@settings(max_examples=600, deadline=None)
@given(st.fixed_dictionaries({}, optional=MEMBERS), UNKNOWN, st.booleans(), st.booleans(), st.randoms())
def test_generated_messages(
    members: dict[str, Any], unknown: dict[str, Any], is_wrapped: bool, is_compact: bool, random: Any
) -> None:
    """Messages of known keys with any values, unknown ones between them, in any order, wrapped or not."""
    items = list({**unknown, **members}.items())
    random.shuffle(items)
    message: dict[str, Any] = dict(items)
    if is_wrapped:
        message = {"stream": random.choice(["a@depth", "a@depth5", "a@trade", "@"]), "data": message}
    separators = (",", ":") if is_compact else None
    check(
        json.dumps(message, separators=separators, ensure_ascii=bool(is_compact)).encode("utf-8", "replace")
    )


NUMERALS = [
    b"0",
    b"-1",
    b"01",
    b"1.0",
    b"1e3",
    b"1E+2",
    b"1e-2",
    b"-0",
    b"1723161256299",
    b"1723161256299123",
]
NUMERALS += [
    b"9" * 18,
    b"9" * 19,
    str(2**63 - 1).encode(),
    str(2**63).encode(),
    b"1" * 40,
    b"null",
    b"true",
    b"NaN",
]
TEXTS = [b"1.5", b"1.50000000", b"0.00", b"0", b"1e3", b"1E-8", b"\\u0031.5", b"1.5 ", b"+1", b"1" * 30]
TEXTS += [b"1.500000000000", b"1.500000001000", b"0.00000000000000000001"]
TEXTS += [b".5", b"5.", b"BTCUSDT", b"BTC\\u0055SDT", "币安USDT".encode(), b"\xff", b"MARKET"]
TEXTS += [b'\\"]', b"", b"\\ud800", b"\t"]
NESTED = [b"[]", b"{}", b'[["1.5","2"]]', b'[["1.5","2"],["3","0.1"]]', b'[["1e3","2"]]', b'[[1.5,"2"]]']
NESTED += [
    b'[["1","2","3"]]',
    b'{"u":1,"b":[["1","1"]]}',
    b'[{"e":"trade"},[1,[2,"]"]]]',
    b'{"\\"":{"}":[]}}',
]
NESTED += [b'[["1.500000000","2.000000000000"]]', b'[["1.500000000","2.000000000001"]]']
NESTED += [b"[1e400]", b"[", b'{"a"}']
SOUND: dict[bytes, tuple[bytes, ...]] = {
    b"e": (b'"depthUpdate"', b'"bookTicker"', b'"trade"', b'"aggTrade"'),
    b"s": (b'"BTCUSDT"', b'"A"'),
    b"m": (b"true", b"false"),
    b"X": (b'"MARKET"', b'"ADL"'),
    **dict.fromkeys([b"E", b"T"], (b"1723161256299", b"1723161256299123", b"0")),
    **dict.fromkeys([b"U", b"u", b"pu", b"t"], (b"5123107837557", b"0", b"999999999999999999")),
    **dict.fromkeys([b"B", b"A", b"p", b"q"], (b'"1.5"', b'"61804.70"', b'"0.0000000100"')),
}


def rendered(random: Random) -> bytes:
    """A message as text: sound members in any order, with oddities that JSON allows, and some that it forbids."""
    event = random.choice(SOUND[b"e"])
    pairs = [(key, event if key == b"e" else random.choice(values)) for key, values in SOUND.items()]
    if event == b'"depthUpdate"':
        sides = [b"[]", b'[["1.5","2"]]', b'[["1.5", "2"],["3","0"]]']
    else:
        sides = [b'"61804.7"'] if event == b'"bookTicker"' else [b"7", b"0"]
    pairs += [(key, random.choice(sides)) for key in (b"b", b"a")]
    unknown = [b"st", b"zz", b"ps", b"nq", "ü".encode(), b"\\u0078", b"\\u0075", b"stream", b"n\\n", b"st"]
    for key in random.choices(unknown, k=random.choice([0, 0, 1, 2])):
        pairs.append((key, random.choice([b"1", b'"x"', b"null", b"-0.5"])))
    odd = [*NUMERALS, *(b'"%s"' % text for text in TEXTS), *NESTED]
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        at = random.randrange(len(pairs))
        key, value = pairs[at]
        change = random.randrange(5)
        if change == 0:
            del pairs[at]
        elif change == 1:
            pairs.append((key, random.choice([value, *odd])))  # stands twice
        elif change == 2:
            pairs.append((b"zz", random.choice(odd)))
        else:
            pairs[at] = key, random.choice(odd)
    random.shuffle(pairs)
    blank = random.choice([b"", b"", b" ", b"\n\t", b"\r\n"])
    text = (
        b"{" + (b"," + blank).join(b'"%s"%s:%s%s' % (key, blank, blank, value) for key, value in pairs) + b"}"
    )
    if random.random() < 0.5:
        stream = random.choice([b"btcusdt@depth@100ms", b"btcusdt@depth5", b"a@trade", b"\\u0061@depth"])
        text = b'{"stream":"%s",%s"data":%s}' % (stream, blank, text)
    return text


def test_rendered_messages() -> None:
    """Escapes, exponents, huge numbers, nested values, bytes beyond ASCII and repeated keys: no result differs.

    Both ways are taken: the scanner has understood a good part of the messages by itself, and left the others.
    """
    random, scanned, refused, count = Random(14), 0, 0, 12_000
    payloads = [rendered(random) for _ in range(count)]
    for market in (USDM, SPOT):
        reader, parser = PayloadReader(market, POINTS), PayloadParser(market, POINTS)
        batch = reader.read(pa.array(payloads, pa.binary()))
        scanned += count - batch.slow
        refused += len(batch.refusals)
        for row, payload in enumerate(payloads):
            if batch.records[row, scan.KIND] != OTHER:  # what these are is only counted
                assert message_of(reader, batch, row) == parser.parse(payload), payload
    assert scanned > count // 2  # of 2 · count
    assert refused > count // 2


@pytest.mark.parametrize(
    ("market", "name", "symbol", "point"),
    [
        (USDM, "binance_usdm/btcusdt_20240808.gz", "BTCUSDT", FixedPoint()),
        (COINM, "binance_coinm/btcusd_perp_20240808.gz", "BTCUSD_PERP", FixedPoint(1, 0)),
        (SPOT, "binance_spot/btcusdt_20240808.gz", "BTCUSDT", FixedPoint()),
    ],
)
def test_recorded_messages(
    recordings: Path, market: Market, name: str, symbol: str, point: FixedPoint
) -> None:
    """The scanner takes every recorded websocket message, and equals the slow parser on every tenth."""
    with gzip.open(recordings / "captures" / name) as lines:
        payloads = [line.split(b" ", 1)[1].rstrip(b"\n") for line in lines]
    payloads = [payload for payload in payloads if b'"lastUpdateId"' not in payload[:40]]
    reader, parser = PayloadReader(market, {symbol: point}), PayloadParser(market, {symbol: point})
    batch = reader.read(pa.array(payloads, pa.binary()))
    assert batch.slow == 0
    assert len(payloads) > 5_000
    for row in range(0, len(payloads), 10):
        assert message_of(reader, batch, row) == parser.parse(payloads[row])
    depth = batch.records[batch.records[:, scan.KIND] == members.DEPTH]
    assert np.all(np.diff(depth[:, scan.FINAL_ID]) > 0)


def test_nothing() -> None:
    """A batch without messages, and one of empty messages, are read."""
    reader = PayloadReader(USDM, {})
    assert len(reader.read(pa.array([], pa.binary())).records) == 0
    assert list(reader.read(pa.array([b"", b"{}"], pa.binary())).refusals) == [0]
