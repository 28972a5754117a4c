"""Breaks, silences, unseen snapshots and clocks, on made-up messages and on the recordings' own ids."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.message_scan import (
    BIN_NS,
    ENOUGH_MESSAGES,
    MAX_WINDOWS,
    WINDOW_NS,
    LatencyEnvelope,
    MessageScan,
)
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model import PartitionKey
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import START_NS

NO_SNAPSHOTS = np.empty(0, np.int64)


def messages(
    origin: list[int], sequence: list[int], received: list[int] | None = None, **ids: list[int]
) -> DeltaBatch:
    """One row per message."""
    n = len(origin)
    ones = np.ones(n, np.int64)
    return DeltaBatch(
        np.array(origin, np.int64),
        np.array(received if received is not None else origin, np.int64),
        np.array(sequence, np.int64),
        np.ones(n, np.bool_),
        ones,
        ones,
        **{name: np.array(values, np.int64) for name, values in ids.items()},
    )


def test_a_pause_longer_than_the_threshold_is_a_silence() -> None:
    """At the threshold it is not yet one; beyond it the messages around are named."""
    scan = MessageScan(100, NO_SNAPSHOTS)
    scan.feed(messages([0, 100, 201, 250], [1, 2, 3, 4]))
    (found,) = scan.candidates
    assert (found.cause, found.before, found.after, found.before_ns, found.after_ns) == (
        "silence",
        2,
        3,
        100,
        201,
    )


def test_silence_proves_nothing_where_ids_do() -> None:
    """With an unbroken chain a long pause is a quiet market."""
    scan = MessageScan(100, NO_SNAPSHOTS)
    scan.feed(messages([0, 1_000], [5, 9], prev_final_update_id=[3, 5]))
    assert scan.candidates == []
    assert scan.detector.has_ids


def test_futures_chain_is_pu_alone() -> None:
    """`U` may be anything; a `pu` that is not the previous `u` is a loss."""
    scan = MessageScan(10**9, NO_SNAPSHOTS)
    scan.feed(
        messages([0, 1, 2], [10, 20, 30], first_update_id=[1, 17, 28], prev_final_update_id=[0, 10, 21])
    )
    (found,) = scan.candidates
    assert (found.cause, found.before, found.after, found.missing_ids) == ("chain", 20, 30, None)
    assert "pu is 21 where 20 was due" in found.detail


def test_spot_chain_counts_the_missing_ids() -> None:
    """`U` must be the previous `u` + 1; the difference is how many ids are lost."""
    scan = MessageScan(10**9, NO_SNAPSHOTS)
    scan.feed(messages([0, 1, 2], [10, 20, 30], first_update_id=[1, 11, 25]))
    (found,) = scan.candidates
    assert (found.before, found.after, found.missing_ids) == (20, 30, 4)


def test_snapshots_inside_a_message_prove_nothing_where_ids_do() -> None:
    """A REST snapshot's id mostly lies inside a message; an unbroken chain says that nothing is lost."""
    scan = MessageScan(10**9, np.array([15], np.int64))
    scan.feed(messages([0, 1], [10, 20], prev_final_update_id=[0, 10]))
    assert scan.candidates == []


def test_a_snapshot_of_no_message_shows_a_loss() -> None:
    """Two snapshots between the same two messages are one break; before the first message they prove nothing."""
    scan = MessageScan(10**9, np.array([3, 10, 12, 14, 20, 99], np.int64))
    scan.feed(messages([0, 1, 2], [10, 20, 30]))
    (found,) = scan.candidates
    assert (found.cause, found.before, found.after) == ("unseen_snapshot", 10, 20)
    assert scan.unseen_snapshots == 2


