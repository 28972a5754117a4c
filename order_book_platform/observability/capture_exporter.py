"""Prometheus metrics and health of a running capture, served on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.errors import SettingsError
from order_book_platform.observability.capture_metrics import CaptureMetrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
PREFIX = "obp_capture_"
STALE_NS = 10 * NS_PER_SECOND
"""Figures that are older mean that the capture hangs."""
QUIET_NS = 60 * NS_PER_SECOND
"""No message of any stream for longer is not healthy."""
ALARM_EVENTS = ("connection_lost", "connect_failed", "subscription_refused", "stream_not_delivered")
"""Events that are exported as 0 before they occur: to Prometheus a counter that begins with 1 has not increased."""
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0)
"""Bounds of the exported histogram, in seconds; each counts rows up to the next finer bucket."""


class CaptureExporter:
    """Serves `/metrics` and `/healthz` in a thread.

    Args:
        port: port on 127.0.0.1; 0 for any.
        clock: clock by which figures grow old.

    Attributes:
        port: port that is served.

    Raises:
        SettingsError: the port is taken.
    """

    def __init__(self, port: int, clock: Clock) -> None:
        self._clock = clock
        self._metrics: CaptureMetrics | None = None
        self._updated_ns = 0
        registry = CollectorRegistry()
        registry.register(self)
        self._exposition: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)
        try:
            self._server = make_server(HOST, port, self._serve, handler_class=_Quiet)
        except OSError as error:
            raise SettingsError(
                expected="a free port",
                found=f"{port}: {error.strerror}",
                where="capture.metrics_port",
                remedy="Choose another port: each capture needs its own.",
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def __enter__(self) -> CaptureExporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def update(self, metrics: CaptureMetrics) -> None:
        """Serve these figures from now on."""
        self._metrics = metrics
        self._updated_ns = self._clock.monotonic_ns()

    def health(self) -> list[str]:
        """Return what is wrong; nothing for a healthy capture."""
        metrics = self._metrics
        if metrics is None:
            return ["no figures yet"]
        ages = [stream.age_ns for stream in metrics.streams if stream.age_ns is not None]
        found = []
        if self._clock.monotonic_ns() - self._updated_ns > STALE_NS:
            found.append("the capture has not reported for more than 10 s")
        if metrics.trouble is not None:
            found.append(f"the device takes no rows: {metrics.trouble}")
        if metrics.buffer_bytes > metrics.buffer_limit_bytes:
            found.append("the buffer is full: messages are dropped")
        if not metrics.connections:
            found.append("no connection is open")
        elif not ages or min(ages) > QUIET_NS:
            found.append("no stream has brought anything for a minute")
        return found

    def collect(self) -> Iterator[Metric]:
        """Give the figures as Prometheus wants them."""
        metrics = self._metrics
        if metrics is None:
            return
        labels = {"market": metrics.market}
        for name, text, value in _counters(metrics):
            yield _with(
                CounterMetricFamily(PREFIX + name, text, labels=list(labels)),
                [(list(labels.values()), value)],
            )
        for name, text, known in _gauges(metrics):
            if known is not None:
                family = GaugeMetricFamily(PREFIX + name, text, labels=list(labels))
                yield _with(family, [(list(labels.values()), known)])
        yield from _by_stream(metrics)
        events = CounterMetricFamily(
            PREFIX + "events", "Warnings by their event.", labels=["market", "event"]
        )
        counts = dict.fromkeys(ALARM_EVENTS, 0) | dict(metrics.events)
        yield _with(events, [([metrics.market, event], count) for event, count in counts.items()])
        yield _histogram(metrics)

    def _serve(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/metrics":
            return self._exposition(environment, start)
        if path == "/healthz":
            wrong = self.health()
            start("503 Service Unavailable" if wrong else "200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"healthy": not wrong, "wrong": wrong}).encode()]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics and /healthz are served here.\n"]


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Write no line about a request."""


