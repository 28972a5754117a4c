"""`LiveCapture`: the session, its shells and the writer joined to one process that records a market."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from order_book_platform.capture.capture_gauges import StreamGauges
from order_book_platform.capture.capture_plan import session_limits, stream_specs
from order_book_platform.capture.clock_watch import ClockWatch
from order_book_platform.capture.log_end import LogEnd, read_log_end
from order_book_platform.capture.rare_collections import RareCollections
from order_book_platform.capture.raw_writer import RawWriter
from order_book_platform.capture.rest_client import RestClient
from order_book_platform.capture.row_buffer import Row, RowBuffer, own_row
from order_book_platform.capture.session import CaptureSession
from order_book_platform.capture.session.actions import (
    Action,
    Close,
    Connect,
    Fail,
    Fetch,
    Record,
    Send,
    Warn,
)
from order_book_platform.capture.websocket_client import WebsocketClient
from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.datasets.raw_capture import RowKind, raw_capture_schema
from order_book_platform.errors import CaptureStartError, SettingsError
from order_book_platform.observability.capture_metrics import CaptureMetrics
from order_book_platform.observability.latency_histogram import bucket_end_ns
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import Market
from order_book_platform.storage import LogWriter
from order_book_platform.storage.master_keys import MasterKeys

LOG = logging.getLogger(__name__)
TICK_S = 0.1
STOP_WITHIN_S = 10.0
"""Time that closing handshakes may take, and then the disk for the last rows."""
RAW = "raw"
_MESSAGE = RowKind.MESSAGE.value


class LiveCapture:
    """Records one market of Binance into a raw log (docs/formats/raw_log.md), until it is told to stop.

    Args:
        settings: section `capture` of the settings.
        root: folder of all captures.
        market: the market.
        symbols: symbols as Binance spells them.
        name: name of the capture, which is its folder; by default that of the market.
        ws_url: base of websocket URLs; by default the exchange's.
        rest_url: base of REST URLs; by default the exchange's.
        tls: TLS settings; by default the system's.
        keys: master keys that encrypt the log; None to leave it readable.
        clock: clock of arrivals.

    Raises:
        LogBusyError: another process records into the same folder.
        LogSchemaError: the folder has the log of another market.
        LogKeyError: the log is encrypted under another key, or it is not and there are keys.
        LogCorruptError: rows that had reached the device are damaged or gone.
        DiskFullError: the disk is full.
        StorageAccessError: this user may not write there.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        root: Path,
        market: Market,
        symbols: Sequence[str],
        *,
        name: str | None = None,
        ws_url: str | None = None,
        rest_url: str | None = None,
        tls: ssl.SSLContext | None = None,
        keys: MasterKeys | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = root / (name or market.name) / RAW
        self._settings = settings
        self._market = market
        self._clock = clock or Clock()
        self._buffer = RowBuffer(settings.buffer)
        schema = raw_capture_schema(market.name)
        self._end = LogEnd(1, False, 0)

        def open_log(sealing: ThreadPoolExecutor) -> LogWriter:
            return LogWriter(self.folder, schema, segment_bytes=settings.segment, seal_in=sealing, keys=keys)

        self._writer = RawWriter(open_log, self._buffer, self._clock)
        self._end = read_log_end(self.folder, keys)
        ws_url = ws_url or f"wss://{market.stream_host}"
        self._session = CaptureSession(
            market,
            stream_specs(market, symbols, settings),
            limits=session_limits(market, settings),
            random=Random(),
            ws_url=ws_url,
            depth_limit=settings.snapshot_depth,
            first_connection=self._end.next_connection,
        )
        self._websockets = WebsocketClient(ws_url, self, self._clock, tls)
        self._rest = RestClient(rest_url or f"https://{market.rest_host}", tls)
        self._gauges = StreamGauges(self._session.watches)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._routes: dict[int, str] = {}
        self._messages = 0
        self._unreached: str | None = ""  # what failed last; None once a connection was open
        self._events: Counter[str] = Counter()
        self._clock_watch = ClockWatch(settings, self._clock, self._own, self._warn)
        self._began_ns = self._clock.monotonic_ns()
        self._collections = RareCollections(self._began_ns)

    # --- running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        stopped: Callable[[], bool],
        *,
        duration_ns: int | None = None,
        observe: Callable[[CaptureMetrics], None] | None = None,
        seal: bool = False,
    ) -> CaptureMetrics:
        """Record until told to stop; what was received is then on the device.

        Args:
            stopped: asked ten times a second whether to stop.
            duration_ns: time after which to stop by itself, ns; None for none.
            observe: called with the figures about once a second.
            seal: seal the last segment, for a capture that is complete.

        Returns:
            The figures at the end.

        Raises:
            SettingsError: the exchange has no such symbol.
            CaptureStartError: the exchange cannot be reached, or the clock is far off.
            OrderBookPlatformError: the log could not be written.
        """
        self._writer.start()
        if self._end.was_killed:
            since_ns = self._end.last_monotonic_ns
            detail = {"why": "killed", "streams": [], "from_monotonic_ns": since_ns, "dropped": None}
            self._own(RowKind.GAP, detail)
        try:
            with self._collections:
                asyncio.run(self._run(stopped, duration_ns, observe))
        finally:
            self._writer.stop(STOP_WITHIN_S, seal=seal)
        if self._failure is not None:
            raise self._failure
        return self.metrics()

    def rotate(self) -> None:
        """Replace every connection, make before break; to be called in the thread of the loop."""
        self._carry_out(self._session.rotate())

    def metrics(self) -> CaptureMetrics:
        """Return the figures of this moment."""
        now_ns = self._clock.monotonic_ns()
        offset = self._clock_watch.offset
        durable, syncs = self._writer.durable, self._writer.syncs
        p50, p95, p99, p999 = durable.percentiles_ns(50, 95, 99, 99.9, recent=True)
        counts = durable.counts.cumsum().tolist()
        return CaptureMetrics(
            market=self._market.name,
            running_ns=now_ns - self._began_ns,
            streams=self._gauges.streams(now_ns),
            connections=self._session.open_connections,
            messages=self._messages,
            dropped=self._buffer.dropped,
            rows=self._writer.rows,
            payload_bytes=self._writer.bytes,
            buffer_bytes=self._buffer.waiting_bytes,
            buffer_limit_bytes=self._settings.buffer,
            durable_ns=(p50, p95, p99, p999),
            durable_max_ns=durable.maximum_ns,
            durable_buckets=tuple(
                (bucket_end_ns(at) / NS_PER_SECOND, count) for at, count in enumerate(counts)
            ),
            durable_sum_ns=durable.sum_ns,
            sync_ns=syncs.percentiles_ns(50, 99, recent=True),  # type: ignore[arg-type]
            trouble=self._writer.trouble,
            free_bytes=shutil.disk_usage(self.folder).free,
            weight_used=self._session.budget.used(now_ns),
            weight_limit=self._session.budget.limit,
            snapshots_waiting=tuple(self._session.snapshots.waiting()),
            clock_offset_ns=None if offset is None else offset.offset_ns,
            clock_uncertainty_ns=None if offset is None else offset.uncertainty_ns,
            clock_source=self._clock_watch.source,
            events=dict(self._events),
        )

    async def _run(
        self,
        stopped: Callable[[], bool],
        duration_ns: int | None,
        observe: Callable[[CaptureMetrics], None] | None,
    ) -> None:
        self._began_ns = self._clock.monotonic_ns()
        observed_ns = self._began_ns
        clock_task = asyncio.create_task(self._clock_watch.run())
        async with self._rest:
            while self._failure is None and not stopped():
                now_ns = self._clock.monotonic_ns()
                if duration_ns is not None and now_ns - self._began_ns >= duration_ns:
                    self._check_begun(duration_ns)
                    break
                self._tick(now_ns)
                self._collections.on_time(now_ns)
                if observe is not None and now_ns - observed_ns >= NS_PER_SECOND:
                    observed_ns = now_ns
                    observe(self.metrics())
                await asyncio.sleep(TICK_S)
            clock_task.cancel()
            with suppress(asyncio.CancelledError):
                await clock_task
            await self._close_all()

    def _check_begun(self, duration_ns: int) -> None:
        """Fail where the time is over before the exchange has answered at all, or before a connection was open."""
        begun = self._session.has_begun
        if begun and not self._unreached:
            return
        what = "a connection" if begun else "an answer of the exchange"
        where = self._websockets.base_url if begun else self._rest.base_url + self._market.exchange_info_path
        self._fail(
            CaptureStartError(
                expected=f"{what} within {duration_ns / NS_PER_SECOND:g} s",
                found=self._unreached or "none",
                where=where,
                remedy="Check the network, --rest-url and --ws-url, or record for longer.",
            )
        )

    def _tick(self, now_ns: int) -> None:
        if self._writer.failure is not None:
            self._fail(self._writer.failure)
        received_ns = self._clock.now_ns()
        if self._buffer.end_drop(received_ns, now_ns):
            self._carry_out(self._session.on_dropped(now_ns))
        self._gauges.sample(now_ns, received_ns - now_ns)
        self._carry_out(self._session.on_time(now_ns))

    async def _close_all(self) -> None:
        """Close every connection and wait for their ends, but not for ever."""
        self._carry_out(self._session.stop(self._clock.monotonic_ns()))
        deadline = time.monotonic() + STOP_WITHIN_S
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=TICK_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        now_ns = self._clock.monotonic_ns()
        self._buffer.end_drop(self._clock.now_ns(), now_ns, at_end=True)
        self._carry_out(self._session.finish(now_ns))

    # --- what connections bring -------------------------------------------------------------------------------------

    def opened(self, connection: int, received_ns: int, monotonic_ns: int) -> None:
        """Take note that a connection is open."""
        self._unreached = None
        self._carry_out(self._session.on_opened(connection, monotonic_ns), (received_ns, monotonic_ns))

    def message(
        self, connection: int, binary: bool, payload: bytes, received_ns: int, monotonic_ns: int
    ) -> None:
        """Append a message to the log, then let the session look at it."""
        self._messages += 1
        row = Row(
            received_ns, monotonic_ns, connection, self._routes[connection], _MESSAGE, binary, payload, None
        )
        if self._buffer.put(row):
            self._carry_out(self._session.on_dropped(monotonic_ns), (received_ns, monotonic_ns))
        if binary:
            self._session.on_binary(connection, monotonic_ns)
        elif actions := self._session.on_message(connection, payload, monotonic_ns):
            self._carry_out(actions, (received_ns, monotonic_ns))

    # --- actions ----------------------------------------------------------------------------------------------------

    def _carry_out(self, actions: Sequence[Action], at_ns: tuple[int, int] | None = None) -> None:
        """Carry out actions in order.

        Args:
            actions: actions of the session.
            at_ns: wall clock and monotonic clock of the event that they follow from; None for now. Messages that came
                with the same bytes have the same times, and the times of rows must not fall.
        """
        for action in actions:
            match action:
                case Record(kind, connection, route, payload, detail):
                    self._own(kind, detail, connection, route, payload, at_ns)
                case Connect(connection, route, path):
                    self._routes[connection] = route
                    self._spawn(self._connection(connection, path))
                case Send(connection, text):
                    self._spawn(self._websockets.send(connection, text))
                case Close(connection):
                    self._spawn(self._websockets.close(connection))
                case Fetch(request, path):
                    self._spawn(self._request(request, path))
                case Warn(event, text, fields):
                    self._warn(event, text, **fields)
                case Fail(expected, found, where, remedy, wrong_usage):
                    error = SettingsError if wrong_usage else CaptureStartError
                    where = self._rest.base_url + where if where.startswith("/") else where
                    self._fail(error(expected=expected, found=found, where=where, remedy=remedy))

    async def _connection(self, number: int, path: str) -> None:
        """Keep a connection until it ends."""
        ended = await self._websockets.run(number, path)
        self._unreached = None if self._unreached is None else ended.reason
        actions = self._session.on_closed(
            number,
            self._clock.monotonic_ns(),
            code=ended.code,
            reason=ended.reason,
            by=ended.by,
            status=ended.status,
            retry_after_s=ended.retry_after_s,
            complete=ended.complete,
        )
        self._carry_out(actions)
        del self._routes[number]

    async def _request(self, number: int, path: str) -> None:
        """Send a request and hand on what comes."""
        answer = await self._rest.get(path)
        received_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        if isinstance(answer, str):
            self._unreached = None if self._unreached is None else answer
            self._carry_out(self._session.on_request_failed(number, answer, monotonic_ns))
            return
        actions = self._session.on_response(
            number,
            answer.status,
            answer.body,
            monotonic_ns,
            received_ns,
            used_weight=answer.used_weight,
            retry_after_s=answer.retry_after_s,
        )
        self._carry_out(actions)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task whose unexpected error ends the capture."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _own(
        self,
        kind: RowKind,
        detail: Mapping[str, object],
        connection: int = 0,
        route: str = "",
        payload: bytes = b"",
        at_ns: tuple[int, int] | None = None,
    ) -> None:
        """Append a row that the recorder writes by itself."""
        received_ns, monotonic_ns = at_ns or (self._clock.now_ns(), self._clock.monotonic_ns())
        row = own_row(
            kind, received_ns, monotonic_ns, detail, connection=connection, route=route, payload=payload
        )
        self._buffer.put(row)

    def _warn(self, event: str, text: str, **fields: object) -> None:
        self._events[event] += 1
        LOG.warning("%s", text, extra={"event": event, "fields": fields})