@given(
    st.lists(st.tuples(st.integers(-3, 30), st.integers(1, 5)), min_size=2, max_size=40),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(1, 39),
)
def test_batches_do_not_matter(steps: list[tuple[int, int]], snapshots: list[int], at: int) -> None:
    """The same findings and clocks however the messages are cut."""
    origin, sequence = np.cumsum(np.array(steps) + np.array([100, 0]), axis=0).T.tolist()
    shots = np.array(sorted(set(snapshots)), np.int64)
    whole, cut = MessageScan(115, shots), MessageScan(115, shots)
    batch = messages(origin, sequence)
    whole.feed(batch)
    for part in (batch.slice(0, min(at, len(batch))), batch.slice(min(at, len(batch)), len(batch))):
        if len(part):
            cut.feed(part)
    assert cut.candidates == whole.candidates
    assert cut.clocks() == whole.clocks()
    assert (cut.detector.messages, cut.detector.last_sequence) == (len(steps), sequence[-1])


def test_clocks() -> None:
    """Coverage, validity and latency, by hand."""
    scan = MessageScan(100, NO_SNAPSHOTS)
    scan.feed(messages([1_000, 1_050, 1_040, 1_340], [1, 2, 3, 4], [400_000, 400_050, 900_040, 900_340]))
    clocks = scan.clocks()
    assert clocks["origin_coverage"] == pytest.approx(1 - 200 / 340)
    assert clocks["origin_valid"] == pytest.approx(1 - 1 / 3)
    assert clocks["latency_ms"]["p50"] == pytest.approx(0.35)
    assert clocks["latency_ms"]["p99"] == pytest.approx(0.85)
    assert clocks["latency_negative"] == 0


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
@pytest.mark.parametrize("lost", [0, 1, 16])
def test_recorded_chains_are_whole_and_every_loss_is_found(recordings: Path, key: object, lost: int) -> None:
    """No break in what was recorded; each of k lost messages makes exactly one, at its place."""
    path = recordings / "truth/update_chain" / key.path / "*.parquet"  # type: ignore[attr-defined]
    chain = pl.read_parquet(path, hive_partitioning=False)
    gone = np.linspace(5, len(chain) - 5, lost).astype(int)
    kept = chain.with_row_index().filter(~pl.col("index").is_in(gone.tolist()))
    batch = messages(*(kept[name].to_list() for name in ("timestamp", "final_update_id")))
    name = "first_update_id" if (chain["prev_final_update_id"] < 0).any() else "prev_final_update_id"
    scan = MessageScan(10**9, NO_SNAPSHOTS)
    scan.feed(replace(batch, **{name: kept[name].to_numpy()}))
    assert [found.cause for found in scan.candidates] == ["chain"] * lost
    ids = chain["final_update_id"].to_list()
    assert [found.before for found in scan.candidates] == [ids[at - 1] for at in gone]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=2, max_size=40),
    st.lists(st.integers(0, 200), max_size=8),
    st.integers(1, 38),
)
def test_between_cuts_nothing_is_looked_for(
    steps: list[tuple[int, int]], snapshots: list[int], at: int
) -> None:
    """Two pieces of a day give what each gives alone, whatever lies between them."""
    origin, sequence = (np.cumsum(np.array(steps), axis=0) + 1_000).T
    at = min(at, len(origin) - 1)
    shots = np.unique(np.array(snapshots, np.int64) + 1_000)
    parts = [messages(origin[:at].tolist(), sequence[:at].tolist())]
    parts.append(messages((origin[at:] + 10**6).tolist(), (sequence[at:]).tolist()))
    cut, alone = MessageScan(20, shots), [MessageScan(20, shots), MessageScan(20, shots)]
    for part, one in zip(parts, alone, strict=True):
        cut.detector.cut()
        cut.feed(part)
        one.feed(part)
    assert cut.candidates == alone[0].candidates + alone[1].candidates
    assert cut.span_ns == alone[0].span_ns + alone[1].span_ns
    assert cut.silent_ns == alone[0].silent_ns + alone[1].silent_ns
    assert cut.unseen_snapshots == alone[0].unseen_snapshots + alone[1].unseen_snapshots
    assert (cut.detector.messages, cut.pairs) == (len(origin), len(origin) - 2)


HOUR = 1_723_075_200 * 10**9


