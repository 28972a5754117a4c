"""Ids by the first bytes of a message are those of a full parse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.capture.session.message_header import (
    PREFIX,
    Ids,
    depth_ids,
    event_time_ms,
    parsed_ids,
    ticker_ids,
    trade_ids,
)

READERS: dict[str, Callable[[bytes, int, bool], Ids | None]] = {
    "depth": depth_ids,
    "ticker": ticker_ids,
    "trade": trade_ids,
}
KINDS = {"depth": "depth", "bookTicker": "ticker", "trade": "trade"}


def stream_name(payload: bytes) -> bytes | None:
    """Name of the stream of a combined message; None where it does not begin as such a message does."""
    return payload[len(PREFIX) :].partition(b'"')[0] if payload.startswith(PREFIX) else None


def fast(payload: bytes, kind: str, with_previous: bool) -> Ids | None:
    """Ids by the first bytes."""
    name = stream_name(payload)
    assert name is not None
    return READERS[kind](payload, len(PREFIX) + len(name), with_previous)


@pytest.mark.parametrize("market", ["usdm", "coinm", "spot"])
def test_recordings_give_the_ids_of_a_full_parse(
    recordings: Path, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of recorded messages of each market; not one of them needs the slow way."""
    lines = []
    for path in sorted((recordings / f"captures/binance_{market}").glob("*.gz")):
        with gzip.open(path) as file:
            lines += [line.split(b" ", 1)[1].rstrip() for line in islice(file, 5000)]
    expected = []
    for payload in lines:
        name = stream_name(payload)
        if name is not None:
            kind = KINDS[name.split(b"@")[1].decode()]
            expected.append((payload, kind, parsed_ids(payload, kind, market != "spot")))
    assert len(expected) > 4000

    def never(*_: object) -> None:
        raise AssertionError("a recorded message went the slow way")

    monkeypatch.setattr("order_book_platform.capture.session.message_header.parsed_ids", never)
    for payload, kind, ids in expected:
        assert ids is not None
        assert fast(payload, kind, market != "spot") == ids


VALUES = st.one_of(
    st.integers(-5, 10**13),
    st.text(max_size=4),
    st.booleans(),
    st.none(),
    st.floats(0, 9),
    st.lists(st.text(max_size=2)),
)
KEYS = st.sampled_from(["e", "E", "T", "s", "U", "u", "pu", "t", "st", "ps", "b", "a", "x y", 'q"q'])


@given(
    data=st.lists(st.tuples(KEYS, VALUES), max_size=9),
    kind=st.sampled_from(["depth", "ticker", "trade"]),
    with_previous=st.booleans(),
    spaced=st.booleans(),
)
def test_odd_messages_give_the_ids_of_a_full_parse(
    data: list[tuple[str, object]], kind: str, with_previous: bool, spaced: bool
) -> None:
    """Keys in any order, of any type, even twice: a fast result is the one of the parser that knows JSON."""
    separators = (", ", ": ") if spaced else (",", ":")
    fields = separators[0].join(
        json.dumps(key, ensure_ascii=False) + separators[1] + json.dumps(value, ensure_ascii=False)
        for key, value in data
    )
    payload = b'{"stream":"a@b","data":{' + fields.encode() + b"}}"
    keys = [key for key, _ in data]
    if len(set(keys)) == len(keys):
        assert fast(payload, kind, with_previous) == parsed_ids(payload, kind, with_previous)


@given(st.binary(max_size=60))
def test_any_bytes_are_borne(payload: bytes) -> None:
    """Nothing that arrives ends the recorder."""
    for kind, reader in READERS.items():
        reader(payload, len(payload), True)
        assert parsed_ids(payload, kind, False) is None or payload.startswith(b"{")
    event_time_ms(payload)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (
            "depth",
            b'{"e":"depthUpdate","E":1,"T":1,"s":"B","U":7,"u":9,"pu":5,"b":[["1","2"]],"a":[["3","4"]]}',
        ),
        ("ticker", b'{"e":"bookTicker","u":7,"s":"B","b":"1","B":"1","a":"2","A":"1"}'),
        ("trade", b'{"e":"trade","E":1,"T":1,"s":"B","t":7,"p":"1","q":"1","X":"MARKET","m":true}'),
    ],
)
def test_a_message_that_is_cut_off_has_no_ids(kind: str, data: bytes) -> None:
    """However much of it there is: its content is lost, so the chain must not go on from it."""
    payload = b'{"stream":"b@x","data":' + data + b"}"
    assert fast(payload, kind, True) == parsed_ids(payload, kind, True) is not None
    for length in range(payload.index(b"data"), len(payload)):
        assert fast(payload[:length], kind, True) is None


def test_event_times_are_milliseconds() -> None:
    """Microseconds, which spot sends on request, are cut to milliseconds."""
    assert event_time_ms(b'{"stream":"a","data":{"e":"x","E":1723161256299,"u":1}}') == 1723161256299
    assert event_time_ms(b'{"stream":"a","data":{"e":"x","E":1723161256299123,"u":1}}') == 1723161256299
    assert event_time_ms(b'{"stream":"a","data":{"u":1}}') is None
