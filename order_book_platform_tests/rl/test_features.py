"""Features against the slow definitions, and the promise that nothing looks ahead."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from order_book_platform.rl.features import event_reader
from order_book_platform.settings import FeatureSettings
from order_book_platform_tests.rl.naive import BookRow, NaiveFeatures, Trade
from order_book_platform_tests.rl.streams import (
    COARSE,
    DEPTH,
    SETTINGS,
    START,
    TICK,
    agrees,
    book_rows,
    run_features,
    same_bits,
    shift,
    trade_rows,
)

SLOW = hypothesis_settings(max_examples=40, suppress_health_check=list(HealthCheck))


def compare(rows: list[BookRow], trades: list[Trade], settings: FeatureSettings) -> None:
    """Every cell equals its definition."""
    table = run_features(rows, trades, settings)
    wanted = NaiveFeatures(rows, trades, settings, TICK).table()
    assert table.column("time").to_pylist() == [step["time"] for step in wanted]
    for found, step in zip(table.to_pylist(), wanted, strict=True):
        assert found.keys() == step.keys()
        for name, value in found.items():
            assert agrees(value, step[name]), (step["time"], name, value, step[name])


@pytest.mark.parametrize("settings", [SETTINGS, COARSE], ids=["100ms", "2s"])
@SLOW
@given(rows=book_rows(), trades=trade_rows())
def test_every_column_equals_its_definition(
    settings: FeatureSettings, rows: list[BookRow], trades: list[Trade]
) -> None:
    """All columns of all rows equal the slow definitions, on a clock below and one above a second."""
    compare(rows, trades, settings)


@SLOW
@given(rows=book_rows(min_size=2), trades=trade_rows(), block=st.integers(1, 9))
def test_block_edges_change_nothing(rows: list[BookRow], trades: list[Trade], block: int) -> None:
    """Computing a few steps at a time gives the bits of computing all at once."""
    with mock.patch.object(event_reader, "BLOCK_STEPS", block):
        for settings in (SETTINGS, COARSE):
            small = run_features(rows, trades, settings)
            with mock.patch.object(event_reader, "BLOCK_STEPS", 32_768):
                assert same_bits(small, run_features(rows, trades, settings))


@SLOW
@given(rows=book_rows(), trades=trade_rows(), batch_rows=st.integers(1, 6))
def test_batch_size_changes_nothing(rows: list[BookRow], trades: list[Trade], batch_rows: int) -> None:
    """Reading a few rows at a time gives the bits of reading all at once."""
    assert same_bits(run_features(rows, trades), run_features(rows, trades, batch_rows=batch_rows))


@SLOW
@given(rows=book_rows(), later=book_rows(), trades=trade_rows(), more=trade_rows(), cut=st.integers(1, 40))
def test_later_events_change_no_earlier_row(
    rows: list[BookRow], later: list[BookRow], trades: list[Trade], more: list[Trade], cut: int
) -> None:
    """The features of a prefix are the first rows of the features of whatever follows it."""
    prefix = rows[:cut]
    highest = max(row.origin_time for row in prefix)
    early = [trade for trade in trades if trade.origin_time <= highest]
    after = highest - min(row.origin_time for row in later)
    changed = [*prefix, *shift(later, after)]
    late = [
        Trade(highest + 1 + trade.origin_time - more[0].origin_time, trade.is_buy, trade.size)
        for trade in more
    ]
    short = run_features(prefix, early)
    for longer in (
        run_features(rows, early),
        run_features(rows, trades),
        run_features(changed, early),
        run_features(changed, [*early, *late]),
    ):
        assert same_bits(longer.slice(0, short.num_rows), short)


def test_comparison_would_notice_a_look_ahead() -> None:
    """A row moved from just after a step to just before it changes that step: the bit comparison can fail."""
    rows, _ = _quiet()
    moved = [*rows[:10], *shift(rows[10:11], -2), *rows[11:]]
    assert not same_bits(run_features(rows, []), run_features(moved, []))


def _quiet() -> tuple[list[BookRow], list[Trade]]:
    """Twenty clean rows, one just after every step, each with another size."""
    rows = [
        BookRow(
            START + i * 100_000_000 + 1,
            START + i * 100_000_000 + 2,
            1,
            DEPTH,
            DEPTH,
            tuple((1000 - 10 * m, 5 + i + m) for m in range(DEPTH)),
            tuple((1010 + 10 * m, 7) for m in range(DEPTH)),
        )
        for i in range(20)
    ]
    return rows, []
