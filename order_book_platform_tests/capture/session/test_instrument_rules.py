"""Rules cut from exchangeInfo, as the exchange wrote them."""

from __future__ import annotations

import json

from order_book_platform.capture.session.instrument_rules import read_rules

BODY = (
    b'{"serverTime": 5, "symbols":[{"symbol":"BTCUSDT","status":"TRADING", "filters":[{"a":"}"}]},'
    b'{"status":"TRADING","symbol":"ETHUSDT"}]}'
)


def test_entries_are_cut_to_the_byte() -> None:
    """Spaces and nested brackets stay; an entry that begins otherwise is written anew with the same content."""
    rules = read_rules(BODY, ["BTCUSDT", "ETHUSDT", "NONE"])
    assert rules is not None
    assert rules.texts["BTCUSDT"] == b'{"symbol":"BTCUSDT","status":"TRADING", "filters":[{"a":"}"}]}'
    assert json.loads(rules.texts["ETHUSDT"]) == {"status": "TRADING", "symbol": "ETHUSDT"}
    assert set(rules.texts) == {"BTCUSDT", "ETHUSDT"}
    assert rules.server_time_ms == 5


def test_unknown_symbols_come_with_names_near_to_them() -> None:
    """Letters that were swapped, or a symbol in lower case."""
    rules = read_rules(BODY, [])
    assert rules is not None
    unknown = rules.unknown(["BTCUDST", "ethusdt", "BTCUSDT", "XYZ"])
    assert {symbol: near[:1] for symbol, near in unknown.items()} == {
        "BTCUDST": ["BTCUSDT"],
        "ethusdt": ["ETHUSDT"],
        "XYZ": [],
    }


def test_other_documents_are_no_rules() -> None:
    """An error page is not taken for an exchange without symbols."""
    for body in (b"<html>", b"[]", b'{"symbols":{}}', b'{"code":-1003}'):
        assert read_rules(body, []) is None
