"""What the gap report found of the same day, as metrics: lost messages, coverage and order of times, latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from order_book_platform.fidelity.metrics.metric import GAP_GATES, GATES, Metric

GAPS = "sequence_gap_report"
_QUANTILES = ("p1", "p50", "p95", "p99")


def gap_metrics(report: Mapping[str, Any]) -> list[Metric]:
    """The figures of a gap report.

    Args:
        report: its report.json. A figure that it lacks, or null, was not measured.
    """
    messages = int(report.get("messages") or 0)
    clocks = report.get("clocks") or {}
    exact = report.get("seq_gap_ratio")

    def metric(name: str, value: float | None, note: str, n: int = messages) -> Metric:
        return Metric(name, value, n if value is not None else 0, GATES.get(name), reference=GAPS, note=note)

    return [
        Metric(
            "seq_gap_ratio",
            exact,
            max(messages - 1, 0) if exact is not None else 0,
            None if exact is None else GAP_GATES["seq_gap_ratio"],
            reference=GAPS,
            note="Breaks of the chain of ids per step from one message to the next."
            if exact is not None
            else "The source keeps no ids that prove a loss.",
        ),
        metric(
            "inferred_gap_ratio",
            report.get("inferred_gap_ratio"),
            "Silences, crossed spells, and snapshots that contradict the book or name a message that never came, per "
            "message.",
        ),
        metric(
            "origin_coverage",
            clocks.get("origin_coverage"),
            "Share of the day's span without the parts of pauses that are longer than the threshold.",
        ),
        metric(
            "origin_valid",
            clocks.get("origin_valid"),
            "Share of messages with an origin time that is there and not below the one before.",
        ),
        *_clock_metrics(clocks, metric),
    ]


def _clock_metrics(clocks: Mapping[str, Any], metric: Callable[..., Metric]) -> Sequence[Metric]:
    """Latency, and how the recorder's clock goes beside the exchange's."""
    latency, envelope = clocks.get("latency_ms") or {}, clocks.get("envelope") or []
    return [
        *(
            metric(
                f"latency_{name}", latency.get(name), f"Arrival after origin time, {name} of messages, ms."
            )
            for name in _QUANTILES
        ),
        metric(
            "neg_frac",
            clocks.get("latency_negative"),
            "Share of messages that arrived before they were sent.",
        ),
        metric(
            "skew_ms",
            clocks.get("skew_ms"),
            "How far the recorder's clock is from the exchange's, at least, ms; of the fastest messages.",
        ),
        metric(
            "drift_ppm",
            clocks.get("drift_ppm"),
            "Slope of the fastest messages' latency over the day, parts per million.",
            len(envelope) or int(clocks.get("drift_ppm") is not None),
        ),
    ]


def replay_hash(metadata: Mapping[str, Any], rows: int) -> Metric:
    """The book's hash as a row of the table; that it is the same however it is replayed is for `obp verify` to show.

    Args:
        metadata: of `reconstructed_books`.
        rows: of the book.
    """
    found = str(metadata.get("replay_hash") or "")
    note = f"SHA-256 of the rows: {found}" if found else "The book carries none."
    return Metric("replay_hash", None, rows if found else 0, reference="book", note=note)
