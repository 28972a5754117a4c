"""Figures that rules judge, and how those that all assessments have in common are made. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.model import PartitionKey


class RuleFigure(NamedTuple):
    """A figure for a rule.

    Attributes:
        value: The figure; None where nothing could be measured.
        n: Number of observations behind it.
        basis: `full`, `sample`, `statistics` or `estimate`.
    """

    value: float | None
    n: int
    basis: str = "full"


def message_figures(
    basis: str,
    *,
    audit: Mapping[str, Any],
    rows: int,
    trades: Mapping[str, Any],
    clocks: Mapping[str, Any],
    messages: int,
    proven_losses: int,
) -> dict[str, RuleFigure]:
    """Return the figures that come from looking at messages, be it all of them or a sample.

    Args:
        basis: `full` or `sample`.
        audit: Audit of the deltas that were looked at.
        rows: Deltas that were looked at.
        trades: Audit of the trades that were looked at.
        clocks: Section `clocks` of the report.
        messages: Messages that were looked at.
        proven_losses: Gaps that show a loss.
    """
    off_grid = sum(each[name] for each in (audit, trades) for name in ("off_grid_prices", "off_grid_sizes"))
    return {
        "origin_valid": RuleFigure(clocks["origin_valid"], messages, basis),
        "off_grid": RuleFigure(off_grid, rows + trades["rows"], basis),
        "proven_losses": RuleFigure(proven_losses, messages, basis),
        "duplicates": RuleFigure(audit["duplicate_rows"] / rows if rows else None, rows, basis),
        "latency_p50_ms": median_latency(clocks, messages, basis),
        "latency_negative": RuleFigure(clocks["latency_negative"], messages, basis),
    }


def median_latency(clocks: Mapping[str, Any], messages: int, basis: str = "full") -> RuleFigure:
    """Return the figure of `latency_p50_ms`: the median latency above the skew, where the skew is below 0.

    A recorder whose clock is behind makes every latency look short; the part of the skew below 0 is not the network's.
    The figure has no value where the median is below 0 and nobody knows by how much the clocks differ.

    Args:
        clocks: Section `clocks` of a report.
        messages: Number of messages.
        basis: Basis of the figure.
    """
    median, skew = clocks["latency_ms"].get("p50"), clocks["skew_ms"]
    if median is not None and skew is not None:
        median -= min(skew, 0.0)
    return RuleFigure(None if median is not None and median < 0 else median, messages, basis)


def day_coverage(key: PartitionKey, first_ns: int, last_ns: int) -> float:
    """Return the share of the partition's UTC day between two times, ns; time outside of the day does not count."""
    start = day_start_ns(key.day)
    return max(min(last_ns, start + NS_PER_DAY) - max(first_ns, start), 0) / NS_PER_DAY
