"""Reading events: placed on the grid, handed out by step, without holding the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.model import FixedPoint
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform.rl.features.event_reader import (
    BLOCK_STEPS,
    ChunkCursor,
    EventReader,
    FeatureSpec,
    TradeChunk,
)
from order_book_platform.settings import FeatureSettings
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.rl.naive import Trade
from order_book_platform_tests.rl.streams import DEPTH, KEY, SETTINGS, START, TICK, trade_table

SPEC = FeatureSpec.of(
    SETTINGS, depth=DEPTH, cadence="message", fixed_point=FixedPoint(tick_pips=TICK), where="test"
)


def chunk_of(steps: list[int]) -> TradeChunk:
    """A chunk whose sizes are its steps."""
    array = np.array(steps, dtype=np.int64)
    return TradeChunk(step=array, is_buy=np.ones(len(steps), dtype=np.bool_), size=array)


@given(
    steps=st.lists(st.integers(0, 30), max_size=20).map(sorted),
    lengths=st.lists(st.integers(1, 5), min_size=20, max_size=20),
    limits=st.lists(st.integers(0, 32), max_size=8).map(sorted),
)
def test_cursor_hands_out_every_row_once(steps: list[int], lengths: list[int], limits: list[int]) -> None:
    """Rows below each limit come in order, the others stay; `peek` and `last_step` say where it stands."""
    chunks, rest = [], list(steps)
    while rest:
        length = lengths[len(chunks)]
        chunks.append(chunk_of(rest[:length]))
        rest = rest[length:]
    cursor = ChunkCursor(iter(chunks))
    taken: list[int] = []
    for limit in limits:
        for chunk, rows in cursor.take(limit):
            taken += chunk.size[rows].tolist()
        assert taken == [step for step in steps if step < limit]
        left = steps[len(taken) :]
        assert cursor.peek() == (left[0] if left else None)
        assert cursor.last_step == (taken[-1] if taken else -1)


def test_rows_fall_into_the_step_that_ends_at_or_after_them(tmp_path: Path) -> None:
    """A row on a grid time belongs to the step that ends there; one that goes back belongs to the highest before."""
    times = [START, START + 1, START + 100_000_000, START + 100_000_001, START + 5]
    pq.write_table(trade_table([Trade(time, True, 1) for time in times]), tmp_path / "trades.parquet")
    file = ParquetRows([tmp_path / "trades.parquet"])
    reader = EventReader(file, SPEC, KEY, 2, VERBATIM)
    steps = [step - START // 100_000_000 for chunk in reader.trades() for step in chunk.step.tolist()]
    assert steps == [0, 1, 1, 2, 2]
    assert (reader.rows, reader.regressions) == (5, 1)


def test_reading_lets_go_of_what_was_read(tmp_path: Path) -> None:
    """Memory follows the row group, not the file."""
    rows, groups = 4_000, 25
    rng = np.random.default_rng(7)
    path = tmp_path / "trades.parquet"
    with pq.ParquetWriter(path, TRADES_SCHEMA, use_dictionary=False) as writer:
        for _ in range(groups):
            noise = rng.integers(1, 2**60, rows)
            columns = [np.full(rows, START), noise, noise, noise % 2 == 0, noise, noise]
            writer.write_table(pa.table(columns, schema=TRADES_SCHEMA))
    size = path.stat().st_size
    before = pa.total_allocated_bytes()
    held = []
    file = ParquetRows([path])
    for chunk in EventReader(file, SPEC, KEY, 1_000, VERBATIM).trades():
        held.append(pa.total_allocated_bytes() - before)
        del chunk
    assert len(held) == rows * groups // 1_000
    assert max(held) < size / 4


def spec(**values: Any) -> FeatureSpec:
    """Specify features of books of 20 levels."""
    return FeatureSpec.of(
        FeatureSettings(**values),
        depth=20,
        cadence="change",
        fixed_point=FixedPoint(tick_pips=5),
        where="test",
    )


def test_defaults_in_steps() -> None:
    """100 ms steps, a window of ten, horizons of 1, 10 and 60 seconds."""
    found = spec()
    assert (found.step_ns, found.stride, found.window, found.second) == (100_000_000, 1, 10, 10)
    assert found.horizons == (10, 100, 600)
    assert found.history == 610
    assert (found.block, found.tick_pips) == (BLOCK_STEPS, 5)


def test_clock_above_a_second_keeps_seconds_inside() -> None:
    """Rows every minute are still made from steps of one second, in blocks of whole rows."""
    found = spec(clock="1m", flow_window="2m", horizons=("5m",))
    assert (found.step_ns, found.stride, found.window, found.horizons) == (1_000_000_000, 60, 120, (300,))
    assert found.block % 60 == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"imbalance_levels": ()}, "imbalance_levels"),
        ({"imbalance_levels": (0, 1)}, "imbalance_levels"),
        ({"imbalance_levels": (5, 5)}, "imbalance_levels"),
        ({"horizons": ("1s", "1000ms")}, "horizons"),
        ({"horizons": ("1500ms",)}, "horizons"),
        ({"clock": "300ms"}, "flow_window"),
    ],
)
def test_settings_that_make_no_features(values: dict[str, Any], expected: str) -> None:
    """Levels and horizons that are none, double or off the clock are refused by name."""
    with pytest.raises(ValidationError, match=expected):
        spec(**values)
