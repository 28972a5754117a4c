"""Faults of messages and connections, as a client and the ledger see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from order_book_platform.errors import ExchangeError
from order_book_platform.exchange import LocalExchange, parse_faults
from order_book_platform.exchange.fault_injection import FaultOrder
from order_book_platform.exchange.protocol.client_session import Ending
from order_book_platform.exchange.served_market import RefusedHandshake
from order_book_platform_tests.exchange.clients import (
    SECOND_NS,
    START_NS,
    connected,
    depth,
    exchange,
    frames,
    texts,
)

EVENTS = [depth(number, [["9.9", str(number)]], [], due_ns=number * SECOND_NS) for number in range(6)]
STREAM = "btcusdt@depth@100ms"


def played(faults: str, path: str = "/public/ws/" + STREAM, **options: Any) -> tuple[LocalExchange, Any]:
    """An exchange with a fault whose events have all been played to one connection."""
    served = exchange(EVENTS, faults=parse_faults(faults), **options)
    client = connected(served, path)
    play(served)
    return served, client


def play(served: LocalExchange) -> None:
    """Start the feeds, and let ten seconds pass."""
    served.advance(START_NS)
    served.advance(START_NS + 10 * SECOND_NS)


def fates(served: LocalExchange) -> list[tuple[int, str, str | None]]:
    """Final id, fate and fault of each data message in the ledger."""
    rows = served.ledger.table().to_pylist()
    return [(row["final_update_id"], row["fate"], row["fault"]) for row in rows if row["kind"] == "message"]


def ids(client: Any) -> list[int]:
    """Final ids of the messages that a client got."""
    return [data["u"] for data in texts(client)]


def test_without_faults_everything_is_sent_and_listed() -> None:
    """The ledger has each message with its ids, connection and stream."""
    served, client = played("")
    assert ids(client) == [110, 120, 130, 140, 150, 160]
    row = served.ledger.table().to_pylist()[-1]
    assert (row["connection"], row["stream"], row["first_update_id"], row["prev_final_update_id"]) == (
        1,
        STREAM,
        153,
        150,
    )
    assert fates(served) == [(number, "sent", None) for number in range(110, 170, 10)]


def test_a_dropped_message_is_missing() -> None:
    """The chain breaks at the next one, and the ledger says which was dropped."""
    served, client = played("drop@2")
    assert ids(client) == [110, 130, 140, 150, 160]
    assert fates(served)[1] == (120, "dropped", "drop")


def test_a_duplicate_comes_twice() -> None:
    """Both copies are listed."""
    served, client = played("duplicate@2")
    assert ids(client) == [110, 120, 120, 130, 140, 150, 160]
    assert [fault for _, _, fault in fates(served)].count("duplicate") == 2


def test_a_reordered_message_comes_after_the_next_one() -> None:
    """The ledger has the order in which they were sent."""
    served, client = played("reorder@2")
    assert ids(client) == [110, 130, 120, 140, 150, 160]
    assert [number for number, _, _ in fates(served)] == [110, 130, 120, 140, 150, 160]


def test_a_wrong_pu_breaks_the_chain() -> None:
    """`pu` is moved by one, or by the ordered offset; the levels are right, and the ledger keeps the true ids."""
    for fault, offset in (("wrong_pu@2", 1), ("wrong_pu@2/-7", -7)):
        served, client = played(fault)
        assert [data["pu"] for data in texts(client)][:3] == [100, 110 + offset, 120]
        assert fates(served)[1] == (120, "sent", "wrong_pu")


def test_on_spot_a_wrong_chain_is_a_wrong_first_id() -> None:
    """Spot has no `pu`; `U` does not continue the message before."""
    events = [depth(number, [["9.9", "1"]], [], spot=True) for number in range(3)]
    served = exchange(events, "spot", faults=parse_faults("wrong_pu@2"))
    client = connected(served, "/ws/" + STREAM)
    served.advance(START_NS)
    assert [data["U"] for data in texts(client)] == [101, 112, 121]


def test_a_malformed_message_is_no_json() -> None:
    """Half a message arrives, and counts as damaged."""
    served, client = played("malformed@2")
    payloads = [payload for _, payload in frames(client)]
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(payloads[1])
    assert fates(served)[1] == (120, "damaged", "malformed")


def test_a_binary_message_comes_between() -> None:
    """Bytes that are no text arrive as a binary message; nothing else is lost."""
    _, client = played("binary@2")
    found = frames(client)
    assert [opcode for opcode, _ in found] == [1, 2, 1, 1, 1, 1, 1]


def test_a_frame_may_be_wrong() -> None:
    """The opcode means nothing, and the message counts as damaged."""
    served, client = played("bad_frame@2")
    assert [opcode for opcode, _ in frames(client)] == [1, 3, 1, 1, 1, 1]
    assert fates(served)[1] == (120, "damaged", "bad_frame")


def test_spot_sends_microseconds_where_they_are_asked_for() -> None:
    """`timeUnit=MICROSECOND` of the handshake multiplies `E`; futures do not know it."""
    for market, factor in (("spot", 1000), ("usdm", 1)):
        served = exchange([depth(0, [["9.9", "1"]], [], spot=market == "spot")], market)
        client = connected(served, "/stream", f"streams={STREAM}&timeUnit=MICROSECOND")
        served.advance(START_NS)
        ((_, payload),) = frames(client)
        assert json.loads(payload)["data"]["E"] == 1_796_000_000_000 * factor


def test_a_stream_falls_silent() -> None:
    """From one message on nothing comes, and the ledger has what was kept back."""
    served, client = played("silence@4")
    assert ids(client) == [110, 120, 130]
    assert fates(served)[3:] == [
        (140, "silent", "silence"),
        (150, "silent", "silence"),
        (160, "silent", "silence"),
    ]


def test_an_acknowledged_stream_may_stay_silent() -> None:
    """The subscription is answered, and no data follow."""
    served = exchange(EVENTS, faults=parse_faults("silent_ack"))
    client = connected(served, "/public/ws")
    client.receive_text(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}), START_NS)
    play(served)
    assert texts(client) == [{"result": None, "id": 1}]
    assert {fate for _, fate, _ in fates(served)} == {"silent"}


def test_a_connection_may_be_on_a_wrong_route() -> None:
    """Nothing is delivered, although the path was right."""
    served, client = played("wrong_route@1")
    assert texts(client) == []
    assert [row["kind"] for row in served.ledger.table().to_pylist()] == ["open", "undelivered"]
    assert texts(connected(served, "/public/ws/" + STREAM)) == []


def test_a_connection_may_be_refused() -> None:
    """The first handshake gets the ordered status, the second is accepted."""
    served = exchange(EVENTS, faults=parse_faults("refuse@1/403"))
    market = served.markets["usdm"]
    assert market.connect("/ws", "", START_NS) == RefusedHandshake(403, "refused as ordered")
    assert not isinstance(market.connect("/ws", "", START_NS), RefusedHandshake)


@pytest.mark.parametrize(
    ("fault", "code"), [("disconnect@3", None), ("close@3", 1001), ("close@3/1011", 1011)]
)
def test_a_connection_ends_at_a_message(fault: str, code: int | None) -> None:
    """What was sent before arrives, the message itself does not, and is not in the ledger."""
    served, client = played(fault)
    assert client.ending is not None
    assert client.ending.code == code
    assert ids(client) == [110, 120]
    assert [number for number, _, _ in fates(served)] == [110, 120]


def test_a_disconnect_by_time() -> None:
    """Once the ordered time has passed, the next message ends the connection."""
    served = exchange(EVENTS, faults=parse_faults("disconnect~3s"))
    client = connected(served, "/public/ws/" + STREAM)
    for second in range(6):
        served.advance(START_NS + second * SECOND_NS)
    assert ids(client) == [110, 120, 130]


@pytest.mark.parametrize("combined", [False, True])
def test_a_shutdown_is_announced(combined: bool) -> None:
    """`serverShutdown` comes in the form of the connection, data go on, and the close follows after the lead."""
    path, query = ("/public/stream", "streams=" + STREAM) if combined else ("/public/ws/" + STREAM, "")
    served = exchange(EVENTS, faults=parse_faults("server_shutdown@2/30s"))
    client = connected(served, path, query)
    play(served)
    found = texts(client)
    event = found[1]["data"] if combined else found[1]
    assert event["e"] == "serverShutdown"
    assert not combined or found[1]["stream"] == "!serverShutdown"
    assert len(found) == 7
    served.advance(START_NS + 41 * SECOND_NS)
    assert client.ending is not None
    assert client.ending.code == 1001


@pytest.mark.parametrize(("value", "ms"), [("", 1000), ("/-1.27s", -1270)])
def test_the_clock_jumps(value: str, ms: int) -> None:
    """From one message on `E` is another, on every connection; `T` and the ids stay."""
    served = exchange(EVENTS, faults=parse_faults(f"clock_jump@3{value}x1"))
    first = connected(served, "/public/ws/" + STREAM)
    second = connected(served, "/ws")
    play(served)
    shifts = [data["E"] - data["T"] for data in texts(first)]
    assert shifts == [0, 0, ms, ms, ms, ms]
    assert texts(second) == []


def test_faults_concern_the_streams_that_they_name() -> None:
    """An order with a stream leaves others alone, and counts its opportunities on that stream only."""
    served = exchange(EVENTS, faults=parse_faults("drop@1:bookTicker,drop@2:depth"))
    client = connected(served, "/public/ws/" + STREAM)
    play(served)
    assert ids(client) == [110, 130, 140, 150, 160]


def test_the_same_seed_gives_the_same_faults() -> None:
    """A schedule follows from the seed and the connection's number, and another seed gives another."""
    found = [fates(played("drop=0.5", seed=seed)[0]) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_own_groupings_of_two_connections_differ() -> None:
    """Two connections get the same changes in other messages, each with an unbroken chain."""
    events = [depth(number, [["9.9", str(number)]], []) for number in range(60)]
    served = exchange(events, own_groupings=True)
    clients = [connected(served, "/public/ws/" + STREAM) for _ in range(2)]
    served.advance(START_NS)
    served.advance(START_NS + SECOND_NS)
    found = [texts(client) for client in clients]
    assert [data["u"] for data in found[0]] != [data["u"] for data in found[1]]
    for messages in found:
        assert (messages[0]["pu"], messages[-1]["u"]) == (100, 700)
        assert [data["pu"] for data in messages[1:]] == [data["u"] for data in messages[:-1]]


def test_a_test_orders_while_it_runs() -> None:
    """Faults, disconnects and jumps of the clock can be ordered of a running exchange."""
    served = exchange(EVENTS)
    client = connected(served, "/public/ws/" + STREAM)
    served.advance(START_NS)
    served.order(FaultOrder.parse("drop@1"), START_NS)
    served.jump_clock(5)
    served.advance(START_NS + 2 * SECOND_NS)
    served.disconnect(client.number)
    assert [(data["u"], data["E"] - data["T"]) for data in texts(client)] == [(110, 0), (130, 5)]
    assert client.ending == Ending(None, "ordered")


def test_a_stale_snapshot_cannot_be_ordered_later() -> None:
    """The books keep no history unless it is wanted from the start."""
    served = exchange(EVENTS)
    with pytest.raises(ExchangeError, match="stale snapshots ordered at the start"):
        served.order(FaultOrder.parse("stale_snapshot"), START_NS)


def test_a_connection_that_ends_gets_no_second_stream() -> None:
    """Of two names of one stream the first ends the connection; the second has nothing in the ledger."""
    served = exchange(EVENTS, faults=parse_faults("disconnect@1"))
    client = connected(served, f"/public/ws/{STREAM}/btcusdt@depth")
    served.advance(START_NS)
    assert (texts(client), fates(served)) == ([], [])
