"""Percentiles from buckets, against exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.observability.latency_histogram import WINDOW_NS, LatencyHistogram


def test_percentiles_are_within_a_bucket_of_the_exact_ones() -> None:
    """An upper end is at most 9.1 % above the value, and never below it."""
    latencies = np.random.default_rng(1).lognormal(14, 2, 100_000).astype(np.int64)
    histogram = LatencyHistogram()
    for part in np.array_split(latencies, 17):
        histogram.add(part, 0)
    for percent in (1, 50, 95, 99, 99.9, 100):
        exact = np.percentile(np.maximum(latencies, 1000), percent, method="inverted_cdf")
        (found,) = histogram.percentiles_ns(percent)
        assert exact * 0.999 <= found <= exact * 1.1
    assert histogram.maximum_ns == latencies.max()
    assert histogram.sum_ns == latencies.sum()


def test_the_recent_ones_forget() -> None:
    """After two windows only what came since counts; the sums since the start stay."""
    histogram = LatencyHistogram()
    assert histogram.percentiles_ns(50, recent=True) == (0,)
    histogram.add(np.array([10**9]), WINDOW_NS + 1)
    histogram.add(np.array([10**6]), 2 * WINDOW_NS + 2)
    assert histogram.percentiles_ns(100, recent=True)[0] == pytest.approx(10**9, rel=0.1)
    histogram.add(np.array([10**6]), 3 * WINDOW_NS + 3)
    assert histogram.percentiles_ns(100, recent=True)[0] == pytest.approx(10**6, rel=0.1)
    assert histogram.counts.sum() == 3
    histogram.add(np.array([], np.int64), 0)
    assert histogram.counts.sum() == 3
