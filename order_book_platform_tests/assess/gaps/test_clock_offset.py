"""Skew and drift from the lower envelope: on made-up clocks, however they are cut, and on the recordings."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.gaps.clock_offset import (
    ENOUGH_MESSAGES,
    MAX_WINDOWS,
    WINDOW_NS,
    LatencyEnvelope,
)
from order_book_platform.assess.gaps.message_scan import MessageScan
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model import PartitionKey
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import START_NS


def clocks_of(received: np.ndarray, latency: np.ndarray) -> dict[str, object]:
    """Skew and drift of these messages."""
    envelope = LatencyEnvelope()
    envelope.feed(received, latency)
    return envelope.to_dict()


def delayed(seconds: int, offset_ns: int, ppm: float, shortest_ns: int = 2_000_000) -> tuple[np.ndarray, ...]:
    """Ten messages a second through a network with a long tail, from a clock that is off and drifts."""
    rng = np.random.default_rng(3)
    sent = START_NS + np.arange(10 * seconds) * 100_000_000
    delay = shortest_ns + rng.exponential(20e6, len(sent)).astype(np.int64)
    latency = offset_ns + delay + ((sent - START_NS) * ppm / 1e6).astype(np.int64)
    return sent + latency, latency


@pytest.mark.parametrize(("offset_ms", "ppm"), [(0, 0), (-1_270, -5), (40, 12), (5_000, 0)])
def test_skew_and_drift_of_a_clock_that_is_off(offset_ms: int, ppm: float) -> None:
    """The offset and the shortest delay within a millisecond, the drift within a millionth, whatever the delays."""
    found = clocks_of(*delayed(3_600, offset_ms * 1_000_000, ppm))
    middle = offset_ms + 2 + ppm * 1.8  # half an hour in, in ms
    assert found["skew_ms"] == pytest.approx(middle, abs=1)
    assert found["drift_ppm"] == pytest.approx(ppm, abs=1)


def test_a_few_wrong_times_move_neither() -> None:
    """Messages that claim to be sent a minute later than they were: two windows are wrong, skew and drift are not."""
    received, latency = delayed(600, 0, 0)
    wrong = latency.copy()
    wrong[[50, 4_000]] -= 60 * 10**9
    sound, odd = clocks_of(received, latency), clocks_of(received, wrong)
    assert odd["skew_ms"] == pytest.approx(sound["skew_ms"], abs=0.5)
    assert odd["drift_ppm"] == pytest.approx(sound["drift_ppm"], abs=1)


@pytest.mark.parametrize(
    ("windows", "skew", "drift"), [(2, False, False), (3, True, False), (10, True, True)]
)
def test_too_few_windows_say_nothing(windows: int, skew: bool, drift: bool) -> None:
    """None instead of a figure that nothing stands behind; how many windows there are is always said."""
    step = WINDOW_NS // ENOUGH_MESSAGES
    received = START_NS + np.arange(windows * ENOUGH_MESSAGES) * step
    found = clocks_of(received, np.full(len(received), 7_000_000))
    assert (found["skew_ms"] is not None, found["drift_ppm"] is not None) == (skew, drift)
    assert found["envelope_windows"] == windows


def test_windows_with_few_messages_do_not_count() -> None:
    """One message a window shows its own delay, not the shortest."""
    received = START_NS + np.arange(50) * WINDOW_NS
    assert clocks_of(received, np.full(50, 7_000_000))["envelope"] == []


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=6), st.integers(1, 40))
def test_cuts_and_length_do_not_matter(cuts: list[int], minutes: int) -> None:
    """The same envelope however the messages come, never of more than `MAX_WINDOWS` points, and windows that double."""
    rng = np.random.default_rng(minutes)
    received = START_NS + np.cumsum(rng.integers(1, minutes * 10**9 // 20, 6_000))
    latency = rng.integers(1, 10**9, 6_000)
    whole, cut = LatencyEnvelope(), LatencyEnvelope()
    whole.feed(received, latency)
    bounds = [0, *sorted(cuts), 6_000]
    for start, stop in pairwise(bounds):
        cut.feed(received[start:stop], latency[start:stop])
    assert cut.to_dict() == whole.to_dict()
    points = whole.points()
    assert len(points) <= MAX_WINDOWS
    assert whole.window_ns % WINDOW_NS == 0
    seen: dict[int, list[int]] = {}
    for window, late in zip((received // whole.window_ns).tolist(), latency.tolist(), strict=True):
        seen.setdefault(window * whole.window_ns, []).append(late)
    wanted = [[start, min(each)] for start, each in sorted(seen.items()) if len(each) >= ENOUGH_MESSAGES]
    assert points.tolist() == wanted


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_the_recorder_s_clock_is_1_27_s_behind(recordings: Path, key: PartitionKey) -> None:
    """All recordings agree on the skew within 20 ms, and on a drift of some five parts per million."""
    path = recordings / "truth/update_chain" / key.path / "*.parquet"
    chain = pl.read_parquet(path, hive_partitioning=False)
    ones = np.ones(len(chain), np.int64)
    scan = MessageScan(10**9, np.empty(0, np.int64))
    times = (chain[name].to_numpy() for name in ("timestamp", "receipt_timestamp", "final_update_id"))
    scan.feed(DeltaBatch(*times, np.ones(len(chain), np.bool_), ones, ones))
    clocks = scan.clocks()
    assert clocks["skew_ms"] == pytest.approx(-1_270, abs=20)
    assert clocks["drift_ppm"] == pytest.approx(-5, abs=2)
    assert clocks["latency_negative"] == 1
    assert clocks["latency_ms"]["p50"] > clocks["skew_ms"]
