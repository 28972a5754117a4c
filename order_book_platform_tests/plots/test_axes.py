"""Scales, ticks and panels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.plots.axes import (
    Panel,
    Scale,
    number_label,
    percent_label,
    time_axis,
)
from order_book_platform.plots.svg import Svg
from order_book_platform_tests.plots.frames import SECOND, START_NS, words

FINITE = st.floats(-1e9, 1e9)


@given(st.sampled_from(["linear", "log", "symlog"]), st.lists(st.floats(1e-3, 1e9), min_size=2, max_size=9))
def test_a_scale_keeps_the_order(kind: str, values: list[float]) -> None:
    """Positions go from 0 at the start to 1 at the end and never back."""
    values = sorted(values)
    if values[-1] <= values[0] * 1.001:
        return
    places = Scale(values[0], values[-1], kind, 0.1)(values)  # type: ignore[arg-type]
    assert places[0] == pytest.approx(0)
    assert places[-1] == pytest.approx(1)
    assert (np.diff(places) >= -1e-12).all()


def test_an_axis_can_be_turned_round() -> None:
    """The higher value may be at the start."""
    assert Scale(10, 0)([10, 5, 0]).tolist() == [0, 0.5, 1]


def test_symlog_is_linear_near_zero_and_logarithmic_beyond() -> None:
    """That holds for both signs; a power of ten is as long as the linear part."""
    places = Scale(-10, 10, "symlog", 0.1)([-10, -1, -0.1, 0, 0.05, 0.1, 1, 10])
    assert places == pytest.approx(np.array([-3, -2, -1, 0, 0.5, 1, 2, 3]) / 6 + 0.5)


def test_what_is_not_known_stays_so() -> None:
    """NaN has no position."""
    assert np.isnan(Scale(0, 1)([np.nan])).all()


@given(FINITE, st.floats(1e-3, 1e9), st.integers(3, 9))
def test_linear_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    """There are about as many as asked for at most, and none outside."""
    high = low + span
    if high - low < abs(low) * 1e-9:
        return
    ticks = [value for value, _ in Scale(low, high).ticks(most)]
    slack = span * 1e-6 + 1e-12
    assert len(ticks) <= most + 1
    assert all(low - slack <= value <= high + slack for value in ticks)


@pytest.mark.parametrize(
    ("scale", "shown"),
    [
        (Scale(0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Scale(1.3, 1.9, "log"), []),
        (Scale(0.002, 30, "log"), ["0.01", "0.1", "1", "10"]),
        (Scale(0.3, 8, "log"), ["0.5", "1", "2", "5"]),
        (Scale(0, 700, "symlog", 0.1), ["0", "0.1", "1", "10", "100"]),
        (Scale(0, 90, "symlog", 64), ["0", "50"]),
    ],
)
def test_ticks_are_round(scale: Scale, shown: list[str]) -> None:
    """Ticks are numbers that people count in; where none is round the ends are shown."""
    found = [text for _, text in scale.ticks()]
    assert found == shown or (not shown and len(found) == 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1, "0.1"),
        (0.025, "0.025"),
        (1_000, "1,000"),
        (61_234.5, "61,234.5"),
        (1e8, "1e+08"),
        (-2.5, "-2.5"),
        (1e-05, "1e-05"),
        (0.30000000000000004, "0.3"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """There are no digits that say nothing."""
    assert number_label(value) == text


def test_shares_are_per_cent() -> None:
    """A share of the whole is written in per cent."""
    assert [percent_label(value) for value in (0, 0.025, 1)] == ["0 %", "2.5 %", "100 %"]


@pytest.mark.parametrize(
    ("span_s", "label", "shown"),
    [
        (0, "UTC, 2024-08-08", "23:54:15"),
        (10, "UTC, 2024-08-08", "23:54:20"),
        (300, "UTC, 2024-08-08", "23:55"),
        (3_600, "UTC, 2024-08-08 to 2024-08-09", "00:00"),
        (86_400, "UTC, 2024-08-08 to 2024-08-09", "12:00"),
    ],
)
def test_the_time_axis_is_utc_and_names_the_day(span_s: int, label: str, shown: str) -> None:
    """Ticks are times of day; the label says which day or days."""
    last = START_NS + span_s * SECOND
    scale, ticks, found = time_axis(START_NS, last)
    assert found == label
    assert time_axis(START_NS, last, 5 * SECOND) == (scale, ticks, f"{label}, windows of 5 s")
    assert shown in [text for _, text in ticks]
    assert len(ticks) <= 10
    assert all(0 <= place <= 1 for place in scale([at for at, _ in ticks]))


def test_a_panel_puts_data_in_their_place() -> None:
    """Data go from left to right and from the bottom up; what lies outside is drawn at the edge."""
    panel = Panel(Svg(200, ""), 10, 20, 100, 50, Scale(0, 10), Scale(0, 5))
    assert panel.x_px([0, 5, 10, 99]).tolist() == [10, 60, 110, 110]
    assert panel.y_px([0, 5, -1]).tolist() == [70, 20, 70]
    assert math.isnan(panel.y_px([math.nan])[0])


def test_axes_have_their_labels() -> None:
    """A panel has title, labels and ticks; a message says why there are no data."""
    svg = Svg(200, "")
    panel = Panel(svg, 60, 20, 100, 50, Scale(0, 1), Scale(0, 1))
    panel.draw_axes(
        title="t",
        x_label="x",
        y_label="y\nunit",
        x_ticks=[(0, "a")],
        y_ticks=[(1, "b")],
        message="nothing\nat all",
    )
    assert words(svg) == ["b", "a", "t", "x", "y", "unit", "nothing", "at all"]


def test_an_empty_panel_says_why() -> None:
    """It has a title and a message, but no ticks."""
    svg = Svg(200, "")
    Panel(svg, 60, 20, 100, 50).draw_axes(title="t", message="nothing\nat all")
    assert words(svg) == ["t", "nothing", "at all"]
