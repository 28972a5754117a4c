"""Distances of distributions against sums over lists."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metric_declarations import CHECKS
from order_book_platform.fidelity.metrics.distributions import (
    CONFIDENCE,
    INTERVAL_BINS,
    PLACES_MS,
    RESAMPLES,
    SEED,
    STATISTICS,
    Distance,
    Distributions,
    distance,
    interval_bins,
    interval_metrics,
    margins,
    positions,
)
from order_book_platform.fidelity.metrics.metric import judge_placebos
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.storage import ParquetRows

TICK, DEPTH = 5, 6
PLACES = np.array([0.0, 1.0, 4.0])


def plain_distance(ours: list[tuple[float, int]], theirs: list[tuple[float, int]]) -> tuple[float, ...]:
    """KS, TV and W1 of two lists of (value, weight), from the definitions."""
    whole = [sum(weight for _, weight in side) for side in (ours, theirs)]

    def below(side: int, value: float) -> float:
        return sum(weight for at, weight in (ours, theirs)[side] if at <= value) / whole[side]

    def share(side: int, value: float) -> float:
        return sum(weight for at, weight in (ours, theirs)[side] if at == value) / whole[side]

    values = sorted({value for value, _ in ours + theirs})
    apart = [abs(below(0, value) - below(1, value)) for value in values]
    steps = [later - value for value, later in itertools.pairwise(values)]
    return (
        max(apart),
        sum(abs(share(0, value) - share(1, value)) for value in values) / 2,
        sum(height * step for height, step in zip(apart, steps, strict=False)),
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=12))
def test_distances_equal_their_definitions(drawn: list[tuple[int, int, int]]) -> None:
    """KS, TV and W1 of weights by bin are those of the lists of values."""
    excess = np.zeros(4, np.int64)
    for ours, theirs, weight in drawn:
        excess[ours] += weight
        excess[theirs] -= weight
    found = distance(excess, sum(weight for *_, weight in drawn), PLACES)
    wanted = plain_distance(
        [(PLACES[ours], weight) for ours, _, weight in drawn],
        [(PLACES[theirs], weight) for _, theirs, weight in drawn],
    )
    assert (found.ks, found.tv, found.w1) == pytest.approx(wanted)


def test_a_state_without_a_value_counts_but_lies_nowhere() -> None:
    """It moves KS and TV; how far it would have to be moved cannot be said."""
    found = distance(np.array([-3, 0, 0, 3]), 10, PLACES)
    assert (found.ks, found.tv, found.w1) == (0.3, 0.3, None)
    assert distance(np.zeros(4, np.int64), 0, PLACES) == Distance()


def test_bins_lie_where_their_values_begin() -> None:
    """Ticks, logs of pips, and imbalances; the kernel puts each value into the bin whose place it is."""
    spread = positions(state_histograms.SPREAD)
    assert spread[state_histograms.SPREAD_SIDE - 3 : state_histograms.SPREAD_SIDE + 66].tolist() == [
        *range(-3, 64),
        64,
        66,
    ]
    for ticks in (0, 1, 63, 64, 66, 1 << 20, -7, -128):
        assert (
            spread[
                state_histograms.spread_bin(
                    0 if ticks >= 0 else 1 << 40, (0 if ticks >= 0 else 1 << 40) + ticks * TICK, TICK
                )
            ]
            == ticks
        )
    sizes = positions(state_histograms.LOG_Q_ASK)
    for size in (1.0, 2.0, 31.0, 2.0**40, 2.0**-34):
        assert sizes[state_histograms.size_bin(int(np.float64(size).view(np.int64)))] == pytest.approx(
            math.log(size), abs=1e-12
        )
    imbalances = positions(state_histograms.QI_5)
    assert (imbalances[0], imbalances[256], imbalances[-1]) == (-1.0, 0.0, 1.0)
    for statistic in range(state_histograms.STATISTICS):
        assert (np.diff(positions(statistic)) > 0).all()
        assert len(positions(statistic)) == state_histograms.BIN_COUNTS[statistic]


def random_books(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Prices and sizes of sound books: a level on every second tick or so, sizes below 64."""
    steps = random.integers(1, 3, (rows, 2, DEPTH)).cumsum(axis=2) * TICK
    price = np.stack([10_000 - steps[:, 0], 10_000 + steps[:, 1]], 1)
    return price, random.integers(1, 64, (rows, 2, DEPTH))