def _with(family: Any, samples: Iterable[tuple[list[str], float]]) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    found: Metric = family
    return found


def _counters(metrics: CaptureMetrics) -> list[tuple[str, str, float]]:
    return [
        ("messages", "Messages received.", metrics.messages),
        ("dropped_messages", "Messages dropped because the buffer was full.", metrics.dropped),
        ("rows", "Rows that are on the device.", metrics.rows),
        ("payload_bytes", "Payload bytes that are on the device.", metrics.payload_bytes),
    ]


def _gauges(metrics: CaptureMetrics) -> list[tuple[str, str, float | None]]:
    offset, uncertainty = metrics.clock_offset_ns, metrics.clock_uncertainty_ns
    return [
        ("running_seconds", "Time since the start.", metrics.running_ns / 1e9),
        ("connections", "Connections that are open.", metrics.connections),
        ("buffer_bytes", "Memory of rows that wait for the disk.", metrics.buffer_bytes),
        ("buffer_limit_bytes", "Memory that they may take.", metrics.buffer_limit_bytes),
        ("durable_max_seconds", "Greatest time from arrival to durability.", metrics.durable_max_ns / 1e9),
        ("device_refuses_rows", "Whether the device refuses rows.", metrics.trouble is not None),
        ("disk_free_bytes", "Free space of the disk.", metrics.free_bytes),
        ("request_weight", "Request weight of the last minute.", metrics.weight_used),
        ("request_weight_limit", "Request weight that may be used in a minute.", metrics.weight_limit),
        ("snapshots_waiting", "Symbols that wait for a depth snapshot.", len(metrics.snapshots_waiting)),
        ("clock_known", "Whether the offset of the wall clock is known.", offset is not None),
        ("clock_offset_seconds", "To be added to the wall clock.", None if offset is None else offset / 1e9),
        (
            "clock_uncertainty_seconds",
            "Greatest error of the offset.",
            None if uncertainty is None else uncertainty / 1e9,
        ),
    ]


def _by_stream(metrics: CaptureMetrics) -> Iterator[Metric]:
    names = ["market", "stream"]
    found: tuple[tuple[type[Metric], str, str, Callable[[Any], float | None]], ...] = (
        (CounterMetricFamily, "stream_messages", "Messages of a stream.", lambda each: each.messages),
        (CounterMetricFamily, "stream_gaps", "Gaps recorded for a stream.", lambda each: each.gaps),
        (CounterMetricFamily, "stream_unreadable", "Messages without ids.", lambda each: each.unreadable),
        (
            GaugeMetricFamily,
            "stream_age_seconds",
            "Time since the last message of a stream.",
            lambda each: None if each.age_ns is None else each.age_ns / 1e9,
        ),
        (
            GaugeMetricFamily,
            "stream_latency_p99_seconds",
            "P99 of arrival minus event time, lately.",
            lambda each: None if each.latency_ns is None else each.latency_ns[2] / 1e9,
        ),
    )
    for kind, name, text, value_of in found:
        values = [(stream.stream, value_of(stream)) for stream in metrics.streams]
        samples = [([metrics.market, stream], value) for stream, value in values if value is not None]
        make: Any = kind
        yield _with(make(PREFIX + name, text, labels=names), samples)


def _histogram(metrics: CaptureMetrics) -> Metric:
    family = HistogramMetricFamily(
        PREFIX + "durable_seconds", "Time from arrival to durability.", labels=["market"]
    )
    buckets = []
    for bound in BUCKETS_S:
        below = [count for end, count in metrics.durable_buckets if end <= bound]
        buckets.append((str(bound), float(below[-1] if below else 0)))
    total = metrics.durable_buckets[-1][1] if metrics.durable_buckets else 0
    buckets.append(("+Inf", float(total)))
    family.add_metric([metrics.market], buckets, metrics.durable_sum_ns / 1e9)
    return family
