"""A USD-M exchange of a few lines on loopback, for the shells: every message that it sends is on its list."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PAUSE_S = 0.002


class TinyExchange:
    """Sends depth, ticker and trade messages of each subscribed stream, all connections from one numbering.

    Attributes:
        ws_url: base of its websocket URLs.
        rest_url: base of its REST URLs.
        sent: messages sent, by the number of the connection in order of connecting.
        paths: path of each connection.
        requests: path and query of each request.
        drop: connections to be cut off without a closing handshake, by their number.
        mute: whether it sends nothing.
        binary: a binary message to be sent once on each connection; None for none.
        server_time_ms: time that exchangeInfo tells.
        status: status of REST responses.
    """

    def __init__(self, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> None:
        self.symbols = symbols
        self.ws_url = self.rest_url = ""
        self.sent: list[list[bytes]] = []
        self.paths: list[str] = []
        self.requests: list[str] = []
        self.drop: set[int] = set()
        self.mute = False
        self.binary: bytes | None = None
        self.server_time_ms: int | None = None
        self.status = 200
        self._id = 1000

    @contextmanager
    def running(self) -> Iterator[TinyExchange]:
        """Serve in a thread for the length of the block."""
        ready: Future[asyncio.AbstractEventLoop] = Future()
        done = asyncio.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready, done)), daemon=True)
        thread.start()
        loop = ready.result(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join(10)

    async def _serve(self, ready: Future[asyncio.AbstractEventLoop], done: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_get("/fapi/v1/{name}", self._rest)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with serve(self._stream, "127.0.0.1", 0) as server:
            self.ws_url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.rest_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set_result(asyncio.get_running_loop())
            await done.wait()
        await runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        headers = {"X-MBX-USED-WEIGHT-1M": str(20 * len(self.requests))}
        if self.status != 200:
            return web.json_response({"code": -1003, "msg": "no"}, status=self.status, headers=headers)
        document: dict[str, Any]
        if request.match_info["name"] == "exchangeInfo":
            document = {
                "serverTime": self.server_time_ms or time.time_ns() // 10**6,
                "symbols": self._entries(),
            }
        else:
            document = {"lastUpdateId": self._id, "bids": [["1.0", "2.0"]], "asks": [["1.1", "2.0"]]}
        text = json.dumps(document, separators=(",", ":"))
        return web.Response(text=text, content_type="application/json", headers=headers)

    def _entries(self) -> list[dict[str, Any]]:
        return [
            {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[:-4], "quoteAsset": symbol[-4:]}
            for symbol in self.symbols
        ]

    async def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        number = len(self.paths)
        self.paths.append(connection.request.path)
        self.sent.append([])
        streams = parse_qs(urlsplit(connection.request.path).query)["streams"][0].split("/")
        previous = dict.fromkeys(streams, 0)
        try:
            if self.binary is not None:
                self.sent[number].append(self.binary)
                await connection.send(self.binary)
            while number not in self.drop:
                for stream in () if self.mute else streams:
                    payload = self._message(stream, previous)
                    self.sent[number].append(payload)
                    await connection.send(payload.decode())
                await asyncio.sleep(PAUSE_S)
            connection.transport.abort()
        except ConnectionClosed:
            return

    def _message(self, stream: str, previous: dict[str, int]) -> bytes:
        symbol, _, kind = stream.upper().partition("@")
        now_ms = time.time_ns() // 10**6
        self._id += 1
        data: dict[str, Any] = {"e": "depthUpdate", "E": now_ms, "T": now_ms, "s": symbol}
        if kind.startswith("DEPTH"):
            before = previous[stream] or self._id - 1
            data |= {"U": before + 1, "u": self._id, "pu": before, "b": [["1.0", "2.0"]], "a": []}
            previous[stream] = self._id
        elif kind == "BOOKTICKER":
            data = {"e": "bookTicker", "u": self._id, "s": symbol, "b": "1", "B": "1", "a": "2", "A": "1"}
            data |= {"T": now_ms, "E": now_ms}
        else:
            data |= {"e": "trade", "t": self._id, "p": "1.0", "q": "1", "X": "MARKET", "m": False}
        return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
