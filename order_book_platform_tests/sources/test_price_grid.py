"""The grid of a day: decimals that its values fit, and its tick and lot, detected and configured."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from order_book_platform.errors import DecimalRangeError, FixedPointRangeError, SettingsError
from order_book_platform.model import FixedPoint
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.price_grid import (
    choose_decimals,
    configured_pips,
    configured_text,
    detected_tick,
    price_unit,
    settled_increments,
)
from order_book_platform_tests.lake import delta_frame, files_of


def files(folder: Path, largest_size: float) -> list[LakeFile]:
    """A file of deltas with one large size."""
    at = pl.int_range(pl.len()) == 3
    size = pl.when(at).then(largest_size).otherwise(pl.col("size")).alias("size")
    return files_of(folder, delta_frame().with_columns(size), rows=100)


def tables(deltas: list[LakeFile]) -> dict[str, list[LakeFile]]:
    """A day of deltas alone."""
    return {"book_delta_v2": deltas, "book": [], "trades": []}


@pytest.mark.parametrize(
    ("largest", "finest", "wanted"),
    [(1.0, (), (8, 8)), (1e12, (), (8, 3)), (1.0, ("size",), (8, 15)), (1.0, ("price", "size"), (13, 15))],
)
def test_decimals_leave_room_for_the_largest_value(
    tmp_path: Path, largest: float, finest: tuple[str, ...], wanted: tuple[int, int]
) -> None:
    """Eight, or fewer for large values; as many as there is room for where that is asked for."""
    instrument = InstrumentSettings(symbol="TEST:A-B")
    assert choose_decimals(instrument, tables(files(tmp_path, largest)), 100, finest) == FixedPoint(*wanted)


def test_configured_decimals_are_not_lowered(tmp_path: Path) -> None:
    """What does not fit is refused, with the setting and a value that would do."""
    instrument = InstrumentSettings(symbol="TEST:A-B", size_decimals=8)
    with pytest.raises(FixedPointRangeError, match=r"size_decimals of TEST:A-B.*Set size_decimals to 3"):
        choose_decimals(instrument, tables(files(tmp_path, 1e12)), 100)


SCALE = FixedPoint(3, 2)


def configured(tick: str | None = None, lot: str | None = None) -> InstrumentSettings:
    """Settings of an instrument with these increments."""
    return InstrumentSettings(
        symbol="TEST:A-B",
        tick=None if tick is None else Decimal(tick),
        lot=None if lot is None else Decimal(lot),
    )


@pytest.mark.parametrize(
    ("tick", "detected", "used", "contradicted"),
    [
        (None, 500, 500, []),
        (None, 0, 1, []),
        ("0.1", 500, 100, []),
        ("0.1", 0, 100, []),
        ("1", 500, 500, ["tick"]),
        ("0.5", 500, 500, []),
    ],
)
def test_what_is_configured_is_used_unless_the_data_contradict_it(
    tick: str | None, detected: int, used: int, contradicted: list[str]
) -> None:
    """A configured tick has to divide what the prices show; nothing seen contradicts nothing."""
    point, wrong = settled_increments(SCALE, configured_pips(configured(tick), SCALE), detected, 7)
    assert (point, wrong) == (FixedPoint(3, 2, used, 7), contradicted)


@pytest.mark.parametrize(("name", "value"), [("tick", "0.0005"), ("lot", "0.001"), ("lot", "1e15")])
def test_increments_that_are_no_pips_are_refused(name: str, value: str) -> None:
    """Finer than a pip, or too large to be a pip count."""
    with pytest.raises(SettingsError, match=f"setting {name} of TEST:A-B"):
        configured_pips(configured(**{name: value}), SCALE)


def test_configured_increments_as_text() -> None:
    """As they were written; None for what is left to be detected."""
    assert configured_text(configured(tick="0.50")) == {"tick": "0.50", "lot": None}


@pytest.mark.parametrize(
    ("snapshots", "off_rows", "rows", "largest", "tick"),
    [(50, 6, 10, 10**6, 50), (50, 5, 10, 10**6, 100), (0, 0, 0, 10**6, 100), (1, 9, 10, 2**61, 100)],
)
def test_snapshots_show_a_finer_tick_only_if_most_of_them_do(
    snapshots: int, off_rows: int, rows: int, largest: int, tick: int
) -> None:
    """More than half of the snapshots, and not a step in which the prices are too many to count."""
    assert detected_tick(100, snapshots, off_rows, rows, largest) == tick


def test_the_unit_leaves_out_snapshots_that_would_make_it_too_small() -> None:
    """It divides both if prices can be counted in it with room to spare, else the deltas alone, else nothing does."""
    assert price_unit(600, 400, 10**6, "day") == 200
    assert price_unit(600, 0, 10**6, "day") == 600
    assert price_unit(600, 1, 2**60, "day") == 600
    with pytest.raises(DecimalRangeError, match=r"day: .*2\*\*61"):
        price_unit(1, 1, 2**61, "day")
