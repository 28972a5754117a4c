"""Metrics and health over HTTP on loopback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import SettingsError
from order_book_platform.observability.capture_exporter import PREFIX, CaptureExporter
from order_book_platform.observability.capture_metrics import CaptureMetrics, CaptureStreamMetrics
from order_book_platform_tests.manual_clock import ManualClock

STREAM = CaptureStreamMetrics("btcusdt@depth@100ms", 70, 10.0, NS_PER_SECOND, (1, 2, 3_000_000), 2, 0)
METRICS = CaptureMetrics(
    market="usdm",
    running_ns=7 * NS_PER_SECOND,
    streams=(STREAM, replace(STREAM, stream="btcusdt@trade", age_ns=None, latency_ns=None, gaps=0)),
    connections=1,
    messages=140,
    dropped=3,
    rows=150,
    payload_bytes=9_000,
    buffer_bytes=10,
    buffer_limit_bytes=100,
    durable_ns=(1_000_000, 2_000_000, 3_000_000, 4_000_000),
    durable_max_ns=5_000_000,
    durable_buckets=((0.0009, 10), (0.0019, 90), (0.004, 150)),
    durable_sum_ns=NS_PER_SECOND,
    sync_ns=(1, 2),
    trouble=None,
    free_bytes=10**9,
    weight_used=40,
    weight_limit=1000,
    snapshots_waiting=(),
    clock_offset_ns=-2_000_000,
    clock_uncertainty_ns=500_000,
    clock_source="chrony",
    events={"clock_off": 2},
)


def get(exporter: CaptureExporter, path: str) -> tuple[int, str]:
    """Status and body of a response."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_figures_are_exported_as_prometheus_reads_them() -> None:
    """Counters, gauges by stream, and a cumulative histogram."""
    with CaptureExporter(0, ManualClock()) as exporter:
        assert get(exporter, "/metrics") == (200, "")
        exporter.update(METRICS)
        status, text = get(exporter, "/metrics")
    assert status == 200
    found = {
        (
            sample.name.removeprefix(PREFIX),
            *(value for name, value in sample.labels.items() if name != "market"),
        ): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["messages_total",] == 140
    assert found["dropped_messages_total",] == 3
    assert found["stream_gaps_total", "btcusdt@depth@100ms"] == 2
    assert found["stream_latency_p99_seconds", "btcusdt@depth@100ms"] == 0.003
    assert ("stream_age_seconds", "btcusdt@trade") not in found
    assert found["clock_offset_seconds",] == -0.002
    assert found["events_total", "clock_off"] == 2
    assert found["events_total", "connect_failed"] == 0
    assert found["durable_seconds_bucket", "0.001"] == 10
    assert found["durable_seconds_bucket", "0.005"] == 150
    assert found["durable_seconds_bucket", "+Inf"] == found["durable_seconds_count",] == 150


def test_health_says_what_is_wrong() -> None:
    """A healthy capture answers 200; each trouble is named."""
    clock = ManualClock()
    with CaptureExporter(0, clock) as exporter:
        assert get(exporter, "/healthz")[0] == 503
        exporter.update(METRICS)
        assert get(exporter, "/healthz") == (200, json.dumps({"healthy": True, "wrong": []}))
        for change, word in (
            ({"trouble": "no space"}, "no space"),
            ({"buffer_bytes": 101}, "dropped"),
            ({"connections": 0}, "no connection"),
            ({"streams": (replace(STREAM, age_ns=61 * NS_PER_SECOND),)}, "no stream"),
        ):
            exporter.update(replace(METRICS, **change))  # type: ignore[arg-type]
            status, text = get(exporter, "/healthz")
            assert (status, word in text) == (503, True)
        exporter.update(METRICS)
        clock.advance(11 * NS_PER_SECOND)
        assert "not reported" in get(exporter, "/healthz")[1]
        assert get(exporter, "/")[0] == 404


def test_a_port_that_is_taken_is_told() -> None:
    """A second capture needs a port of its own."""
    with (
        CaptureExporter(0, ManualClock()) as exporter,
        pytest.raises(SettingsError, match=r"capture\.metrics_port"),
    ):
        CaptureExporter(exporter.port, ManualClock())