def pairs(
    random: np.random.Generator, rows: int, wrong: float
) -> tuple[ShiftedReferences, BookRows, np.ndarray]:
    """References and book rows, a share of them wrong; and their times."""
    price, size = random_books(random, rows)
    other_price, other_size = random_books(random, rows)
    other_price[:, 0] -= TICK
    other_size[:, 0] = 63
    other_size[:, 1] = 1
    off = (random.random(rows) < wrong)[:, None, None]
    known = random.integers(0, DEPTH + 1, (rows, 2)).astype(np.uint8)
    time_ns = np.sort(random.integers(0, 40 * NS_PER_SECOND, rows))
    number = np.arange(rows)
    references = ReferenceRows(number, time_ns, price, size)
    shifted = ShiftedReferences(
        number, time_ns, price, size, np.zeros((rows, 2), np.int64), np.ones((rows, 2), bool), references
    )
    books = BookRows(
        *(number, time_ns, np.zeros(rows, np.uint8), known),
        *(np.where(off, other_price, price), np.where(off, other_size, size)),
    )
    return shifted, books, time_ns


def plain_value(name: str, price: np.ndarray, size: np.ndarray) -> float:
    """The statistic of one book; an imbalance rounded down to its 256th."""
    if name == "spread":
        return float(price[1][0] - price[0][0]) / TICK
    if name.startswith("log_q"):
        return math.log(size[int(name.endswith("ask"))][0])
    levels = int(name.removeprefix("qi_"))
    bids, asks = (int(sum(side[:levels])) for side in size)
    return math.floor((bids - asks) / (bids + asks) * 256) / 256


def needed(name: str) -> tuple[int, int]:
    """Levels of bids and asks that a row has to know."""
    return {"log_q_bid": (1, 0), "log_q_ask": (0, 1), "qi_5": (5, 5)}.get(name, (1, 1))


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_a_day_in_pieces_equals_sums_over_lists(wrong: float) -> None:
    """Each pair weighs the time until the next, whatever the batches; distances and placebos are the definitions'."""
    random = np.random.default_rng(11)
    shifted, books, time_ns = pairs(random, 300, wrong)
    found = Distributions(DEPTH, TICK, 0, 40 * NS_PER_SECOND)
    for start, stop in itertools.pairwise([0, 1, 1, 120, 121, 300]):
        found.add(shifted.take(slice(start, stop)), books.take(slice(start, stop)))
    for statistic, name in enumerate(STATISTICS):
        counted = [
            (row, int(time_ns[row + 1] - time_ns[row]))
            for row in range(299)
            if all(books.known[row] >= needed(name)) and time_ns[row + 1] > time_ns[row]
        ]
        theirs = [
            (plain_value(name, shifted.encoded_price[r], shifted.encoded_size[r]), w) for r, w in counted
        ]
        ours = [(plain_value(name, books.encoded_price[r], books.encoded_size[r]), w) for r, w in counted]
        distances = found.distance(statistic)
        assert (distances.ks, distances.tv, distances.w1) == pytest.approx(plain_distance(ours, theirs))
        assert (distances.ks == 0.0) == (wrong == 0.0)
        for side, placebo in enumerate(found.placebos(statistic)):
            if name == f"log_q_{('ask', 'bid')[side]}":
                assert placebo == Distance()
                continue
            spoiled = []
            for r, w in counted:
                price, size = (
                    [list(s) for s in cube[r]] for cube in (shifted.encoded_price, shifted.encoded_size)
                )
                del price[side][0], size[side][0]
                spoiled.append((plain_value(name, price, size), w))
            assert (placebo.ks, placebo.tv, placebo.w1) == pytest.approx(plain_distance(spoiled, theirs))


