"""The exchange on sockets: a port for each market serves its websockets and its REST interface.

The server decides nothing. It hands what arrives to the exchange, with the time, and writes what the exchange has put
into outboxes: all frames of a connection that are ready, in one write.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Self

from aiohttp import WSMessage, WSMsgType, web

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.errors import ExchangeError
from order_book_platform.exchange.local_exchange import LocalExchange
from order_book_platform.exchange.market_data_connection import MarketDataConnection
from order_book_platform.exchange.protocol.client_session import Ending
from order_book_platform.exchange.served_market import RefusedHandshake, ServedMarket

STEP_S = 0.002
"""Seconds between two looks at what is due; messages of one step go out in one write."""
MOST_UNWRITTEN_BYTES = 4 * 2**20
"""Bytes in the socket's buffer of one connection above which feeds without a pace wait."""
SLOW_CLIENT_BYTES = 64 * 2**20
"""Bytes in the socket's buffer above which a client is too slow, and is disconnected."""
EVENTS_PER_STEP = 2048
CLOSE_WITHIN_S = 5.0
"""Seconds that a client has for its part of the closing handshake."""


class ExchangeServer:
    """Serves an exchange on loopback; an asynchronous context manager.

    Args:
        exchange: what is served.
        ports: port of each market; 0 or none: any that is free.
        tls: settings for TLS; None: plain.
        host: address to listen on.
        clock: the exchange's clock.

    Attributes:
        exchange: what is served.
        ports: port of each market, once the server runs.
    """

    def __init__(
        self,
        exchange: LocalExchange,
        ports: Mapping[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        clock: Clock | None = None,
    ) -> None:
        self.exchange = exchange
        self.ports = dict(ports or {})
        self._tls = tls
        self._host = host
        self._clock = clock or Clock()
        self._runners: list[web.AppRunner] = []
        self._clients: dict[int, _Client] = {}
        self._pump: asyncio.Task[None] | None = None

    def websocket_url(self, market: str) -> str:
        """Give the base of a market's websocket addresses, to which `/ws` or `/stream` are added."""
        return f"{'wss' if self._tls else 'ws'}://{self._host}:{self.ports[market]}"

    def rest_url(self, market: str) -> str:
        """Give the base of a market's REST addresses, to which `/fapi/v1` and the like are added."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.ports[market]}"

    async def __aenter__(self) -> Self:
        for name, market in self.exchange.markets.items():
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", self._handler(market))
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, self._host, self.ports.get(name, 0), ssl_context=self._tls)
            try:
                await site.start()
            except OSError as error:
                await self.__aexit__()
                raise ExchangeError(
                    expected="a free port",
                    found=str(error),
                    where=f"{self._host}:{self.ports.get(name, 0)} for {name}",
                    remedy="Choose another port, or 0 for any that is free.",
                ) from error
            self.ports[name] = runner.addresses[0][1]
        self._pump = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump
        for client in tuple(self._clients.values()):
            client.transport.abort()
        for runner in self._runners:
            await runner.cleanup()
        self.exchange.close()

    # --- what is due -------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        """Let the exchange's time pass, and write what it has to say."""
        while True:
            played = 0
            if self._room() or self.exchange.player.paced:
                played = self.exchange.advance(self._clock.now_ns(), EVENTS_PER_STEP)
            for client in tuple(self._clients.values()):
                self._write(client)
            await asyncio.sleep(0 if played == EVENTS_PER_STEP else STEP_S)

    def _room(self) -> bool:
        """Tell whether every client keeps up; those that fall far behind are disconnected."""
        room = True
        for client in self._clients.values():
            unwritten_bytes = client.transport.get_write_buffer_size()
            if unwritten_bytes > SLOW_CLIENT_BYTES:
                client.connection.end(Ending(None, "too slow"))
            room &= unwritten_bytes < MOST_UNWRITTEN_BYTES
        return room

    def _write(self, client: _Client) -> None:
        """Write what a connection has to say; end it where that is due."""
        connection, transport = client.connection, client.transport
        if transport.is_closing():
            return
        if connection.outbox:
            frames, connection.outbox = connection.outbox, []
            transport.write(b"".join(frames))
        ending = connection.ending
        if ending is None or client.closing is not None:
            return
        if ending.code is None:
            transport.abort()
        else:
            closing = client.socket.close(code=ending.code, message=ending.reason.encode())
            client.closing = asyncio.create_task(closing)

    # --- what arrives ------------------------------------------------------------------------------------------------

    def _handler(self, market: ServedMarket) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(market, request)
            return await self._rest(market, request)

        return handle

    async def _rest(self, market: ServedMarket, request: web.Request) -> web.StreamResponse:
        reply = market.request(request.path, request.query, self._clock.now_ns())
        if reply.delay_ns:
            await asyncio.sleep(reply.delay_ns / NS_PER_SECOND)
        return web.Response(
            body=reply.body, status=reply.status, headers=reply.headers, content_type="application/json"
        )

    async def _websocket(self, market: ServedMarket, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, timeout=CLOSE_WITHIN_S)
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text="not a websocket handshake")
        connection = market.connect(request.path, request.query_string, self._clock.now_ns())
        if isinstance(connection, RefusedHandshake):
            return web.Response(status=connection.status, text=connection.reason)
        try:
            await socket.prepare(request)
            assert isinstance(request.transport, asyncio.Transport)
            self._clients[connection.number] = _Client(connection, socket, request.transport)
            async for message in socket:
                self._receive(connection, message)
                self._write(self._clients[connection.number])
        finally:
            self._clients.pop(connection.number, None)
            code = connection.ending.code if connection.ending is not None else socket.close_code
            market.disconnected(connection, code, self._clock.now_ns())
        return socket

    def _receive(self, connection: MarketDataConnection, message: WSMessage) -> None:
        now_ns = self._clock.now_ns()
        if message.type is WSMsgType.TEXT:
            connection.receive_text(message.data, now_ns)
        elif message.type is WSMsgType.BINARY:
            connection.receive_binary(bytes(message.data), now_ns)
        elif message.type is WSMsgType.PING:
            connection.receive_ping(bytes(message.data), now_ns)
        elif message.type is WSMsgType.PONG:
            connection.receive_pong(bytes(message.data), now_ns)


class _Client:
    """A connection, the websocket that carries it, and the transport to which ready frames are written."""

    __slots__ = ("closing", "connection", "socket", "transport")

    def __init__(
        self, connection: MarketDataConnection, socket: web.WebSocketResponse, transport: asyncio.Transport
    ) -> None:
        self.connection = connection
        self.socket = socket
        self.transport = transport
        self.closing: asyncio.Task[bool] | None = None
