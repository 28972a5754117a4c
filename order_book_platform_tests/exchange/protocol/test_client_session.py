"""The server's side of a connection: subscriptions, properties, pings, limits and the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from order_book_platform.exchange.protocol.client_session import ClientSession, Ending
from order_book_platform.exchange.protocol.venue import VenueOptions, venue
from order_book_platform_tests.exchange.clients import SECOND_NS, START_NS, frames, texts

MINUTE_NS = 60 * SECOND_NS
PING, PONG = 9, 10


def session(market: str = "usdm", combined: bool = False, **options: Any) -> ClientSession:
    """A fresh connection."""
    return ClientSession(1, venue(market, VenueOptions(**options)), "public", combined, START_NS)


def ask(client: ClientSession, method: str, *params: object, now_ns: int = START_NS) -> Any:
    """Send a request and take its answer."""
    client.receive_text(json.dumps({"method": method, "params": params, "id": 9}), now_ns)
    (answer,) = texts(client)
    return answer


def test_every_method_is_answered() -> None:
    """SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY and GET_PROPERTY do what they say."""
    client = session()
    assert ask(client, "SUBSCRIBE", "btcusdt@depth", "btcusdt@trade") == {"result": None, "id": 9}
    assert ask(client, "SUBSCRIBE", "btcusdt@depth")["result"] is None
    assert ask(client, "LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@depth", "btcusdt@trade"]
    assert ask(client, "UNSUBSCRIBE", "btcusdt@depth", "never@there")["result"] is None
    assert ask(client, "LIST_SUBSCRIPTIONS")["result"] == ["btcusdt@trade"]
    assert ask(client, "GET_PROPERTY", "combined")["result"] is False
    assert ask(client, "SET_PROPERTY", "combined", True)["result"] is None
    assert ask(client, "GET_PROPERTY", "combined")["result"] is True
    assert client.subscriptions["btcusdt@trade"].wrapper == b'{"stream":"btcusdt@trade","data":'


def test_a_stream_that_means_nothing_is_acknowledged() -> None:
    """Capitals, unknown kinds and no stream at all get the same answer as a stream with data."""
    client = session()
    assert ask(client, "SUBSCRIBE", "BTCUSDT@depth", "btcusdt@aggTrade", "nonsense") == {
        "result": None,
        "id": 9,
    }
    assert [each.kind for each in client.subscriptions.values()] == [None, None, None]


def test_a_connection_carries_1024_streams() -> None:
    """One stream more is refused, and nothing of its request is subscribed."""
    client = session()
    assert "result" in ask(client, "SUBSCRIBE", *(f"s{number}@trade" for number in range(1024)))
    assert ask(client, "SUBSCRIBE", "more@trade")["code"] == 2
    assert len(client.subscriptions) == 1024


@pytest.mark.parametrize(("market", "most"), [("usdm", 10), ("coinm", 10), ("spot", 5)])
def test_incoming_messages_are_limited(market: str, most: int) -> None:
    """One message more than a second allows ends the connection; a second later there is room again."""
    client = session(market)
    for _ in range(most):
        ask(client, "LIST_SUBSCRIPTIONS")
    for _ in range(most):
        ask(client, "LIST_SUBSCRIPTIONS", now_ns=START_NS + SECOND_NS)
    assert client.ending is None
    client.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', START_NS + SECOND_NS)
    assert client.ending == Ending(1008, "Too many requests")
    assert texts(client) == []


def test_on_spot_pings_and_pongs_count() -> None:
    """Five pongs and pings in a second are allowed, the sixth ends the connection; on futures none does."""
    for market, ended in (("spot", True), ("usdm", False)):
        client = session(market)
        for _ in range(3):
            client.receive_pong(b"", START_NS)
            client.receive_ping(b"", START_NS)
        assert (client.ending is not None) == ended


def test_a_ping_is_answered_with_its_payload() -> None:
    """A client's ping gets a pong with a copy of its payload."""
    client = session()
    client.receive_ping(b"payload", START_NS)
    assert frames(client) == [(PONG, b"payload")]


@pytest.mark.parametrize(
    ("market", "every_ns", "within_ns"),
    [("usdm", 3 * MINUTE_NS, 10 * MINUTE_NS), ("spot", 20 * SECOND_NS, MINUTE_NS)],
)
def test_pings_have_a_payload_and_want_a_pong(market: str, every_ns: int, within_ns: int) -> None:
    """Pings come in the market's interval; without a pong that copies one, the connection is closed."""
    client = session(market)
    client.tick(START_NS + every_ns - 1)
    assert frames(client) == []
    client.tick(START_NS + every_ns)
    ((opcode, payload),) = frames(client)
    assert opcode == PING
    assert payload
    client.receive_pong(b"unsolicited", START_NS + every_ns)
    client.tick(START_NS + every_ns + within_ns + 1)
    assert client.ending is not None
    assert client.ending.code == 1008


def test_pongs_keep_a_connection_alive_until_its_24_hours_are_over() -> None:
    """With each ping answered a connection lives for a day, and is then closed."""
    client = session()
    now_ns, end_ns = START_NS, START_NS + 24 * 60 * MINUTE_NS
    while now_ns < end_ns - MINUTE_NS:
        now_ns += MINUTE_NS
        client.tick(now_ns)
        for opcode, payload in frames(client):
            assert opcode == PING
            client.receive_pong(payload, now_ns)
        assert client.ending is None
    client.tick(end_ns)
    assert client.ending is not None
    assert client.ending.code == 1001


def test_the_life_of_a_connection_can_be_set() -> None:
    """A test shortens the 24 hours."""
    client = session(life_ns=SECOND_NS)
    client.tick(START_NS + SECOND_NS)
    assert client.ending is not None


def test_a_binary_message_is_read_as_its_text() -> None:
    """A request in a binary message is answered, bytes that are no text get an error."""
    client = session()
    client.receive_binary(b'{"method":"LIST_SUBSCRIPTIONS","id":1}', START_NS)
    client.receive_binary(b"\xff\xfe", START_NS)
    assert [answer.get("code", 0) for answer in texts(client)] == [0, 3]


def test_an_ended_connection_says_nothing_more() -> None:
    """After the end there are no subscriptions, answers or pings."""
    client = session()
    gone: list[str] = []
    client.on_unsubscribe = lambda subscription: gone.append(subscription.stream)
    ask(client, "SUBSCRIBE", "btcusdt@depth")
    client.end(Ending(None, "broken"))
    client.end(Ending(1000, "later"))
    client.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', START_NS)
    client.tick(START_NS + 3 * MINUTE_NS)
    assert (frames(client), gone, client.ending) == ([], ["btcusdt@depth"], Ending(None, "broken"))