def test_margins_equal_those_of_days_put_together_one_by_one() -> None:
    """The bootstrap over sums of blocks is the plain one: blocks drawn, lists joined, shares compared."""
    random = np.random.default_rng(4)
    blocks = [
        [
            tuple(row)
            for row in np.stack([*random.integers(0, 3, (2, 20)), random.integers(1, 9, 20)], 1).tolist()
        ]
        for _ in range(7)
    ]
    excess, totals = np.zeros((8, 4), np.int64), np.zeros(8, np.int64)  # the last block holds nothing
    for block, rows in enumerate(blocks):
        for ours, theirs, weight in rows:
            excess[block, ours] += weight
            excess[block, theirs] -= weight
            totals[block] += weight

    def difference(rows: list[tuple[int, int, int]]) -> list[float]:
        """Share of each value in the one list less that in the other."""
        whole = sum(weight for *_, weight in rows)
        return [sum(w * ((a == v) - (b == v)) for a, b, w in rows) / whole for v in range(3)]

    real = difference([row for rows in blocks for row in rows])
    found: dict[str, list[float]] = {"ks": [], "tv": [], "w1": []}
    for counts in np.random.default_rng(SEED).multinomial(7, np.full(7, 1 / 7), size=RESAMPLES):
        day = [row for block, times in zip(blocks, counts, strict=True) for row in block * int(times)]
        moved = [new - old for new, old in zip(difference(day), real, strict=True)]
        ahead = [abs(sum(moved[: value + 1])) for value in range(3)]
        found["ks"].append(max(ahead))
        found["tv"].append(sum(map(abs, moved)) / 2)
        found["w1"].append(ahead[0] * 1.0 + ahead[1] * 3.0)
    margin = margins(excess, totals, PLACES)
    for kind, values in found.items():
        assert getattr(margin, kind) == pytest.approx(np.percentile(values, CONFIDENCE))
    assert margin == margins(excess, totals, PLACES)


def test_true_distances_lie_within_the_margin() -> None:
    """Days of 30 blocks from a law that is known, one without any distance: nearly all intervals hold the truth."""
    random = np.random.default_rng(8)
    for shift in (0.0, 0.1):
        ours, theirs = np.array([0.3 + shift, 0.4, 0.3 - shift]), np.array([0.3, 0.4, 0.3])
        held = 0
        for _ in range(40):
            # A block's rows go together: its shares vary more than those of 500 independent rows.
            both = [random.dirichlet(law * 50, 30) * 500 for law in (ours, theirs)]
            excess = np.zeros((30, 4), np.int64)
            excess[:, :2] = np.rint(both[0] - both[1])[:, :2]
            excess[:, 2] = -excess[:, :2].sum(axis=1)
            totals = np.full(30, 500)
            value, margin = distance(excess.sum(axis=0), 15_000, PLACES), margins(excess, totals, PLACES)
            held += abs(value.ks - shift) <= margin.ks
        assert held >= 36


def test_margins_say_what_they_cannot() -> None:
    """One block shows no variation; equal distributions vary by nothing; what has no value has no distance."""
    one = np.array([[1, -1, 0, 0]])
    assert margins(one, np.array([5]), PLACES) == Distance()
    assert margins(np.zeros((2, 4), np.int64), np.array([5, 5]), PLACES) == Distance(0.0, 0.0, 0.0)
    nowhere = margins(np.array([[-1, 0, 0, 1], [0, 0, 0, 0]]), np.array([5, 5]), PLACES)
    assert nowhere.ks == nowhere.tv == pytest.approx(0.1)
    assert nowhere.w1 is None


def test_metrics_carry_gates_placebos_and_intervals() -> None:
    """A wrong book fails every gate, an exact one none; the spoiled references fail all of them."""
    for wrong, passes in ((0.0, True), (0.5, False)):
        shifted, books, _ = pairs(np.random.default_rng(3), 2_000, wrong)
        found = Distributions(DEPTH, TICK, 0, 40 * NS_PER_SECOND)
        found.add(shifted, books)
        metrics = {metric.name: metric for metric in found.metrics(7, "sequence")}
        assert list(metrics) == [f"{kind}_{name}" for name in STATISTICS for kind in ("ks", "tv", "w1")]
        gated = [metric for metric in metrics.values() if metric.gate is not None]
        assert [metric.name for metric in gated] == [name for name in CHECKS if name.startswith("ks_")]
        assert {metric.name: metric.value == 0.0 for metric in gated} == {m.name: passes for m in gated}
        for metric in metrics.values():
            low, high = metric.interval
            assert low <= metric.value <= high
            assert metric.unmatched == 7
            assert "from 41 blocks" in metric.note or "from 40 blocks" in metric.note
            row = metric.to_dict()
            assert (row["low"], row["high"]) == metric.interval
            assert (row["placebo_1s"], row["placebo_10s"]) == (None, None)
        assert metrics["ks_log_q_ask"].to_dict()["placebo_no_bid"] is None
        assert metrics["ks_log_q_ask"].to_dict()["placebo_no_ask"] == metrics["ks_log_q_ask"].placebos[1]


