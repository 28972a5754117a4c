"""Each fault on sockets, as a plain client of websockets or HTTP sees it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from order_book_platform.exchange import (
    ExchangeOptions,
    ExchangeServer,
    LocalExchange,
    Pace,
    Start,
    parse_faults,
)
from order_book_platform_tests.exchange.clients import START_NS, ListedFeed, depth

STREAM = "btcusdt@depth@100ms"
EVENTS = [depth(number, [["9.9", str(number)]], []) for number in range(4)]


def exchange(faults: str) -> LocalExchange:
    """An exchange that plays four depth messages at once, as soon as somebody has subscribed."""
    options = ExchangeOptions(Pace(None, Start.SUBSCRIBED), faults=parse_faults(faults))
    return LocalExchange({"usdm": [ListedFeed(EVENTS)]}, options, START_NS)


async def played(served: LocalExchange) -> None:
    """Let the server play all events."""
    async with asyncio.timeout(30):
        while not served.player.finished or any(each.outbox for each in served.connections()):
            await asyncio.sleep(0)


async def until_listed(client: ClientConnection) -> list[Any]:
    """Everything that arrives until the answer to a request which is sent now."""
    await client.send('{"method":"LIST_SUBSCRIPTIONS","id":7}')
    found: list[Any] = []
    while True:
        message = await client.recv()
        try:
            content = json.loads(message)
        except ValueError:
            content = message
        if isinstance(content, dict) and content.get("id") == 7:
            return found
        found.append(content)


def summary(message: Any) -> object:
    """One message in short: the final id of depth, the name of an event, or the type of anything else."""
    if isinstance(message, dict):
        return message.get("u", message.get("e", "answer"))
    return "binary" if isinstance(message, bytes) else "no JSON"


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("drop=0", [110, 120, 130, 140]),
        ("drop@2", [110, 130, 140]),
        ("duplicate@2", [110, 120, 120, 130, 140]),
        ("reorder@2", [110, 130, 120, 140]),
        ("malformed@2", [110, "no JSON", 130, 140]),
        ("binary@2", [110, "binary", 120, 130, 140]),
        ("silence@3", [110, 120]),
        ("silent_ack", []),
        ("wrong_route", []),
        ("server_shutdown@2", [110, "serverShutdown", 120, 130, 140]),
    ],
)
def test_a_message_goes_wrong(fault: str, seen: list[object]) -> None:
    """The client gets the answer to its subscription, and then what was ordered."""

    async def run() -> list[Any]:
        served = exchange(fault)
        async with (
            ExchangeServer(served) as server,
            connect(server.websocket_url("usdm") + "/public/ws", compression=None) as client,
        ):
            await client.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            assert json.loads(await client.recv()) == {"result": None, "id": 1}
            if seen:
                await played(served)
            return await until_listed(client)

    assert [summary(message) for message in asyncio.run(run())] == seen


@pytest.mark.parametrize(
    ("fault", "key", "values"),
    [
        ("wrong_pu@2", "pu", [100, 111, 120, 130]),
        (
            "clock_jump@3/-2sx1",
            "E",
            [1_796_000_000_000, 1_796_000_000_001, 1_795_999_998_002, 1_795_999_998_003],
        ),
    ],
)
def test_a_value_is_wrong(fault: str, key: str, values: list[int]) -> None:
    """The number by which a message follows the one before, or the exchange's time, is another."""

    async def run() -> list[Any]:
        async with (
            ExchangeServer(exchange(fault)) as server,
            connect(server.websocket_url("usdm") + "/ws/" + STREAM, compression=None) as client,
        ):
            return [json.loads(await client.recv())[key] for _ in range(4)]

    assert asyncio.run(run()) == values


@pytest.mark.parametrize(("fault", "status"), [("refuse@1", 503), ("refuse@1/429", 429)])
def test_a_handshake_is_refused(fault: str, status: int) -> None:
    """The first connection gets an HTTP status, the second one is opened."""

    async def run() -> None:
        async with ExchangeServer(exchange(fault)) as server:
            url = server.websocket_url("usdm") + "/ws"
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with connect(url):
                    pass
            assert refused.value.response.status_code == status
            async with connect(url):
                pass

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        ("429/7s", 429, "7"),
        ("418/120s", 418, "120"),
        ("403", 403, None),
        ("503/2s", 503, "2"),
        ("503", 503, None),
    ],
)
def test_a_request_is_refused(fault: str, status: int, retry_after: str | None) -> None:
    """A REST request gets the status, and Retry-After where it was ordered."""

    async def run() -> None:
        async with (
            ExchangeServer(exchange(fault)) as server,
            aiohttp.ClientSession() as session,
            session.get(server.rest_url("usdm") + "/fapi/v1/depth?symbol=BTCUSDT") as response,
        ):
            assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)

    asyncio.run(run())


def test_a_slow_snapshot_comes_later_than_the_messages_after_it() -> None:
    """The response is kept back, and its book is that of the request."""

    async def run() -> None:
        served = exchange("slow_snapshot/2s")
        async with (
            ExchangeServer(served) as server,
            aiohttp.ClientSession() as session,
            connect(server.websocket_url("usdm") + "/ws", compression=None) as client,
        ):
            begun = time.monotonic()
            url = server.rest_url("usdm") + "/fapi/v1/depth?symbol=BTCUSDT"
            request = asyncio.create_task(session.get(url))
            async with asyncio.timeout(30):
                while "rest" not in served.ledger.table()["kind"].to_pylist():
                    await asyncio.sleep(0)
            await client.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            for _ in range(5):
                await client.recv()
            assert not request.done()
            async with await request as response:
                content = await response.json()
            assert content["lastUpdateId"] == 100
            assert time.monotonic() - begun >= 2

    asyncio.run(run())
