"""The websocket shell against a server on loopback: messages, pings, ends and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from order_book_platform.capture.websocket_client import Ended, WebsocketClient, seconds
from order_book_platform_tests.manual_clock import ManualClock


class Kept:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.found: list[object] = []

    def opened(self, connection: int, received_ns: int, monotonic_ns: int) -> None:
        """Keep the opening."""
        self.found.append(("opened", connection))

    def message(
        self, connection: int, binary: bool, payload: bytes, received_ns: int, monotonic_ns: int
    ) -> None:
        """Keep the message."""
        self.found.append((binary, payload, received_ns, monotonic_ns))


async def against(
    serving: Callable[[ServerConnection], Awaitable[None]],
    work: Callable[[WebsocketClient], Awaitable[Ended]],
    kept: Kept,
    refuse: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> Ended:
    """Run a client against a server."""
    clock = ManualClock(5)
    clock.advance(2)
    async with serve(serving, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        return await work(WebsocketClient(f"ws://127.0.0.1:{port}/", kept, clock))


def test_messages_come_with_kind_and_time_in_order() -> None:
    """The opening comes first, a message in fragments is one message, and a ping comes back with its payload."""
    pong: list[float] = []

    async def serving(connection: ServerConnection) -> None:
        await connection.send("text")
        await connection.send(b"\x00binary")
        await connection.send(["in ", "three ", "parts"])
        pong.append(await (await connection.ping(b"payload")))
        await connection.close(1001, "going away")

    kept = Kept()
    ended = asyncio.run(against(serving, lambda client: client.run(3, "/public/stream?streams=a"), kept))
    assert kept.found == [
        ("opened", 3),
        (False, b"text", 7, 2),
        (True, b"\x00binary", 7, 2),
        (False, b"in three parts", 7, 2),
    ]
    assert len(pong) == 1
    assert ended == Ended(1001, "going away", "exchange", complete=True)


def test_a_connection_that_is_cut_off_is_the_networks_end() -> None:
    """No closing handshake: nobody knows what was on its way."""

    async def serving(connection: ServerConnection) -> None:
        connection.transport.abort()

    ended = asyncio.run(against(serving, lambda client: client.run(1, "/x"), Kept()))
    assert (ended.code, ended.by, ended.complete) == (None, "network", False)


def test_our_own_end_and_our_own_messages() -> None:
    """A subscription is sent, and a close that we asked for is ours."""
    got: list[str | bytes] = []

    async def serving(connection: ServerConnection) -> None:
        async for message in connection:
            got.append(message)

    async def work(client: WebsocketClient) -> Ended:
        running = asyncio.create_task(client.run(1, "/x"))
        while 1 not in client._open:
            await asyncio.sleep(0)
        await client.send(1, "SUBSCRIBE")
        await client.send(9, "to nobody")
        await client.close(1)
        return await running

    ended = asyncio.run(against(serving, work, Kept()))
    assert (ended.code, ended.by, ended.complete) == (1000, "recorder", True)
    assert got == ["SUBSCRIBE"]


def test_a_refusal_has_its_status_and_when_to_come_back() -> None:
    """429 and 418 are answers to the handshake, too."""

    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "slow down")
        response.headers["Retry-After"] = "7"
        return response

    async def serving(connection: ServerConnection) -> None:
        raise AssertionError("never connected")

    ended = asyncio.run(against(serving, lambda client: client.run(1, "/x"), Kept(), refuse))
    assert ended == Ended(None, "HTTP 429", "exchange", 429, 7.0)


def test_nobody_there() -> None:
    """The error of the system is the reason."""
    ended = asyncio.run(WebsocketClient("ws://127.0.0.1:9", Kept(), ManualClock()).run(1, "/x"))
    assert (ended.by, "9" in ended.reason) == ("network", True)


@pytest.mark.parametrize(
    ("header", "found"),
    [("7", 7.0), (None, None), ("soon", None), ("-1", None), ("inf", None), ("nan", None)],
)
def test_seconds_of_headers(header: str | None, found: float | None) -> None:
    """A date or nonsense is no number of seconds."""
    assert seconds(header) == found
