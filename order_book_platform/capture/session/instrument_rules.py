"""Rules of the instruments, cut from a response of `exchangeInfo`; nothing is recorded before they are known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from order_book_platform.capture.session.actions import Fail
from order_book_platform.capture.session.context import SessionContext
from order_book_platform.capture.session.message_header import parsed
from order_book_platform.capture.session.request_budget import BANNED, TOO_MANY
from order_book_platform.clock import NS_PER_MS
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.sources.binance.market import Market


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """The part of an `exchangeInfo` response that a capture needs.

    Attributes:
        entries: entry of each symbol, parsed, by symbol.
        texts: the bytes of the same entries as the exchange sent them, by symbol; only those that were asked for.
        server_time_ms: time of the exchange, ms since the epoch; None where the response has none.
    """

    entries: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, bytes]
    server_time_ms: int | None

    def unknown(self, symbols: Iterable[str]) -> dict[str, list[str]]:
        """Return the symbols that the exchange does not have, each with names that are near to it."""
        return {
            symbol: get_close_matches(symbol.upper(), self.entries, n=5, cutoff=0.6)
            for symbol in symbols
            if symbol not in self.entries
        }


def read_rules(body: bytes, symbols: Iterable[str]) -> ExchangeRules | None:
    """Read a response of `exchangeInfo`.

    Args:
        body: body of the response.
        symbols: symbols whose entries are wanted as bytes, too.

    Returns:
        The rules; None if the body is no such document.
    """
    document = parsed(body)
    listed = document.get("symbols") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return None
    entries = {
        each["symbol"]: each
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("symbol"), str)
    }
    time = document.get("serverTime")
    texts = {symbol: _cut(body, symbol, entries[symbol]) for symbol in symbols if symbol in entries}
    return ExchangeRules(entries, texts, time if type(time) is int else None)


def _cut(body: bytes, symbol: str, entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of an entry as they were sent, or written anew where they cannot be found."""
    begin = body.find(b'{"symbol":' + json.dumps(symbol, ensure_ascii=False).encode())
    if begin >= 0:
        text = body[begin:].decode(errors="replace")
        try:
            found, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            found, end = None, 0
        if found == entry:
            return text[:end].encode()
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


class InstrumentRules:
    """Takes the rules when they come, and checks at the start that this capture makes sense.

    Args:
        market: the market.
        symbols: symbols that are recorded.
        context: state of the session.

    Attributes:
        known: whether the rules of every symbol are known, so that connections may be opened.
        wanted: whether they have to be asked for at once.
    """

    def __init__(self, market: Market, symbols: Sequence[str], context: SessionContext) -> None:
        self.known = False
        self.wanted = False
        self._market = market
        self._symbols = symbols
        self._context = context
        self._began_ns: int | None = None
        self._error: str | None = None
        """Why the last request brought no rules; None where the exchange has said when to come back."""

    def on_time(self, now_ns: int) -> None:
        """Give up where nothing of use was received in time since the first call."""
        if self._began_ns is None:
            self._began_ns = now_ns
        limit_ns = self._context.limits.start_within_ns
        if not self.known and self._error is not None and now_ns - self._began_ns > limit_ns:
            self._context.out.append(
                Fail(
                    f"the rules of the instruments within {limit_ns / 1e9:g} s",
                    self._error,
                    self._market.exchange_info_path,
                    "Check the network, --rest-url and --ws-url.",
                )
            )

    def on_response(self, status: int, body: bytes, received_ns: int) -> None:
        """Record the rules, also those that have not changed: a log may be cut off in front of them.

        Args:
            status: HTTP status.
            body: body of the response.
            received_ns: wall clock at its arrival, ns.
        """
        rules = read_rules(body, self._symbols) if status == 200 else None
        self.wanted = rules is None
        if rules is None:
            # An exchange that says when to come back is there: the capture waits as long as it says.
            waits = status in (TOO_MANY, BANNED)
            self._error = None if waits else f"status {status}: {body[:200].decode(errors='replace')}"
            return
        if not self.known and not (self._all_listed(rules) and self._same_time(rules, received_ns)):
            return
        for symbol, text in rules.texts.items():
            instrument = self._market.instrument(rules.entries[symbol])
            self._context.record(
                RowKind.RULES, {"symbol": symbol, "instrument": instrument.key}, payload=text
            )
        self.known = True

    def on_failed(self, error: str) -> None:
        """Take note of a request that got no response.

        Args:
            error: what happened.
        """
        self._error = error

    def _all_listed(self, rules: ExchangeRules) -> bool:
        unknown = rules.unknown(self._symbols)
        for symbol, near in unknown.items():
            self._context.out.append(
                Fail(
                    f"a symbol of Binance's market {self._market.name}",
                    repr(symbol),
                    self._market.exchange_info_path,
                    f"Did you mean {', '.join(near)}?" if near else "Look it up on the exchange.",
                    wrong_usage=True,
                )
            )
        for symbol in rules.texts:
            entry = rules.entries[symbol]
            state = entry.get("status", entry.get("contractStatus"))
            if state != "TRADING":
                self._context.warn("not_trading", f"{symbol} has the status {state}.", symbol=symbol)
        return not unknown

    def _same_time(self, rules: ExchangeRules, received_ns: int) -> bool:
        if rules.server_time_ms is None:
            return True
        offset_ns = received_ns - rules.server_time_ms * NS_PER_MS
        if abs(offset_ns) <= self._context.limits.max_clock_offset_ns:
            return True
        self._context.out.append(
            Fail(
                f"a wall clock within {self._context.limits.max_clock_offset_ns / 1e9:.0f} s of the exchange's",
                f"one that is {abs(offset_ns) / 1e9:,.0f} s {'ahead' if offset_ns > 0 else 'behind'}",
                "clock",
                "Set the clock of this machine (chrony or systemd-timesyncd keep it right), and start again.",
            )
        )
        return False
