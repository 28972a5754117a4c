"""Random schedules of faults for a capture, the times that make one short, and the exchange's own truth about it."""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, partial
from heapq import nlargest, nsmallest
from typing import Any

import pytest

from benchmarks.capture_account import Gap
from order_book_platform.capture import live_capture
from order_book_platform.capture.capture_plan import session_limits
from order_book_platform.capture.session import connection_group, overlap, request_budget, snapshot_requests
from order_book_platform.capture.session import stream_watch as watching
from order_book_platform.capture.session.backoff import Backoff
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.exchange.protocol.venue import StreamKind
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform_tests.capture.served import feed

FAULTS = (
    "drop=0.003",
    "drop=0.02:depth",
    "duplicate=0.02",
    "duplicate=0.1:depth",
    "reorder=0.005",
    "reorder=0.02:depth",
    "silence@{few}:trade",
    "silence@{few}:depth",
    "silent_ack=0.2",
    "wrong_route@2",
    "disconnect@{n}",
    "close@{n}/1001",
    "bad_frame@{n}",
    "refuse=0.3",
    "server_shutdown@{n}/500ms",
    "slow_snapshot=0.5/300ms",
    "stale_snapshot=0.5/500ms",
    "429=0.3/1sx2",
    "418@2/1s",
    "403=0.3x3",
    "503=0.3x3",
    "malformed=0.005",
    "malformed=0.02:depth",
    "binary=0.01",
    "clock_jump@{n}/90s",
    "clock_jump@{n}/-90s",
)
"""Every fault of the exchange but a wrong `pu`, which is no loss but a lie. `wrong_route` is one on USD-M only."""
CHANGES_PER_SECOND = 4_000
"""Level changes a second of each symbol."""
DEPTH = 5
"""Levels a side that books are compared by."""


