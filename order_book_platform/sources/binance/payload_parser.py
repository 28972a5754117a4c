"""The slow, exact parser of Binance's messages: JSON, decimals as text to int64 pips, and a reason for every refusal.

It judges the scanner of `kernels.ingest.payload_scan`, and takes what that one does not understand.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from order_book_platform.model import FixedPoint
from order_book_platform.sources.binance.market import Market

LARGEST = 2**63 - 1
"""Largest number that an int64 holds."""
LAST_MS = LARGEST // 1_000_000
"""Largest time in milliseconds that int64 ns can hold."""
FIRST_US = 100_000_000_000_000
"""Times from here on are microseconds, which spot sends on demand: as milliseconds they would lie in the year 5138."""

_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_DIFF_DEPTH = re.compile(r"[^@]*@depth(@.*)?", re.DOTALL)

_WRAPPER = frozenset(("stream", "data"))
_KNOWN = frozenset((*"eETsUubaBAtpqXm", "pu"))

Levels = tuple[tuple[int, int], ...]
"""Price and size in pips of each level, in the order of the message."""


@dataclass(frozen=True, slots=True)
class DepthMessage:
    """A message `depthUpdate`: absolute sizes of the levels that have changed.

    Attributes:
        symbol: Symbol as Binance spells it.
        event_ns: Event time `E`, ns.
        transaction_ns: Transaction time `T`, ns; None on spot.
        first_update_id: `U`.
        final_update_id: `u`.
        prev_final_update_id: `pu`; None on spot.
        bids, asks: Absolute sizes of levels.
    """

    symbol: str
    event_ns: int
    transaction_ns: int | None
    first_update_id: int
    final_update_id: int
    prev_final_update_id: int | None
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class TickerMessage:
    """A `bookTicker`: best bid and ask in pips. Spot sends neither event nor transaction time."""

    symbol: str
    event_ns: int | None
    transaction_ns: int | None
    update_id: int
    bid: tuple[int, int]
    ask: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TradeMessage:
    """A `trade`, or an `aggTrade` whose id is that of the aggregate.

    Attributes:
        symbol: Symbol as Binance spells it.
        is_aggregate: Whether it is an `aggTrade`.
        event_ns: Event time `E`, ns.
        trade_id: `t`, of an aggregate `a`.
        level: Price and size in pips.
        is_buy: Whether the aggressor bought: the buyer is not the maker.
        is_market: False where `X` names something other than MARKET, such as INSURANCE_FUND.
    """

    symbol: str
    is_aggregate: bool
    event_ns: int
    trade_id: int
    level: tuple[int, int]
    is_buy: bool
    is_market: bool


@dataclass(frozen=True, slots=True)
class DepthResponse:
    """A response to a REST request for depth; `event_ns` is None where the exchange sends no `E`."""

    event_ns: int | None
    last_update_id: int
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class OtherMessage:
    """A sound message that is no market data of ours, such as an acknowledgement; `what` names it."""

    what: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A payload that is not understood, with the reason in one sentence."""

    reason: str


ParsedMessage = DepthMessage | TickerMessage | TradeMessage | OtherMessage | Refusal


class _OddError(ValueError):
    """Leaves the parser; its text becomes the reason of a refusal."""


class PayloadParser:
    """Parses messages of one market, exactly or not at all.

    Args:
        market: Market of the messages.
        points: Fixed point of each symbol as Binance spells it; a message of another symbol is refused.
    """

    def __init__(self, market: Market, points: Mapping[str, FixedPoint]) -> None:
        self._market = market
        self._points = points

    def parse(self, payload: bytes) -> ParsedMessage:
        """Parse a message, raw or inside `{"stream": …, "data": …}`; keys that are not known are ignored."""
        try:
            message = _loaded(payload)
            stream = None
            if message.keys() >= _WRAPPER:
                message.check_once(_WRAPPER)
                stream, message = message["stream"], message["data"]
                if not (isinstance(stream, str) and isinstance(message, _Object)):
                    raise _OddError("`stream` is no text, or `data` no object")
            message.check_once(_KNOWN)
            return self._message(message, stream)
        except _OddError as odd:
            return Refusal(str(odd))

    def parse_response(self, symbol: str, body: bytes) -> DepthResponse | Refusal:
        """Parse the body of a response to a REST request for the depth of a symbol."""
        try:
            message = _loaded(body)
            message.check_once(frozenset(("E", "lastUpdateId", "bids", "asks")))
            point = self._point(symbol)
            return DepthResponse(
                _time(message, "E") if "E" in message else None,
                _integer(message, "lastUpdateId"),
                _levels(message, "bids", point),
                _levels(message, "asks", point),
            )
        except _OddError as odd:
            return Refusal(str(odd))

    def _message(self, message: dict[str, Any], stream: str | None) -> ParsedMessage:
        event = message.get("e")
        if event == "depthUpdate":
            if stream is not None and not _DIFF_DEPTH.fullmatch(stream):
                return OtherMessage(
                    "depth of another stream"
                )  # partial books and RPI depth, by the same event
            return self._depth(message)
        if event == "bookTicker" or ("e" not in message and message.keys() >= set("usbBaA")):
            return self._ticker(message)
        if event in ("trade", "aggTrade"):
            return self._trade(message, event == "aggTrade")
        return OtherMessage(event if isinstance(event, str) else "no event")

    def _depth(self, message: dict[str, Any]) -> DepthMessage:
        symbol = _text(message, "s")
        point, is_futures = self._point(symbol), self._market.has_pu
        return DepthMessage(
            symbol,
            _time(message, "E"),
            _time(message, "T") if is_futures else None,
            _integer(message, "U"),
            _integer(message, "u"),
            _integer(message, "pu", -1) if is_futures else None,
            _levels(message, "b", point),
            _levels(message, "a", point),
        )

    def _ticker(self, message: dict[str, Any]) -> TickerMessage:
        symbol = _text(message, "s")
        point = self._point(symbol)
        return TickerMessage(
            symbol,
            _time(message, "E") if "E" in message else None,
            _time(message, "T") if "T" in message else None,
            _integer(message, "u"),
            _level(message, "b", "B", point),
            _level(message, "a", "A", point),
        )

    def _trade(self, message: dict[str, Any], is_aggregate: bool) -> TradeMessage:
        symbol = _text(message, "s")
        point = self._point(symbol)
        maker = _needed(message, "m")
        if not isinstance(maker, bool):
            raise _OddError("`m` is no truth value")
        is_market = "X" not in message or _text(message, "X") == "MARKET"
        return TradeMessage(
            symbol,
            is_aggregate,
            _time(message, "E"),
            _integer(message, "a" if is_aggregate else "t"),
            _level(message, "p", "q", point) if is_market else (0, 0),
            not maker,
            is_market,
        )

    def _point(self, symbol: str) -> FixedPoint:
        if symbol not in self._points:
            raise _OddError(f"there are no rules of {symbol!r}")
        return self._points[symbol]


