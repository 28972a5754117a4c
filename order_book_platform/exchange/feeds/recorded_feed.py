"""A recording as a feed: lines of `<local arrival, ns> <message>`, gzip or plain, with the REST snapshot among them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from order_book_platform.errors import SourceCorruptError, SourceEmptyError
from order_book_platform.exchange.feeds.feed_event import BookSeed, FeedEvent, SymbolRules
from order_book_platform.exchange.protocol.venue import StreamKind, Venue
from order_book_platform.sources.binance.recorded_lines import RecordedLine, read_lines

_MESSAGE = re.compile(rb'\{"stream":"[^"@]+@([A-Za-z]+)[^"]*","data":(\{.*\})\}\s*', re.DOTALL)
_SNAPSHOT = re.compile(rb'\{"lastUpdateId":.*\}\s*', re.DOTALL)
_HEADER = re.compile(rb'"(E|T|U|u|pu|t)":(\d+)')
_SYMBOL = re.compile(rb'"s":"([^"]+)"(?:,"ps":"[^"]+")?')
_SEARCHED_LINES = 100_000
"""Lines among which the recording's snapshot has to be."""
_QUOTES = ("USDT", "USDC", "FDUSD", "USD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
"""Quote assets by which the name of a symbol is split; names do not say where the quote begins."""


@dataclass(frozen=True)
class RecordedFeed:
    """The messages of one symbol as somebody recorded them.

    Attributes:
        files: parts of one recording, in order of time.
        venue: market that was recorded.
        today: whether messages get the keys `st` and `ps` that futures have had since the merge of June 2026; without,
            each payload goes out as it was recorded, to the byte.
    """

    files: tuple[Path, ...]
    venue: Venue
    today: bool = True

    @cached_property
    def rules(self) -> SymbolRules:
        """The instrument, its increments found from the levels of the snapshot."""
        symbol, _, seed = self._opening
        base, quote = split_symbol(symbol)
        levels = [*seed.bids, *seed.asks]
        return SymbolRules(
            symbol,
            base,
            quote,
            increment([price for price, _ in levels]),
            increment([quantity for _, quantity in levels]),
        )

    @property
    def seed(self) -> BookSeed:
        """The recorded REST snapshot."""
        return self._opening[2]

    def events(self, start_ns: int) -> Iterator[FeedEvent]:
        """Give every recorded message, and an event without a stream where the snapshot was recorded."""
        del start_ns  # recorded messages keep the times that they have
        symbol, first_ns, _ = self._opening
        added = None
        if self.today and self.venue.family is not None:
            added = b'"s":"%s","ps":"%s","st":%d' % (
                symbol.encode(),
                symbol.partition("_")[0].encode(),
                self.venue.family,
            )
        last_ns = 0
        for line in read_lines(self.files):
            last_ns = max(last_ns, line.arrival_ns - first_ns)
            event = _event(line, last_ns, symbol)
            if event is None:
                continue
            if added is not None and event.kind is not None:
                event.payload = _SYMBOL.sub(added, event.payload, count=1)
            yield event

    @cached_property
    def _opening(self) -> tuple[str, int, BookSeed]:
        """Symbol, arrival of the first line, and the snapshot."""
        symbol = first_ns = None
        for number, line in enumerate(read_lines(self.files)):
            first_ns = first_ns if first_ns is not None else line.arrival_ns
            if (match := _MESSAGE.fullmatch(line.message)) is not None and (
                found := _SYMBOL.search(match[2])
            ) is not None:
                symbol = symbol or found[1].decode()
            if _SNAPSHOT.fullmatch(line.message) is not None and symbol is not None:
                content = json.loads(line.message)
                times = content.get("E", 0), content.get("T", 0)
                seed = BookSeed(content["lastUpdateId"], content["bids"], content["asks"], *times)
                return symbol, first_ns, seed
            if number >= _SEARCHED_LINES:
                break
        raise SourceEmptyError(
            expected=f"a REST depth snapshot among the first {_SEARCHED_LINES:,} lines, and messages before it",
            found="none" if symbol is not None else "no message of a stream either",
            where=", ".join(map(str, self.files)),
            remedy="Begin with the file that has the snapshot; files that continue it come after it.",
        )


def increment(numbers: Sequence[str]) -> str:
    """Give the largest power of ten that divides all decimals, as text: `0.10` of 61800.20 and 61800.30."""
    places = max(len(number.partition(".")[2]) for number in numbers)
    common = math.gcd(*(int(number.replace(".", "")) for number in numbers if number.strip("0.")))
    while places and common % 10 == 0:
        places, common = places - 1, common // 10
    return "1" if places == 0 else f"0.{'0' * (places - 1)}1"


def split_symbol(symbol: str) -> tuple[str, str]:
    """Give base and quote of a symbol such as BTCUSDT or BTCUSD_PERP."""
    name = symbol.partition("_")[0]
    for quote in _QUOTES:
        if name.endswith(quote) and name != quote:
            return name.removesuffix(quote), quote
    return name, ""


def _event(line: RecordedLine, due_ns: int, symbol: str) -> FeedEvent | None:
    match = _MESSAGE.fullmatch(line.message)
    if match is None:
        if _SNAPSHOT.fullmatch(line.message) is not None:
            return FeedEvent(due_ns, symbol, None, b"")
        raise _corrupt(line)
    payload = match[2]
    try:
        kind = StreamKind(match[1].decode())
    except ValueError:
        return None  # a stream that the exchange has no data for
    found = {name: int(value) for name, value in _HEADER.findall(payload.partition(b'"b":[')[0])}
    event_ms, transaction_ms = found.get(b"E", 0), found.get(b"T", 0)
    if kind is StreamKind.DEPTH:
        ids = found[b"U"], found[b"u"], found.get(b"pu", -1)
    else:
        number = found[b"u"] if kind is StreamKind.TICKER else found[b"t"]
        ids = number, number, -1
    return FeedEvent(due_ns, symbol, kind, payload, *ids, event_ms, transaction_ms)


def _corrupt(line: RecordedLine) -> SourceCorruptError:
    return SourceCorruptError(
        expected="lines of <ns> <json>, the JSON a message of a combined stream or a REST depth snapshot",
        found=repr(line.message[:60].decode(errors="replace")),
        where=line.where,
        remedy="Name a file that a recorder of raw websocket messages wrote.",
    )
