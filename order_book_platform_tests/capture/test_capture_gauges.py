"""Rates, ages and latencies of streams from samples."""

from __future__ import annotations

from order_book_platform.capture.capture_gauges import StreamGauges
from order_book_platform.capture.session.stream_watch import StreamSpec, StreamWatch
from order_book_platform.clock import NS_PER_SECOND

TENTH_NS = NS_PER_SECOND // 10


def test_a_stream_is_sampled() -> None:
    """Twenty messages a second, each 30 ms late; the quiet one has neither age nor latency."""
    watches = {name: StreamWatch(StreamSpec(name, "depth", "BTCUSDT", "")) for name in ("busy", "quiet")}
    gauges = StreamGauges(watches)
    busy = watches["busy"]
    for at in range(1, 31):
        busy.messages += 2
        busy.pauses.add(at * TENTH_NS)
        busy.last_payload = b'{"E":%d,"s":1}' % (1_760_000_000_000 + at * 100 - 30)
        gauges.sample(at * TENTH_NS, 1_760_000_000 * NS_PER_SECOND)
    found, quiet = gauges.streams(31 * TENTH_NS)
    assert round(found.rate, 1) == round(58 / 3, 1)
    assert found.age_ns == TENTH_NS
    assert found.latency_ns == (30_000_000,) * 3
    assert (quiet.age_ns, quiet.latency_ns, quiet.rate) == (None, None, 0)
