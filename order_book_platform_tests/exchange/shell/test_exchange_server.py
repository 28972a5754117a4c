"""The exchange on sockets, seen by clients that know nothing of it."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from order_book_platform.clock import Clock
from order_book_platform.errors import ExchangeError
from order_book_platform.exchange import (
    ExchangeOptions,
    ExchangeServer,
    LocalExchange,
    Pace,
    SimulatedFeed,
    Start,
    VenueOptions,
    parse_faults,
    venue,
)
from order_book_platform.exchange.shell import exchange_server
from order_book_platform.exchange.shell.self_signed_certificate import server_context, write_certificate


def exchange(faults: str = "") -> LocalExchange:
    """An exchange with one simulated symbol that starts with the first subscription."""
    options = ExchangeOptions(Pace(start=Start.SUBSCRIBED), faults=parse_faults(faults))
    feed = SimulatedFeed("BTCUSDT", venue("usdm"), 2_000)
    return LocalExchange({"usdm": [feed]}, options, Clock().now_ns())


def opened(url: str, context: ssl.SSLContext | None = None) -> connect:
    """A plain client without compression."""
    return connect(url, ssl=context, compression=None, max_queue=None)


async def next_data(client: ClientConnection, stream: str) -> dict[str, Any]:
    """The next message of a stream in combined form."""
    while True:
        found: dict[str, Any] = json.loads(await client.recv())
        if found.get("stream") == stream:
            return found


def test_data_and_snapshots_come_from_one_port(tmp_path: Path) -> None:
    """A stream and a depth snapshot of one market come from one port, in the clear and with TLS."""

    async def run(tls: bool) -> None:
        context = client_context = None
        if tls:
            files = write_certificate(tmp_path, Clock().now_ns())
            context, client_context = server_context(*files), ssl.create_default_context(cafile=files[0])
        async with ExchangeServer(exchange(), tls=context) as server:
            url = server.websocket_url("usdm") + "/public/stream?streams=btcusdt@depth@100ms"
            async with opened(url, client_context) as client:
                first = await next_data(client, "btcusdt@depth@100ms")
                assert first["data"]["s"] == "BTCUSDT"
            async with (
                aiohttp.ClientSession() as session,
                session.get(
                    server.rest_url("usdm") + "/fapi/v1/depth",
                    params={"symbol": "BTCUSDT", "limit": "5"},
                    ssl=client_context or True,
                ) as response,
            ):
                assert response.headers["X-MBX-USED-WEIGHT-1M"] == "2"
                assert len((await response.json())["bids"]) == 5

    for tls in (False, True):
        asyncio.run(run(tls))


def test_a_client_that_sends_too_much_is_closed() -> None:
    """The eleventh message within a second closes the connection with a code."""

    async def run() -> None:
        async with (
            ExchangeServer(exchange()) as server,
            opened(server.websocket_url("usdm") + "/ws") as client,
        ):
            for number in range(11):
                await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                for _ in range(11):
                    await client.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")

    asyncio.run(run())


def test_an_ordered_disconnect_has_no_close() -> None:
    """A connection that breaks ends without a closing handshake, and its end is in the ledger."""

    async def run() -> LocalExchange:
        served = exchange("disconnect@20")
        async with (
            ExchangeServer(served) as server,
            opened(server.websocket_url("usdm") + "/ws/btcusdt@bookTicker") as client,
        ):
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                while True:
                    await client.recv()
            assert closed.value.rcvd is None
        return served

    rows = asyncio.run(run()).ledger.table().to_pylist()
    assert [row["kind"] for row in rows].count("message") == 19
    assert rows[-1]["kind"] == "close"


@pytest.mark.parametrize(("fault", "code"), [("bad_frame@20", 1002), ("close@20/1011", 1011)])
def test_a_client_sees_the_end_that_was_ordered(fault: str, code: int) -> None:
    """A wrong frame makes the client close as the protocol wants it; an ordered close has its code."""

    async def run() -> None:
        async with (
            ExchangeServer(exchange(fault)) as server,
            opened(server.websocket_url("usdm") + "/ws/btcusdt@bookTicker") as client,
        ):
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                while True:
                    await client.recv()
            ends = [each.code for each in (closed.value.sent, closed.value.rcvd) if each is not None]
            assert ends[0] == code

    asyncio.run(run())


def test_pings_come_with_a_payload_and_no_pong_ends_the_connection() -> None:
    """A client that answers pings lives; one that does not is closed."""

    async def run(answers: bool) -> int | None:
        options = ExchangeOptions(venue=VenueOptions(ping_every_ns=20_000_000, pong_within_ns=100_000_000))
        feed = SimulatedFeed("BTCUSDT", venue("usdm"), 2_000)
        served = LocalExchange({"usdm": [feed]}, options, Clock().now_ns())
        async with (
            ExchangeServer(served) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(server.websocket_url("usdm") + "/ws", autoping=False) as client,
        ):
            for _ in range(12):
                message = await client.receive()
                if message.type is not aiohttp.WSMsgType.PING:
                    break
                assert message.data
                if answers:
                    await client.pong(message.data)
            return client.close_code

    assert asyncio.run(run(answers=True)) is None
    assert asyncio.run(run(answers=False)) == 1008


def test_feeds_without_a_pace_wait_for_their_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a client has too much unread, nothing more is played; requests are answered all the same."""
    monkeypatch.setattr(exchange_server, "MOST_UNWRITTEN_BYTES", 0)

    async def run() -> int:
        options = ExchangeOptions(Pace(None, Start.SUBSCRIBED))
        feed = SimulatedFeed("BTCUSDT", venue("usdm"), 2_000)
        served = LocalExchange({"usdm": [feed]}, options, Clock().now_ns())
        async with (
            ExchangeServer(served) as server,
            opened(server.websocket_url("usdm") + "/ws/btcusdt@bookTicker") as client,
        ):
            for number in range(5):
                await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
                assert json.loads(await client.recv())["id"] == number
        return served.events_played

    assert asyncio.run(run()) == 0