@pytest.mark.parametrize("missing", [[0], [2], [3, 4], [9]])
def test_a_message_without_an_origin_time_is_missing_and_nothing_else(missing: list[int]) -> None:
    """0 says that the exchange gave none: no silence of decades, no coverage below 0, however the messages are cut."""
    origin = [0 if at in missing else HOUR + 10 * at for at in range(10)]
    received = [HOUR + 10 * at + 5 for at in range(10)]
    for pieces in ((0, 10), (0, 3, 4, 10)):
        scan = MessageScan(100, NO_SNAPSHOTS)
        for first, end in itertools.pairwise(pieces):
            scan.feed(messages(origin[first:end], list(range(first, end)), received[first:end]))
        found = scan.clocks()
        assert scan.candidates == []
        assert (found["origin_coverage"], scan.origin_missing, scan.origin_back) == (1.0, len(missing), 0)
        assert found["origin_valid"] == pytest.approx(1 - len(missing) / 9)
        assert found["latency_ms"]["p99"] == 0.05
        assert (scan.first_ns, scan.detector.last_ns) == (
            max(origin[0], HOUR + 10 * (0 in missing)),
            max(origin),
        )


def test_a_silence_around_a_message_without_an_origin_time_is_one() -> None:
    """It lasts from the last known time to the next."""
    scan = MessageScan(100, NO_SNAPSHOTS)
    scan.feed(messages([HOUR, 0, HOUR + 500], [1, 2, 3]))
    (found,) = scan.candidates
    assert (found.cause, found.before, found.after, found.before_ns, found.after_ns) == (
        "silence",
        2,
        3,
        HOUR,
        HOUR + 500,
    )
    assert scan.clocks()["origin_coverage"] == pytest.approx(0.2)


def test_coverage_is_never_below_nothing() -> None:
    """A time far ahead of all others: a long pause, and the way back is none."""
    scan = MessageScan(100, NO_SNAPSHOTS)
    scan.feed(messages([HOUR, 2 * HOUR, HOUR + 10], [1, 2, 3]))
    assert scan.clocks()["origin_coverage"] == 0.0


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 30), st.integers(1, 5), st.integers(-2, 40), st.booleans(), st.integers(1, 3)
        ),
        min_size=1,
        max_size=40,
    ),
    st.lists(st.integers(0, 120), max_size=8),
)
def test_figures_equal_those_of_a_loop(
    drawn: list[tuple[int, int, int, bool, int]], snapshots: list[int]
) -> None:
    """Silences, unseen snapshots, coverage, validity and the median latency of messages of any number of rows."""
    silence, shots = 15, sorted(set(snapshots))
    time, number, told = 100, 0, []
    for step, more, latency, missing, _ in drawn:
        time, number = time + step, number + more
        told.append((0 if missing and step > 20 else time, number, time + latency * BIN_NS // 2))
    repeats = [row[4] for row in drawn]
    origin, sequence, received = np.repeat(np.array(told).T, repeats, axis=1).tolist()
    scan = MessageScan(silence, np.array(shots, np.int64))
    scan.feed(messages(origin, sequence, received))
    clocks = scan.clocks()

    span = silent = back = silences = unseen = 0
    last = None
    for at, (when, number, _) in enumerate(told):
        now = when if when > 0 else last
        if at > 0:
            unseen += sum(told[at - 1][1] < shot < number for shot in shots)
        if at > 0 and last is not None and now is not None:
            span += now - last
            silent += max(now - last - silence, 0)
            back += now < last
            silences += now - last > silence
        last = now
    known = sorted((arrived - when) // BIN_NS for when, _, arrived in told if when > 0)
    absent = len(told) - len(known)
    assert [item.cause for item in scan.candidates].count("silence") == silences
    assert scan.unseen_snapshots == unseen
    assert clocks["origin_coverage"] == (max(1 - silent / span, 0.0) if span > 0 else None)
    assert clocks["origin_valid"] == pytest.approx(1 - (back + absent) / max(len(told) - 1, 1))
    assert (clocks["origin_back"], clocks["origin_missing"]) == (back, absent)
    if known:
        assert clocks["latency_ms"]["p50"] == (known[-(-len(known) // 2) - 1] + 0.5) * BIN_NS / 1e6


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
