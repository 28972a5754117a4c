"""The loop over a batch: symbols, levels, and that one odd message leaves the others alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan

NAMES = sorted([b"A", b"AB", b"ABC", b"BTCUSDT", b"BTCUSDT_260327", b"ETHUSDT"])


def scanned(messages: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Records and prices of messages of symbols with 2 and 3 decimals."""
    content = np.frombuffer(b"".join(messages) + b"\0", np.uint8)
    offsets = np.cumsum([0, *map(len, messages)], dtype=np.int32)
    names = np.frombuffer(b"".join(NAMES), np.uint8)
    name_offsets = np.cumsum([0, *map(len, NAMES)], dtype=np.int32)
    decimals = np.array([[2, 3]] * len(NAMES))
    records = np.empty((len(messages), scan.COLUMNS), np.int64)
    prices, sizes = np.empty((2, len(content) // 10 + 1), np.int64)
    places = np.empty(members.FIELDS, np.int64)
    scan.scan_payloads(content, offsets, names, name_offsets, decimals, True, places, records, prices, sizes)
    return records, prices


@given(st.lists(st.sampled_from([*NAMES, b"B", b"ABCD", b"", b"ZZ"]), max_size=20))
def test_symbols(symbols: list[bytes]) -> None:
    """Each symbol is found by its bytes; a message of another one is odd, and changes nothing for its neighbours."""
    ticker = '{"u":%d,"s":"%s","b":"1.5","B":"2","a":"1.6","A":"3"}'
    records, _ = scanned([(ticker % (n, name.decode())).encode() for n, name in enumerate(symbols)])
    for n, name in enumerate(symbols):
        if name in NAMES:
            assert records[n, scan.KIND] == members.TICKER
            assert records[n, scan.SYMBOL] == NAMES.index(name)
            assert records[n, [scan.FINAL_ID, scan.BID_PRICE, scan.ASK_SIZE]].tolist() == [n, 150, 3000]
        else:
            assert records[n, scan.KIND] == members.ODD


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_an_odd_message_leaves_no_levels(odd: int) -> None:
    """Levels of a message that turns out odd at its end are written over by the next one."""
    messages = []
    for n in range(3):
        last = ["2.123", "1"] if n == odd else ["2.12", "1"]
        ids = {"E": 1, "T": 1, "s": "A", "U": 1, "u": n, "pu": 0}
        message = {"e": "depthUpdate", **ids, "b": [[f"{n + 1}.0", "1"]], "a": [["9", "1"], last]}
        messages.append(json.dumps(message).encode())
    records, prices = scanned(messages)
    for n in range(3):
        if n == odd:
            assert records[n, scan.KIND] == members.ODD
        else:
            start, end = records[n, [scan.BIDS_START, scan.ASKS_END]]
            assert prices[start:end].tolist() == [100 * (n + 1), 900, 212]


def test_a_list_that_nobody_has_read_is_odd() -> None:
    """A trade's `b` is a number; a list there may hold anything, and is left to the slow parser."""
    trade = b'{"e":"trade","E":1,"s":"A","t":1,"p":"1","q":"1","m":true,"b":%s}'
    records, _ = scanned([trade % b"5", trade % b"[oops]"])
    assert records[:, scan.KIND].tolist() == [members.TRADE, members.ODD]