def test_a_single_level_has_no_placebo() -> None:
    """Without a second level there is nothing to put in the best one's place, and that is no pass."""
    shifted, books, _ = pairs(np.random.default_rng(3), 50, 0.0)
    found = Distributions(1, TICK, 0, NS_PER_SECOND)
    one = [array[:, :, :1] for array in (shifted.encoded_price, shifted.encoded_size)]
    references = ReferenceRows(shifted.sequence_number, shifted.time_ns, *one)
    cut = ShiftedReferences(
        shifted.sequence_number, shifted.time_ns, *one, shifted.later, shifted.shifted_valid, references
    )
    found.add(
        cut, BookRows(*[getattr(books, n) for n in ("sequence_number", "time_ns", "flags", "known")], *one)
    )
    metrics = list(found.metrics(0, "sequence"))
    assert all(metric.placebos == (None, None) for metric in metrics)
    assert judge_placebos(metrics).value == 0.0


def test_nothing_compared_is_no_figure() -> None:
    """Without pairs, and with one that holds for no time, values are null and n is 0."""
    found = Distributions(DEPTH, TICK, 0, NS_PER_SECOND)
    shifted, books, _ = pairs(np.random.default_rng(3), 1, 0.0)
    found.add(shifted.take(slice(0, 0)), books.take(slice(0, 0)))
    found.add(shifted, books)
    for metric in found.metrics(0, "sequence"):
        assert (metric.value, metric.n, metric.interval) == (None, 0, None)


MS = 1_000_000


def interval_distances(folder: Path, origin: np.ndarray, received: np.ndarray) -> dict[str, float | None]:
    """The three distances of a file of several row groups."""
    pq.write_table(pa.table({"received_time": pa.array(received)}), folder / "b", row_group_size=40)
    metrics = list(interval_metrics(ParquetRows([folder / "b"]), origin))
    assert {metric.n for metric in metrics} == {max(len(origin) - 1, 0)}
    assert all(metric.gate is None and metric.placebos == () for metric in metrics)
    return {metric.name.split("_")[0]: metric.value for metric in metrics}


def test_a_constant_delay_is_no_difference(tmp_path: Path) -> None:
    """Whatever the latency, as long as it is one: the rhythm is the same."""
    origin = np.cumsum(np.random.default_rng(1).integers(0, 50, 100)) * MS
    assert interval_distances(tmp_path, origin, origin - 1_270 * MS) == {"ks": 0.0, "tv": 0.0, "w1": 0.0}


def test_bursts_show_and_equal_sums_over_lists(tmp_path: Path) -> None:
    """Messages held back and delivered in pairs: half the intervals become 0, the others grow."""
    origin = np.arange(101) * 10 * MS
    received = np.repeat(np.arange(0, 102, 2), 2)[:101] * 10 * MS
    found = interval_distances(tmp_path, origin, received)
    ours, theirs = (sorted(np.diff(times) // MS) for times in (received, origin))
    assert found["w1"] == pytest.approx(sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / 100)
    assert (found["ks"], found["tv"]) == (0.5, 1.0)


def test_too_few_rows_have_no_interval(tmp_path: Path) -> None:
    """One row, or none."""
    for rows in (0, 1):
        times = np.arange(rows) * MS
        assert interval_distances(tmp_path, times, times) == {"ks": None, "tv": None, "w1": None}


def test_bins_lie_at_whole_milliseconds() -> None:
    """As many places as bins, exact below 64 ms."""
    assert len(PLACES_MS) == INTERVAL_BINS
    assert PLACES_MS[:66].tolist() == [*range(65), 66]


EDGES_MS = [*range(64), *(m << d for d in range(1, 31) for m in range(32, 64))]


@given(st.lists(st.one_of(st.integers(-3, 80 * MS), st.integers(0, 1 << 57)), max_size=8))
def test_an_interval_falls_into_the_bin_of_its_whole_milliseconds(intervals: list[int]) -> None:
    """Nothing below 0, and nothing beyond the last bin."""
    wanted = [min(bisect_right(EDGES_MS, max(each, 0) // MS) - 1, INTERVAL_BINS - 1) for each in intervals]
    assert interval_bins(np.array(intervals, np.int64)).tolist() == wanted