def _loaded(payload: bytes) -> _Object:
    try:
        message = json.loads(payload.decode("utf-8"), object_pairs_hook=_Object, parse_constant=_no_constant)
    except _OddError:
        raise
    except (ValueError, RecursionError) as error:
        raise _OddError(f"it is no JSON: {error}") from error
    if not isinstance(message, _Object):
        raise _OddError("it is no JSON object")
    return message


class _Object(dict[str, Any]):
    """A JSON object that knows which of its keys stand in it more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs) if len(self) < len(pairs) else Counter[str]()
        self.repeated = {name for name, count in counts.items() if count > 1}

    def check_once(self, names: frozenset[str]) -> None:
        """Refuse an object in which one of the names stands twice; other keys may."""
        if twice := sorted(self.repeated & names):
            raise _OddError(f"`{twice[0]}` stands twice in one object")


def _no_constant(name: str) -> None:
    raise _OddError(f"{name} is no JSON number")


def _needed(message: dict[str, Any], name: str) -> Any:
    if name not in message:
        raise _OddError(f"there is no `{name}`")
    return message[name]


def _text(message: dict[str, Any], name: str) -> str:
    value = _needed(message, name)
    if not isinstance(value, str):
        raise _OddError(f"`{name}` is no text")
    return value


def _integer(message: dict[str, Any], name: str, least: int = 0) -> int:
    value = _needed(message, name)
    if type(value) is not int or not least <= value <= LARGEST:  # a truth value is an int for Python
        raise _OddError(f"`{name}` is no integer from {least} to 2**63 - 1")
    return value


def _time(message: dict[str, Any], name: str) -> int:
    """Return a time in ns of one in milliseconds or microseconds."""
    value = _integer(message, name)
    if value <= LAST_MS:
        return value * 1_000_000
    if FIRST_US <= value <= LARGEST // 1_000:
        return value * 1_000
    raise _OddError(f"`{name}` is no time in milliseconds or microseconds")


def _pips(text: Any, decimals: int, name: str) -> int:
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _OddError(f"{name} is no decimal of digits and at most one point, as text")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise _OddError(f"{name} has more than {decimals} decimals")
    digits = (match[1] + fraction.ljust(decimals, "0")).lstrip("0")
    if len(digits) > 19 or int(digits or "0") > LARGEST:
        raise _OddError(f"{name} does not fit int64 pips of {decimals} decimals")
    return int(digits or "0")


def _price_and_size(price: Any, size: Any, point: FixedPoint, where: str) -> tuple[int, int]:
    pips = _pips(price, point.price_decimals, f"a price of `{where}`")
    if not pips:
        raise _OddError(f"a price of `{where}` is 0")
    return pips, _pips(size, point.size_decimals, f"a size of `{where}`")


def _level(message: dict[str, Any], price: str, size: str, point: FixedPoint) -> tuple[int, int]:
    return _price_and_size(_needed(message, price), _needed(message, size), point, price)


def _levels(message: dict[str, Any], name: str, point: FixedPoint) -> Levels:
    levels = _needed(message, name)
    if not isinstance(levels, list) or not all(
        isinstance(level, list) and len(level) == 2 for level in levels
    ):
        raise _OddError(f"`{name}` is no list of pairs")
    return tuple(_price_and_size(price, size, point, name) for price, size in levels)
