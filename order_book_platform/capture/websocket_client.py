"""The websocket shell: opens connections, hands on each message with the time of its arrival, and decides nothing."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from order_book_platform.clock import Clock

OPEN_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 5
PING_INTERVAL_S = 30
PING_TIMEOUT_S = 30
"""Our own pings find a network that is gone; the exchange's are answered by the library with their payload."""
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Receiver(Protocol):
    """Takes what a connection brings, in the thread of the loop."""

    def opened(self, connection: int, received_ns: int, monotonic_ns: int) -> None:
        """Take note that a connection is open; called before its first message, with the same times, ns."""

    def message(
        self, connection: int, binary: bool, payload: bytes, received_ns: int, monotonic_ns: int
    ) -> None:
        """Take a message with the wall clock and the monotonic clock of its arrival, ns."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended, or why it could not be opened.

    Attributes:
        code: close code; None without one.
        reason: reason of the close, or the error.
        by: `exchange`, `recorder` or `network`.
        status: HTTP status of a refusal; None without one.
        retry_after_s: seconds of its header `Retry-After`; None where it is absent.
        complete: whether the exchange's close has come, so that nothing that it sent before is missing.
    """

    code: int | None
    reason: str
    by: str
    status: int | None = None
    retry_after_s: float | None = None
    complete: bool = False


class _RecordedConnection(ClientConnection):
    """A connection whose messages go to a receiver at once, instead of into a queue.

    The library keeps handshake, pings, pongs and closing. A message is stamped when the bytes that complete it have
    come from the socket; a queue and a task that waits for it would stamp it later, and cost twice the time.
    """

    def record(self, number: int, receiver: Receiver, clock: Clock) -> None:
        """Say where messages go; called before the first byte arrives."""
        self._number = number
        self._receiver = receiver
        self._clock = clock
        self._received_ns = self._monotonic_ns = 0
        self._fragments: list[Frame] = []
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Stamp the bytes, then let the library parse them."""
        self._received_ns = self._clock.now_ns()
        self._monotonic_ns = self._clock.monotonic_ns()
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        """Hand on data frames; all others are the library's."""
        if self.response is None:
            super().process_event(event)
            if self.protocol.handshake_exc is None and self.protocol.state is State.OPEN:
                self._receiver.opened(self._number, self._received_ns, self._monotonic_ns)
        elif isinstance(event, Frame) and event.opcode in _DATA:
            self._on_data(event)
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the waiting task know that the connection has ended."""
        super().connection_lost(exc)
        self.lost.set()

    def _on_data(self, frame: Frame) -> None:
        payload: bytes
        if frame.fin and not self._fragments:
            binary, payload = frame.opcode is Opcode.BINARY, bytes(frame.data)
        else:
            self._fragments.append(frame)
            if not frame.fin:
                return
            binary = self._fragments[0].opcode is Opcode.BINARY
            payload = b"".join(bytes(each.data) for each in self._fragments)
            self._fragments.clear()
        self._receiver.message(self._number, binary, payload, self._received_ns, self._monotonic_ns)


class WebsocketClient:
    """Opens websocket connections below one base URL.

    Args:
        base_url: base of all URLs, such as `wss://fstream.binance.com`.
        receiver: takes what the connections bring.
        clock: clock of arrivals.
        tls: TLS settings of `wss://` URLs; None for the system's.

    Attributes:
        base_url: the base without a slash at its end.
    """

    def __init__(
        self, base_url: str, receiver: Receiver, clock: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._receiver = receiver
        self._clock = clock
        self._tls = tls
        self._open: dict[int, _RecordedConnection] = {}
        self._closing: set[int] = set()

    async def run(self, number: int, path: str) -> Ended:
        """Open a connection, and return when it has ended.

        Args:
            number: number of the connection.
            path: path and query of its URL.
        """
        try:
            connection = await self._connect(number, path)
        except InvalidStatus as error:
            response = error.response
            retry_after_s = seconds(response.headers.get("Retry-After"))
            return Ended(
                None, f"HTTP {response.status_code}", "exchange", response.status_code, retry_after_s
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            return Ended(None, describe(error), "network")
        self._open[number] = connection
        if number in self._closing:
            await connection.close()
        try:
            await connection.lost.wait()
        finally:
            self._open.pop(number, None)
            connection.transport.abort()
        return self._ended(number, connection)

    async def send(self, number: int, text: str) -> None:
        """Send a text message; nothing happens if the connection has ended meanwhile."""
        connection = self._open.get(number)
        if connection is not None:
            try:
                await connection.send(text)
            except WebSocketException:
                return  # its end is reported by `run`

    async def close(self, number: int) -> None:
        """Close a connection with a closing handshake."""
        self._closing.add(number)
        connection = self._open.get(number)
        if connection is not None:
            await connection.close()

    async def _connect(self, number: int, path: str) -> _RecordedConnection:
        def create(*arguments: Any, **options: Any) -> _RecordedConnection:
            connection = _RecordedConnection(*arguments, **options)
            connection.record(number, self._receiver, self._clock)
            return connection

        url = self.base_url + path
        options: dict[str, Any] = (
            {"ssl": self._tls} if self._tls is not None and url.startswith("wss:") else {}
        )
        make: Callable[..., _RecordedConnection] = create
        opened = await connect(
            url,
            compression=None,
            max_size=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            create_connection=make,  # type: ignore[arg-type]  # a callable is as good as the class
            process_exception=lambda error: error,
            **options,
        )
        assert isinstance(opened, _RecordedConnection)
        return opened

    def _ended(self, number: int, connection: _RecordedConnection) -> Ended:
        protocol = connection.protocol
        if number in self._closing:
            self._closing.discard(number)
            return Ended(protocol.close_code, "", "recorder", complete=protocol.close_rcvd is not None)
        received = protocol.close_rcvd
        if received is not None:
            return Ended(received.code, received.reason, "exchange", complete=True)
        sent = protocol.close_sent
        reason = sent.reason if sent is not None else "the connection was lost"
        return Ended(None if sent is None else sent.code, reason, "network")


def describe(error: BaseException) -> str:
    """Return the text of an error, or its name where it has no text."""
    return str(error) or type(error).__name__


def seconds(header: str | None) -> float | None:
    """Return the seconds of a header such as `Retry-After`, or None if it has none, or says `inf` or `nan`."""
    try:
        found = float(header) if header is not None else None
    except ValueError:
        return None
    return found if found is not None and 0 <= found < math.inf else None
