"""Figures of the day's gap report as metrics: lost messages, coverage and order of times, latency, clocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from order_book_platform.fidelity.metric_declarations import GAPS, LATENCY_QUANTILES
from order_book_platform.fidelity.metrics.metric import Metric


def gap_metrics(report: Mapping[str, Any]) -> list[Metric]:
    """Return the figures of a gap report.

    Args:
        report: Content of its report.json. A figure that it lacks, or that is null, was not measured.
    """
    messages = int(report.get("messages") or 0)
    by_ids = report.get("seq_gap_ratio")
    figures = (
        (
            "seq_gap_ratio",
            by_ids,
            max(messages - 1, 0),
            "The source keeps no ids that prove a loss."
            if by_ids is None
            else "Breaks of the chain of ids per step from one message to the next.",
        ),
        (
            "inferred_gap_ratio",
            report.get("inferred_gap_ratio"),
            messages,
            (
                "Silences, crossed spells, and snapshots that contradict the book or name a message that never came, "
                "per message."
            ),
        ),
        *_clock_figures(report.get("clocks") or {}, messages),
    )
    return [
        Metric.of(name, value, 0 if value is None else n, note, reference=GAPS)
        for name, value, n, note in figures
    ]


def _clock_figures(
    clocks: Mapping[str, Any], messages: int
) -> tuple[tuple[str, float | None, int, str], ...]:
    """Return name, value, n and note of the figures about times: coverage, order, latency, skew and drift."""
    latency = clocks.get("latency_ms") or {}
    return (
        (
            "origin_coverage",
            clocks.get("origin_coverage"),
            messages,
            "Share of the day's span without the parts of pauses that are longer than the threshold.",
        ),
        (
            "origin_valid",
            clocks.get("origin_valid"),
            messages,
            "Share of messages with an origin time that is there and not below the one before.",
        ),
        *(
            (
                f"latency_{name}",
                latency.get(name),
                messages,
                f"Arrival after origin time, {name} of messages, ms.",
            )
            for name in LATENCY_QUANTILES
        ),
        (
            "neg_frac",
            clocks.get("latency_negative"),
            messages,
            "Share of messages that arrived before they were sent.",
        ),
        (
            "skew_ms",
            clocks.get("skew_ms"),
            messages,
            "How far the recorder's clock is from the exchange's, at least, ms; of the fastest messages.",
        ),
        (
            "drift_ppm",
            clocks.get("drift_ppm"),
            len(clocks.get("envelope") or []) or 1,
            "Slope of the fastest messages' latency over the day, parts per million.",
        ),
    )
