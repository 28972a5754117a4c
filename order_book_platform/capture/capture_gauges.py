"""Rates and latencies of the streams of a running capture, sampled some times a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from order_book_platform.capture.session.message_header import event_time_ms
from order_book_platform.capture.session.stream_watch import StreamWatch
from order_book_platform.clock import NS_PER_MS, NS_PER_SECOND
from order_book_platform.observability.capture_metrics import CaptureStreamMetrics

SAMPLES = 300
"""Latencies kept per stream: 30 s at ten samples a second."""
RATE_WINDOW = 50
"""Counts kept per stream: 5 s at ten samples a second."""


class StreamGauges:
    """Samples the last message of each stream; what it costs does not grow with the rate of messages.

    Args:
        watches: state of each stream by its name.
    """

    def __init__(self, watches: Mapping[str, StreamWatch]) -> None:
        self._watches = watches
        self._latencies: dict[str, deque[int]] = {name: deque(maxlen=SAMPLES) for name in watches}
        self._counts: dict[str, deque[tuple[int, int]]] = {
            name: deque(maxlen=RATE_WINDOW) for name in watches
        }
        self._sampled: dict[str, int] = dict.fromkeys(watches, 0)

    def sample(self, now_ns: int, received_minus_monotonic_ns: int) -> None:
        """Take a sample of each stream that has brought something.

        Args:
            now_ns: monotonic time.
            received_minus_monotonic_ns: wall clock minus monotonic clock.
        """
        for name, watch in self._watches.items():
            self._counts[name].append((now_ns, watch.messages))
            if watch.messages == self._sampled[name]:
                continue
            self._sampled[name] = watch.messages
            time_ms = event_time_ms(watch.last_payload)
            if time_ms is not None:
                arrival_ns = watch.pauses.last_ns + received_minus_monotonic_ns
                self._latencies[name].append(arrival_ns - time_ms * NS_PER_MS)

    def streams(self, now_ns: int) -> tuple[CaptureStreamMetrics, ...]:
        """Return the figures of all streams at a monotonic time, ns."""
        return tuple(self._stream(name, watch, now_ns) for name, watch in self._watches.items())

    def _stream(self, name: str, watch: StreamWatch, now_ns: int) -> CaptureStreamMetrics:
        counts = self._counts[name]
        first_ns, first = counts[0] if counts else (now_ns, 0)
        elapsed_ns = max(1, now_ns - first_ns)
        latencies = sorted(self._latencies[name])
        return CaptureStreamMetrics(
            stream=name,
            messages=watch.messages,
            rate=(watch.messages - first) * NS_PER_SECOND / elapsed_ns,
            age_ns=now_ns - watch.pauses.last_ns if watch.pauses.last_ns else None,
            latency_ns=(_at(latencies, 50), _at(latencies, 95), _at(latencies, 99)) if latencies else None,
            gaps=watch.gaps,
            unreadable=watch.unreadable,
        )


def _at(ordered: list[int], percent: int) -> int:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
