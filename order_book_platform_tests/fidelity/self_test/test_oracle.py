"""The slow figures, on a day so small that they can be worked out by hand, and their independence."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_SCHEMA, books_schema
from order_book_platform.fidelity.self_test import oracle
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.fidelity.self_test.oracle import DEPTH, slow_figures, snapshot_pairs, ticker_pairs
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import DEPTH as VISIBLE_LEVELS
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.conftest import TRIAL_KEY
from order_book_platform_tests.fidelity.test_metric_declarations import FIGURES, documented

TICK = 10
SEEDED = int(BookFlag.SEEDED)
Levels = Sequence[tuple[int, int]]
NUMBERS = dict.fromkeys(("origin_time", "received_time"), 0)


def book(
    number: int, time: int, bids: Levels, asks: Levels, known: tuple[int, int], flags: int = SEEDED
) -> dict:
    """One row of `reconstructed_books`."""
    row = dict.fromkeys(books_schema().names)
    row |= {"origin_time": time, "received_time": time, "sequence_number": number, "flags": flags}
    row |= {"known_bid_levels": known[0], "known_ask_levels": known[1]}
    for side, levels in (("bid", bids), ("ask", asks)):
        for level, (price, size) in enumerate(levels):
            row |= {f"{side}_{level}_price_pips": price, f"{side}_{level}_size_pips": size}
    return row


def snapshot(number: int, time: int, bids: Levels, asks: Levels) -> dict:
    """One snapshot."""
    row = {**NUMBERS, "origin_time": time, "sequence_number": number}
    for side, levels in (("bid", bids), ("ask", asks)):
        row[f"{side}_price_pips"] = [price for price, _ in levels]
        row[f"{side}_size_pips"] = [size for _, size in levels]
    return row


def ticker(number: int, bid: tuple[int, int], ask: tuple[int, int]) -> dict:
    """One ticker."""
    row = {**NUMBERS, "transaction_time": None, "sequence_number": number}
    for side, (price, size) in (("bid", bid), ("ask", ask)):
        row |= {f"{side}_price_pips": price, f"{side}_size_pips": size}
    return row


BIDS, ASKS = [(100, 4), (90, 5)], [(120, 4), (140, 7)]


@pytest.fixture
def day() -> InMemoryDay:
    """Four rows, the first not seeded, the last crossed; four snapshots: used, exact, wrong, after the end."""
    books = [
        book(1, 0, BIDS, ASKS, (0, 0), flags=0),
        book(2, 10, BIDS, ASKS, (2, 2)),
        book(4, 30, [(100, 4), (80, 5)], ASKS, (2, 1)),
        book(6, 40, [(130, 1)], [(120, 1)], (1, 1)),
        book(5, 45, BIDS, ASKS, (2, 2)),
    ]
    snapshots = [
        snapshot(2, 10, BIDS, ASKS),
        snapshot(3, 20, BIDS, ASKS),
        snapshot(4, 30, [(110, 8), (90, 5)], ASKS),
        snapshot(5, 60, [(110, 8), (90, 5)], ASKS),
        snapshot(9, 70, BIDS, ASKS),
    ]
    used = dict.fromkeys(USED_SNAPSHOTS_SCHEMA.names, 0) | {"sequence_number": 2, "use": "repaired"}
    tickers = [ticker(2, BIDS[0], ASKS[0]), ticker(4, (110, 8), ASKS[0]), ticker(5, (110, 8), ASKS[0])]
    return InMemoryDay(
        books=pl.DataFrame(books, schema=pl.from_arrow(books_schema().empty_table()).schema),
        used=pl.DataFrame([used]),
        messages=np.array([1, 2, 4, 6]),
        snapshots=pl.DataFrame(snapshots),
        tickers=pl.DataFrame(tickers),
        trades=pl.DataFrame(),
        tick_pips=TICK,
    )


def test_figures_worked_out_by_hand(day: InMemoryDay) -> None:
    """Three pairs: exact; best bid a tick too low with a ghost behind it; the same again, 30 ns later."""
    assert [(pair.time_ns, pair.row, pair.known) for pair in snapshot_pairs(day)] == [
        (20, 1, (2, 2)),
        (30, 2, (2, 1)),
        (60, 2, (2, 1)),
    ]
    assert [pair.row for pair in ticker_pairs(day)] == [1, 2]
    found = slow_figures(day)
    assert found["bbo_exact_seq"] == pytest.approx(1 / 3)
    assert found["bbo_known_share"] == 1.0
    assert found["bbo_rms_seq_bid"] == pytest.approx(math.sqrt((0 + 1 + 1) / 3))
    assert found["bbo_rms_seq_ask"] == 0.0
    assert (found["topk_exact"], found["topk_known_share"]) == (None, 0.0)
    assert found["topk_exact_all"] == pytest.approx(1 / 3)
    # Reference levels up to the book's last known one: 2 + 2, then bids 110 and 90 and ask 120, twice.
    assert found["topk_missing"] == pytest.approx((2 + 2) / (4 + 3 + 3))
    # References of fewer than 20 levels have no others: bids 100 and 80 are both ghosts, twice.
    assert found["topk_ghost"] == pytest.approx((2 + 2) / (4 + 3 + 3))
    # The last pair holds for no time; the first for 10 ns, the second for 30 ns: spread 2 ticks instead of 1.
    assert found["ks_spread"] == found["ks_log_q_bid"] == pytest.approx(30 / 40)
    assert found["ks_log_q_ask"] == 0.0
    assert found["ks_qi_1"] == pytest.approx(30 / 40)
    assert found["ks_qi_5"] is None
    # From the seed at 10 ns to 45 ns; crossed from 40 to 45.
    assert found["crossed_tw"] == pytest.approx(5 / 35)
    assert (found["resyncs"], found["unseen_references"], found["out_of_order_rows"]) == (1.0, 3.0, 1.0)
    assert found["bbo_exact_seq_tickers"] == 0.5
    assert found["bbo_rms_seq_bid_tickers"] == pytest.approx(math.sqrt(1 / 2))


def test_correlations_follow_the_textbook() -> None:
    """Perfect, reversed and tied ranks; nothing that never changes has one."""
    assert oracle._ranks([5, 1, 5, 9]) == [2.5, 1.0, 2.5, 4.0]
    assert oracle._pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert oracle._pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert oracle._pearson([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert oracle._pearson([1, 1], [1, 2]) is None
    assert oracle._pearson([], []) is None


def test_sizes_of_a_level_are_compared_at_once_and_step_by_step() -> None:
    """Steps are between neighbours that both count; a pair that does not breaks the chain."""
    found = oracle._level([(1, 1), (2, 4), None, (9, 9), (8, 7), (8, 10)])
    assert found["depth_l1"] == pytest.approx((0 + 2 + 0 + 1 + 2) / 31)
    # Steps of the book +1, -1, 0 and of the reference +3, -2, +3: ranks 3, 1, 2 and 2.5, 1, 2.5.
    assert found["depth_corr_spearman_detrended"] == pytest.approx(1.5 / math.sqrt(2 * 1.5))
    logs = [math.log(3 / 2), math.log(9 / 10), 0.0], [math.log(5 / 2), math.log(8 / 10), math.log(11 / 8)]
    assert found["depth_corr_pearson_detrended"] == pytest.approx(float(np.corrcoef(*logs)[0, 1]))
    assert set(oracle._level([]).values()) == {None}


def test_nothing_is_shared_with_the_fast_way() -> None:
    """Neither kernels nor the modules that measure; else both could be wrong together."""
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name.startswith("order_book_platform")}
    assert ours == {"order_book_platform.fidelity.self_test.in_memory_day", "order_book_platform.model"}
    assert DEPTH == VISIBLE_LEVELS


def test_the_slow_definitions_are_those_that_are_documented(trial: DataStore) -> None:
    """Each metric that names a function has a figure, and no other one has; tickers have those of best prices."""
    slow = {name: cells[-2] for name, cells in documented(FIGURES).items() if "_" in cells[-2]}
    by_tickers = {f"{name}_tickers" for name, function in slow.items() if function == "best_price_figures"}
    assert set(slow_figures(InMemoryDay.read(trial, TRIAL_KEY))) == set(slow) | by_tickers