def test_a_client_that_does_not_read_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once more than the limit cannot be written, the connection ends, and the ledger says why."""
    monkeypatch.setattr(exchange_server, "SLOW_CLIENT_BYTES", 1)

    async def run() -> LocalExchange:
        options = ExchangeOptions(Pace(None, Start.SUBSCRIBED))
        feed = SimulatedFeed("BTCUSDT", venue("usdm"), 2_000)
        served = LocalExchange({"usdm": [feed]}, options, Clock().now_ns())
        async with ExchangeServer(served) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.ports["usdm"], limit=2)
            writer.write(
                b"GET /ws/btcusdt@depth HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            async with asyncio.timeout(60):
                while served.connections_opened == 0 or served.connections():
                    await asyncio.sleep(0)
            writer.close()
        return served

    row = asyncio.run(run()).ledger.table().to_pylist()[-1]
    assert (row["kind"], row["stream"]) == ("close", "too slow")


def test_a_port_that_is_taken_is_told() -> None:
    """Two exchanges on one port: the second says which one is taken."""

    async def run() -> None:
        async with ExchangeServer(exchange()) as server:
            with pytest.raises(ExchangeError, match=f"127.0.0.1:{server.ports['usdm']} for usdm"):
                async with ExchangeServer(exchange(), server.ports):
                    pass

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/nothing/ws", "/public", "/fapi/v1/depth"])
def test_a_path_that_is_no_stream_is_refused(path: str) -> None:
    """A handshake on any other path gets an HTTP error."""

    async def run() -> None:
        async with ExchangeServer(exchange()) as server:
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with opened(server.websocket_url("usdm") + path):
                    pass
            assert refused.value.response.status_code == 404

    asyncio.run(run())