@dataclass(frozen=True)
class Schedule:
    """What happens to one capture.

    Attributes:
        seed: from which everything follows.
        market: name of the market.
        faults: faults of the exchange.
        rotations: numbers of received messages at which every connection is replaced.
        weight_per_minute: request weight that the capture may use.
    """

    seed: int
    market: str
    faults: str
    rotations: tuple[int, ...]
    weight_per_minute: int

    @classmethod
    def drawn(cls, seed: int) -> Schedule:
        """Draw a market, three to six faults, and rotations."""
        rng = random.Random(seed)
        market = rng.choice(list(MARKETS))
        chosen = rng.sample(FAULTS, rng.randint(3, 6))
        faults = ",".join(each.format(n=rng.randint(300, 1_000), few=rng.randint(10, 100)) for each in chosen)
        rotations = sorted(rng.sample(range(400, 2_000), rng.randint(0, 2)))
        return cls(seed, market, faults, tuple(rotations), rng.choice([600, 1_000, 2_400]))


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Let waits, back-offs and limits of silence take tenths of a second; which of them are kept stays the same."""
    tenth_ns = NS_PER_SECOND // 10
    silence: dict[watching.StreamKind, tuple[int, int]] = {
        "depth": (8 * tenth_ns, 12 * tenth_ns),
        "ticker": (8 * tenth_ns, 12 * tenth_ns),
        "trade": (8 * tenth_ns, 12 * tenth_ns),
    }
    patch.setattr(watching, "SILENCE_NS", silence)
    patch.setattr(overlap, "GRACE_NS", 3 * tenth_ns)
    patch.setattr(connection_group, "FIRST_WAIT_NS", tenth_ns)
    patch.setattr(connection_group, "STABLE_NS", 3 * tenth_ns)
    patch.setattr(snapshot_requests, "FIRST_RETRY_NS", tenth_ns)
    patch.setattr(request_budget, "Backoff", partial(Backoff, first_ns=tenth_ns))
    patch.setattr(
        live_capture,
        "session_limits",
        lambda market, settings: replace(
            session_limits(market, settings),
            silence_min_ns=8 * tenth_ns,
            silence_max_ns=12 * tenth_ns,
            overlap_within_ns=8 * tenth_ns,
        ),
    )


# --- the feed's own truth -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Published:
    """Events of one stream.

    Attributes:
        numbers: id of each event, ascending: `u` of depth and tickers, `t` of trades.
        due_ns: when each happens, ns since the start of the feed.
    """

    numbers: list[int] = field(default_factory=list)
    due_ns: list[int] = field(default_factory=list)


class FeedTruth:
    """Everything that a simulated symbol publishes, and its best levels at each update id, as far as asked for."""

    def __init__(self, market: str, symbol: str) -> None:
        source = feed(market, symbol, CHANGES_PER_SECOND)
        self.streams = {kind: Published() for kind in StreamKind}
        self.best: dict[int, tuple[Sequence[tuple[Decimal, Decimal]], ...]] = {}
        self._market, self._symbol = MARKETS[market], symbol
        self._sides = tuple(dict(_numbers(levels)) for levels in (source.seed.bids, source.seed.asks))
        self._events = source.events(0)
        self._due_ns = 0

    def stream(self, kind: StreamKind) -> str:
        """Name of a stream."""
        return self._market.stream(kind.value, self._symbol)

    def extend(self, until_ns: int) -> None:
        """Follow the feed for some time, ns since its start."""
        while self._due_ns <= until_ns:
            event = next(self._events)
            self._due_ns = event.due_ns
            assert event.kind is not None
            published = self.streams[event.kind]
            published.numbers.append(event.final_update_id)
            published.due_ns.append(event.due_ns)
            if event.kind is StreamKind.DEPTH:
                for side, levels in zip(self._sides, event.levels(), strict=True):
                    for price, size in _numbers(levels):
                        side.pop(price, None)
                        if size:
                            side[price] = size
                bids, asks = self._sides
                best = nlargest(DEPTH, bids), nsmallest(DEPTH, asks)
                self.best[event.final_update_id] = tuple(
                    [(price, side[price]) for price in prices]
                    for side, prices in zip(self._sides, best, strict=True)
                )


def _numbers(levels: Iterable[Sequence[str]]) -> Iterator[tuple[Decimal, Decimal]]:
    return ((Decimal(price), Decimal(size)) for price, size in levels)


@cache
def feed_truth(market: str, symbol: str) -> FeedTruth:
    """Truth of a symbol; the feeds of all schedules are the same."""
    return FeedTruth(market, symbol)


# --- gaps against the truth -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Judgement:
    """What is to be said of the gaps of one stream.

    Attributes:
        true: gaps with events that were missing when the gap was recorded.
        late: of these, gaps whose events all came behind them: the exchange had changed the order.
        false: gaps without such events.
        unreported: events that the log lacks between others, without a gap, and that no fault kept back.
    """

    true: int = 0
    late: int = 0
    false: list[Gap] = field(default_factory=list)
    unreported: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Message:
    """A data message of the raw log.

    Attributes:
        row: number of its row.
        monotonic_ns: its arrival.
        before: greatest id that it does not cover.
        last: its last id.
    """

    row: int
    monotonic_ns: int
    before: int
    last: int


def messages_of(rows: list[dict[str, Any]]) -> dict[str, list[Message]]:
    """The whole data messages of a raw log by stream, in order of arrival."""
    found: dict[str, list[Message]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row["kind"] == "message" and not row["binary"] and row["payload"][-1:] == b"}":
            document = json.loads(row["payload"])
            data = document.get("data", {})
            last = data["t"] if data.get("e") == "trade" else data.get("u")
            if last is not None:
                before = data["pu"] if "pu" in data else data.get("U", last) - 1
                found[document["stream"]].append(Message(number, row["monotonic_time"], before, last))
    return found


def gaps_of(rows: list[dict[str, Any]]) -> list[tuple[Gap, int]]:
    """The gaps of a raw log with their arrivals by the wall clock, ns."""
    found = []
    for number, row in enumerate(rows):
        if row["kind"] == "gap":
            detail = json.loads(row["detail"])
            times = detail["from_monotonic_ns"], row["monotonic_time"]
            gap = Gap(detail["why"], frozenset(detail["streams"]), *times, 0, number)
            found.append((gap, row["received_time"]))
    return found


def judge(
    published: Published,
    messages: Sequence[Message],
    gaps: Sequence[tuple[Gap, int]],
    since_ns: int,
    withheld: set[int],
) -> Judgement:
    """Hold the gaps of a stream against what was published.

    Args:
        published: the stream's events.
        messages: its messages in the log.
        gaps: its gaps, and when each was recorded, ns since the start of the feed.
        since_ns: when somebody listened for the first time, ns since the start of the feed.
        withheld: ids of events that a fault kept back on some connection, so that no gap needs to tell of them.
    """
    found = Judgement()
    numbers = published.numbers
    first = bisect_left(published.due_ns, since_ns)
    arrival: dict[
        int, int
    ] = {}  # by place among the events: monotonic time of the first message that covers it
    claims: list[list[int]] = []
    claimed: set[int] = set()
    waiting = deque(messages)
    for gap, recorded_ns in [*gaps, (None, 0)]:
        while waiting and (gap is None or waiting[0].row < gap.row):
            message = waiting.popleft()
            places = bisect_right(numbers, message.before), bisect_right(numbers, message.last)
            for place in range(*places):
                arrival.setdefault(place, message.monotonic_ns)
        if gap is None:
            break
        end = bisect_right(published.due_ns, recorded_ns)
        between, behind = (
            [place for place in places if place not in claimed]
            for places in _missing(arrival, first, end, gap.from_ns)
        )
        # What is not there yet is missing only where nobody was connected.
        missing = between or (behind if gap.is_open(max(arrival.values(), default=0)) else [])
        claims += [missing] if missing else []
        claimed.update(missing)
        found.false += [] if missing else [gap]
    found.true = len(claims)
    found.late = sum(all(place in arrival for place in missing) for missing in claims)
    found.unreported = [
        numbers[place]
        for place in range(min(arrival, default=0), max(arrival, default=0))
        if place not in arrival and place not in claimed and numbers[place] not in withheld
    ]
    return found


def _missing(arrival: dict[int, int], first: int, end: int, from_ns: int) -> tuple[list[int], list[int]]:
    """Places that have not arrived: in holes that end behind the beginning of a gap, and behind all that have."""
    last = max(arrival, default=first - 1)
    found: list[int] = []
    hole: list[int] = []
    right_ns = arrival.get(last, 0)
    for place in range(last - 1, first - 2, -1):
        if place not in arrival and place >= first:
            hole.append(place)
            continue
        left_ns = arrival.get(place, 0)
        if right_ns > from_ns or right_ns == left_ns:
            found += hole
        hole, right_ns = [], left_ns
    return found, list(range(last + 1, end))
