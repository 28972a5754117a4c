"""The session against an exchange that loses, refuses and falls silent, by a manual clock."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate

import pytest

from order_book_platform.capture.session import SessionLimits, StreamSpec
from order_book_platform.capture.session.message_header import parsed_ids
from order_book_platform.capture.session.stream_watch import SILENCE_NS, StreamKind
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.sources.binance.market import MARKETS, SPOT, USDM, Market
from order_book_platform_tests.capture.session.simulated_exchange import Faults, SimulatedExchange

KINDS: dict[str, StreamKind] = {"depth": "depth", "bookTicker": "ticker", "trade": "trade"}
HARSH = Faults(
    disconnect=0.001,
    mute=0.0005,
    mute_stream=0.0005,
    drop=0.002,
    duplicate=0.01,
    refuse_connect=0.2,
    refuse=0.1,
    stale=0.2,
)
LIMITS = SessionLimits(rotate_after_ns=120 * NS_PER_SECOND, overlap_within_ns=10 * NS_PER_SECOND)


def specs(market: Market, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> list[StreamSpec]:
    """Depth, ticker and trade of some symbols."""
    return [
        StreamSpec(market.stream(kind, symbol), KINDS[kind], symbol, market.route(kind))
        for symbol in symbols
        for kind in KINDS
    ]


def exchange(
    seed: int = 0, market: Market = USDM, faults: Faults | None = None, limits: SessionLimits = LIMITS
) -> SimulatedExchange:
    """An exchange with a session that records it."""
    return SimulatedExchange(market, specs(market), limits, seed, faults or Faults())


def gaps(found: SimulatedExchange, stream: str) -> list[tuple[int, int]]:
    """Times from and to which a stream may have lost messages."""
    return [
        (row["from_monotonic_ns"], at_ns)
        for at_ns, kind, _, row in found.rows
        if kind == "gap" and stream in row["streams"]
    ]


def recorded(found: SimulatedExchange) -> dict[str, list[tuple[int, int, int]]]:
    """Previous id, last id and arrival of each recorded message by stream."""
    ids: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for at_ns, kind, payload, _ in found.rows:
        if kind == "message" and payload.startswith(b'{"stream"'):
            name = json.loads(payload)["stream"]
            read = parsed_ids(payload, _kind(name), found.market.has_pu)
            assert read is not None
            ids[name].append((read.previous, read.last, at_ns))
    return ids


def _kind(name: str) -> str:
    return KINDS[name.split("@")[1]]


def missing(found: SimulatedExchange, name: str) -> list[tuple[int, int]]:
    """Changes of a stream that no recorded message has, between its first and last recorded one, with their times."""
    messages = recorded(found)[name]
    changes = found.sent[name]
    if _kind(name) == "trade":
        changes = [(number, at_ns) for number, (_, at_ns) in enumerate(changes, 1)]
    numbers = [number for number, _ in changes]
    covered = [0] * (len(changes) + 1)
    for previous, last, _ in messages:
        covered[bisect_right(numbers, previous)] += 1
        covered[bisect_right(numbers, last)] -= 1
    have = list(accumulate(covered))
    begin, end = messages[0][2], messages[-1][2]
    return [
        change for change, times in zip(changes, have, strict=False) if not times and begin < change[1] < end
    ]


@pytest.mark.parametrize("market", MARKETS.values(), ids=MARKETS)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_lost_is_inside_a_gap_and_no_gap_is_false(market: Market, seed: int) -> None:
    """Whatever fails: each lost change of depth lies in a gap, and each gap of depth has lost something."""
    found = exchange(seed, market, HARSH)
    found.run(300)
    found.faults = Faults()
    found.run(180)
    for name in found.sent:
        lost, reported = missing(found, name), gaps(found, name)
        if _kind(name) != "depth":
            continue
        for number, at_ns in lost:
            assert any(begin <= at_ns <= end for begin, end in reported), (name, number, at_ns)
        for begin, end in reported:
            assert any(begin <= at_ns <= end for _, at_ns in lost), (name, begin, end)
    assert found.session.snapshots.waiting() == []
    assert len(found.live) == len(found.session.groups)


@pytest.mark.parametrize("seed", range(4))
def test_every_limit_of_the_exchange_is_kept(seed: int) -> None:
    """Weight in each minute of the exchange's clock, and attempts to connect within any five minutes."""
    limits = SessionLimits(
        weight_per_minute=200, connections_per_5_minutes=20, rotate_after_ns=30 * NS_PER_SECOND
    )
    found = exchange(seed, faults=HARSH, limits=limits)
    found.run(600)
    by_minute: dict[int, int] = defaultdict(int)
    for at_ns, weight in found.requests:
        by_minute[at_ns // (60 * NS_PER_SECOND)] += weight
    assert max(by_minute.values()) <= 200
    for begin in found.connects:
        assert sum(begin <= at_ns < begin + 300 * NS_PER_SECOND for at_ns in found.connects) <= 20


@pytest.mark.parametrize("market", MARKETS.values(), ids=MARKETS)
def test_a_day_has_one_rotation_and_no_gap(market: Market) -> None:
    """The connection is replaced within 24 hours, with an overlap that ids prove; snapshots come every 10 minutes."""
    found = exchange(7, market, limits=SessionLimits())
    found.rates = {"BTCUSDT": 0.2, "ETHUSDT": 0.05}
    found.run(24 * 3600, NS_PER_SECOND)
    kinds = [kind for _, kind, _, _ in found.rows if kind not in ("message", "rest")]
    routes = len(found.session.groups)
    assert kinds.count("connect") == 2 * routes
    assert kinds.count("boundary") == routes
    assert kinds.count("gap") == 0
    boundaries = [row for _, kind, _, row in found.rows if kind == "boundary"]
    assert all(not row["unproven"] for row in boundaries)
    assert sum(len(row["proven"]) + len(row["quiet"]) for row in boundaries) == 6
    assert sum(len(row["proven"]) for row in boundaries) >= 4
    opened = [at_ns for at_ns, kind, _, _ in found.rows if kind == "connect"]
    assert max(opened) - min(opened) <= 23.1 * 3600 * NS_PER_SECOND
    snapshots = sum(weight == 20 for _, weight in found.requests)
    assert 2 * 140 < snapshots < 2 * 150


def test_a_thousand_rotations_lose_nothing_and_report_nothing() -> None:
    """Two connections group changes differently; every boundary is proven or quiet, and no gap is recorded."""
    found = exchange(3, limits=SessionLimits(connections_per_5_minutes=10**6))
    found.run(10)
    for _ in range(1000):
        found.carry_out(found.session.rotate())
        (group,) = found.session.groups
        before = group.current
        while group.current is before:
            found.step()
    assert sum(kind == "boundary" for _, kind, _, _ in found.rows) == 1000
    assert not [row for _, kind, _, row in found.rows if kind == "gap"]
    for name in found.sent:
        assert missing(found, name) == []


def test_rules_come_before_connections_and_before_messages() -> None:
    """The log begins with the response, the rules of each symbol as sent, and only then a connection."""
    found = exchange()
    found.run(5)
    kinds = [kind for _, kind, _, _ in found.rows]
    assert kinds[:4] == ["rest", "rules", "rules", "connect"]
    _, _, payload, row = found.rows[1]
    assert payload in found.rows[0][2]
    assert row["instrument"] == "BINANCE_FUTURES:BTC-USDT-PERP"


def test_rules_come_again_every_day() -> None:
    """Whoever removes the oldest segments of the log keeps the rules, although they have not changed."""
    found = exchange(limits=SessionLimits(rules_every_ns=60 * NS_PER_SECOND))
    found.run(150)
    rules = [payload for _, kind, payload, _ in found.rows if kind == "rules"]
    assert len(rules) == 6
    assert rules[:2] == rules[2:4] == rules[4:]


def test_a_silent_connection_is_replaced_beside_it() -> None:
    """A new connection is opened before the silent one is closed, and what was lost is a gap of each stream."""
    found = exchange(5)
    found.run(30)
    for live in found.live.values():
        live.mute = True
    found.run(60)
    connects = [row["why"] for _, kind, _, row in found.rows if kind == "connect"]
    assert connects == ["start", "silence"]
    order = [kind for _, kind, _, _ in found.rows if kind in ("connect", "boundary", "close")]
    assert order == ["connect", "connect", "boundary", "close"]
    reported = {name for _, kind, _, row in found.rows if kind == "gap" for name in row["streams"]}
    assert reported == set(found.sent)


def test_an_acknowledgement_is_no_data() -> None:
    """A stream that was acknowledged and never brought anything is named, with the setting that may be wrong."""
    found = exchange(2, limits=SessionLimits())
    found.run(3)
    for live in found.live.values():
        live.mute_streams.update(name for name in live.streams if name.endswith("@trade"))
    for watch in found.session.watches.values():
        if watch.spec.kind == "trade":
            watch.messages = 0
    found.run(700)
    assert found.warnings.count("stream_not_delivered") == 2


def test_the_announcement_of_a_shutdown_is_followed() -> None:
    """A new connection is opened at once, before the exchange ends the old one."""
    found = exchange(4, SPOT)
    found.run(5)
    (number,) = found.live
    found.deliver(number, b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
    found.run(20)
    assert [row["why"] for _, kind, _, row in found.rows if kind == "connect"] == ["start", "rotation"]
    assert not [row for _, kind, _, row in found.rows if kind == "gap"]


def reported(found: SimulatedExchange) -> list[tuple[str, str]]:
    """Reason and stream of each gap, in order."""
    return [(row["why"], name) for _, kind, _, row in found.rows if kind == "gap" for name in row["streams"]]


def test_a_stop_between_two_connections_is_a_gap_to_the_end() -> None:
    """A connection was lost and no other has brought anything since: the end of the log says so, for each stream."""
    found = exchange(5)
    found.run(20)
    (number,) = found.live
    found.close(number)
    assert reported(found) == []
    found.stop()
    assert sorted(reported(found)) == sorted(("disconnected", name) for name in found.session.watches)


@pytest.mark.parametrize("complete", [True, False])
def test_a_close_without_an_answer_is_a_gap(complete: bool) -> None:
    """What the exchange sent before its close has arrived; where no close came, messages may have been on their way."""
    found = exchange(5)
    found.run(20)
    found.stop(complete=complete)
    assert len(reported(found)) == (0 if complete else 6)


def test_a_connection_that_never_ends_is_closed_by_the_recorder() -> None:
    """After the time for closing handshakes the session is finished, and the log has the end of each connection."""
    found = exchange(5)
    found.run(20)
    found.carry_out(found.session.stop(found.clock.monotonic_ns()))
    found.carry_out(found.session.finish(found.clock.monotonic_ns()))
    assert [kind for _, kind, _, _ in found.rows if kind in ("connect", "close")] == ["connect", "close"]
    assert len(reported(found)) == 6


def test_messages_behind_a_stop_still_count() -> None:
    """The first message of a stream behind a lost connection comes while the next one is being closed: one gap."""
    found = exchange(5)
    found.run(20)
    (number,) = found.live
    found.close(number)
    found.rates = dict.fromkeys(found.symbols, 0.0)
    while not found.live:
        found.step()
    found.carry_out(found.session.stop(found.clock.monotonic_ns()))
    for _ in range(20):
        found.clock.advance(NS_PER_SECOND)
        found._change("BTCUSDT", found.clock.monotonic_ns())
    assert [name for _, name in reported(found) if name == "btcusdt@depth@100ms"] == ["btcusdt@depth@100ms"]
    found.stop()
    proven = [name for _, kind, _, row in found.rows if kind == "boundary" for name in row["proven"]]
    assert sorted([name for _, name in reported(found)] + proven) == sorted(found.session.watches)


def test_a_connection_that_opens_behind_a_stop_follows_a_gap() -> None:
    """It was being opened when the capture was stopped; the one before it ends first, so messages lie between them."""
    found = exchange(5)
    found.run(20)
    (old,) = found.live
    found.carry_out(found.session.rotate())
    found.carry_out(found.session.on_time(found.clock.monotonic_ns()))
    assert len(found.connects) == 2
    found.carry_out(found.session.stop(found.clock.monotonic_ns()))
    found.close(old, "recorder", complete=True)
    for _ in range(20):
        found.clock.advance(NS_PER_SECOND // 10)
        found._change("BTCUSDT", found.clock.monotonic_ns())
    found._closing.clear()
    while not found.live:
        found.clock.advance(NS_PER_SECOND // 10)
        found._open_and_close(found.clock.monotonic_ns())
    for _ in range(20):
        found._change("BTCUSDT", found.clock.monotonic_ns())
    found.stop()
    assert sorted(reported(found)) == sorted(("disconnected", name) for name in found.session.watches)


def test_a_stream_without_a_message_may_have_lost_one() -> None:
    """Its first message can have been on its way when its connection was lost: the next one has a gap before it."""
    found = exchange(5)
    found.rates = dict.fromkeys(found.symbols, 0.0)
    found.run(5)
    (number,) = found.live
    found.close(number)
    found.rates = dict.fromkeys(found.symbols, 1.0)
    found.run(20)
    assert sorted(set(reported(found))) == sorted(("disconnected", name) for name in found.session.watches)


def test_a_hole_behind_a_lost_connection_is_one_gap() -> None:
    """The next connection stays silent, the one after it has the hole: one gap, and no proof of the contrary."""
    found = exchange(5)
    found.run(20)
    (number,) = found.live
    found.close(number)
    found.rates = dict.fromkeys(found.symbols, 0.0)
    while not found.live:
        found.step()
    (silent,) = found.live
    found.live[silent].mute = True
    found.rates = dict.fromkeys(found.symbols, 1.0)
    begin = len(found.rows)
    found.run(5)
    found.carry_out(found.session.rotate())
    found.run(60)
    name = "btcusdt@depth@100ms"
    assert [each for each in reported(found) if each[1] == name] == [("disconnected", name)]
    found.stop()
    assert [each for each in reported(found) if each[1] == name] == [("disconnected", name)]
    proofs = [row for _, kind, _, row in found.rows[begin:] if kind == "boundary" and name in row["proven"]]
    assert proofs == []


def test_an_end_beside_an_older_overlap_loses_nothing() -> None:
    """What was on its way at the end came by the successor, too, which had been open for long enough."""
    found = exchange(5, limits=SessionLimits())
    found.run(30)
    (old,) = found.live
    found.live[old].mute_streams.add("btcusdt@trade")
    found._spec_of = {name: spec for name, spec in found._spec_of.items() if name != "btcusdt@trade"}
    found.carry_out(found.session.rotate())
    found.run(20)
    assert len(found.live) == 2
    found.close(old)
    found.stop()
    assert reported(found) == []


@pytest.mark.parametrize("mute_all", [False, True])
def test_a_silent_connection_covers_nothing(mute_all: bool) -> None:
    """A stream falls silent, its connection ends, the successor never brings it, the one after that does: one gap."""
    found = exchange(5, limits=SessionLimits())
    found.run(20)
    (old,) = found.live
    name = "btcusdt@trade"
    found.live[old].mute_streams.add(name)
    found.carry_out(found.session.rotate())
    found.rates = dict.fromkeys(found.symbols, 0.0)
    while len(found.live) < 2:
        found.step()
    silent = max(found.live)
    found.live[silent].mute_streams.add(name)
    found.live[silent].mute = mute_all
    found.rates = dict.fromkeys(found.symbols, 1.0)
    found.run(15)
    if old in found.live:
        found.close(old)
    found.carry_out(found.session.rotate())
    found.run(60)
    assert [each for _, each in reported(found) if each == name] == [name]
    assert max(found.live) > silent


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_message_beside_an_end_may_have_been_lost_whole(cut: bool) -> None:
    """The successor's copy is cut off, and that of the old connection was on its way when it ended."""
    found = exchange(5)
    found.run(20)
    (old,) = found.live
    found._spec_of = {name: spec for name, spec in found._spec_of.items() if name != "ethusdt@trade"}
    found.carry_out(found.session.rotate())
    while len(found.live) < 2:
        found.step()
    found.run(2)
    new = max(found.live)
    assert len(found.live) == 2
    found.clock.advance(1)
    found.deliver(
        new, b'{"stream":"btcusdt@bookTicker","data":{"u":10000000,"s":"BTCUSDT"' + b"}}"[: 0 if cut else 2]
    )
    found.close(old)
    assert reported(found) == ([("disconnected", "btcusdt@bookTicker")] if cut else [])


def test_a_loss_is_reported_once() -> None:
    """A silent connection ends beside one that has told already what was lost before it: there is nothing to add."""
    found = exchange(5)
    found.run(20)
    (number,) = found.live
    found.close(number)
    found.rates = dict.fromkeys(found.symbols, 0.0)
    while not found.live:
        found.step()
    (silent,) = found.live
    found.live[silent].mute_streams.add("btcusdt@trade")
    found.rates = dict.fromkeys(found.symbols, 1.0)
    found.run(2)
    found.carry_out(found.session.rotate())
    found.run(5)
    assert len(found.live) == 2
    found.close(silent)
    found.stop()
    assert [each for each in reported(found) if each[1] == "btcusdt@trade"] == [
        ("disconnected", "btcusdt@trade")
    ]


@pytest.mark.parametrize("name", ["btcusdt@depth@100ms", "btcusdt@bookTicker"])
@pytest.mark.parametrize("disconnect", [False, True])
def test_a_silence_does_not_raise_the_limit(name: str, disconnect: bool) -> None:
    """A stream is silenced again and again, until it is replaced or its connection is lost; its limit stays."""
    found = exchange(5, limits=SessionLimits())
    found.run(20)
    watch = found.session.watches[name]
    limit_ns = watch.silence_limit_ns(found.clock.monotonic_ns())
    assert limit_ns == SILENCE_NS[watch.spec.kind][0]
    for _ in range(3):
        for live in found.live.values():
            live.mute_streams.add(name)
        found.run(limit_ns / NS_PER_SECOND - 5)
        if disconnect:
            found.close(max(found.live))
        found.run(20)
        assert watch.silence_calls == 0
        assert found.clock.monotonic_ns() - watch.pauses.last_ns < NS_PER_SECOND
        assert watch.silence_limit_ns(found.clock.monotonic_ns()) == limit_ns
        found.run(20)
    assert sum(each == name for _, each in reported(found)) == 3


def test_a_pause_that_a_new_connection_shows_raises_the_limit() -> None:
    """A stream that is quiet on its new connection, too, is not called silent after each of its pauses."""
    found = exchange(5, limits=SessionLimits())
    found.run(20)
    watch = found.session.watches["ethusdt@depth@100ms"]
    found.rates["ETHUSDT"] = 0.0
    found.run(40)
    assert watch.silence_calls == 1
    found.rates["ETHUSDT"] = 1.0
    found.run(5)
    assert 200 < watch.silence_limit_ns(found.clock.monotonic_ns()) / NS_PER_SECOND < 300
    found.rates["ETHUSDT"] = 0.0
    found.run(40)
    assert watch.silence_calls == 0


@pytest.mark.parametrize("silent_s", [10, 17, 40])
def test_a_stream_that_is_silent_at_the_end_has_a_gap_to_there(silent_s: int) -> None:
    """Nothing is known of it behind its last message; of a stream that is quiet within its limit nothing is said."""
    found = exchange(5, limits=SessionLimits())
    found.run(20)
    name = "btcusdt@depth@100ms"
    last_ns = found.session.watches[name].pauses.last_ns
    found._spec_of = {each: spec for each, spec in found._spec_of.items() if each != name}
    found.run(silent_s)
    found.stop()
    assert reported(found) == ([("silence", name)] if silent_s > 15 else [])
    assert [begin for begin, _ in gaps(found, name)] == ([last_ns] if silent_s > 15 else [])


def test_a_slow_close_is_no_silence() -> None:
    """Silence is measured up to the stop, not up to the end of the last connection."""
    found = exchange(5, limits=SessionLimits())
    found.run(20)
    found.carry_out(found.session.stop(found.clock.monotonic_ns()))
    found.clock.advance(60 * NS_PER_SECOND)
    for number in list(found.live):
        found.close(number, "recorder", complete=True)
    found.carry_out(found.session.finish(found.clock.monotonic_ns()))
    assert reported(found) == []


def test_dropped_rows_begin_every_chain_anew() -> None:
    """After a full buffer each book needs a snapshot, whatever the ids say."""
    found = exchange(6)
    found.run(20)
    before = sum(weight == 20 for _, weight in found.requests)
    found.carry_out(found.session.on_dropped(found.clock.monotonic_ns()))
    found.run(20)
    assert sum(weight == 20 for _, weight in found.requests) == before + 2
    assert found.session.snapshots.waiting() == []


def test_numbers_that_begin_anew_are_noticed() -> None:
    """The rules are recorded again, so that the decoder begins another folder, and a snapshot follows."""
    found = exchange(8)
    found.run(20)
    found._id = 1000
    for live in found.live.values():
        live.previous.clear()
    found.sent.clear()
    found.run(60)
    assert "numbering_restarted" in found.warnings
    assert sum(kind == "rules" for _, kind, _, _ in found.rows) > 2
    assert found.session.snapshots.waiting() == []


def test_a_subscription_that_is_refused_is_told() -> None:
    """The text of the exchange reaches the operator."""
    found = exchange(9)
    found.run(5)
    (number,) = found.live
    found.deliver(number, b'{"error":{"code":2,"msg":"Invalid request"},"id":3}')
    found.deliver(number, b"not json")
    assert found.warnings[-2:] == ["subscription_refused", "message_unknown"]


def test_many_symbols_spread_over_connections_and_subscriptions() -> None:
    """No connection has more streams than allowed; what does not fit a URL is subscribed to at the allowed rate."""
    symbols = tuple(f"COIN{number:04}USDT" for number in range(500))
    found = SimulatedExchange(SPOT, specs(SPOT, symbols), SessionLimits(messages_per_second=5), 1, Faults())
    found.rates = dict.fromkeys(symbols, 0.0)
    found.run(30)
    assert sorted(len(live.streams) for live in found.live.values()) == [476, 1024]
    sent = [(at_ns, row["connection"]) for at_ns, kind, _, row in found.rows if kind == "subscribe"]
    assert len(sent) > 10
    for at_ns, number in sent:
        within = [other for other, each in sent if each == number and at_ns <= other < at_ns + NS_PER_SECOND]
        assert len(within) <= 3
