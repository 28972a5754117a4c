"""What all figures share."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from matplotlib.figure import Figure

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.plots.figure import (
    DARK,
    HEIGHT_PX,
    LIGHT,
    WIDTH_PX,
    Theme,
    add_legend,
    data_uri,
    dress,
    new_figure,
    png_bytes,
    png_pair,
    set_time_axis,
    to_dates,
)
from order_book_platform_tests.plots.frames import START_NS, pixels


def simple_figure(theme: Theme) -> Figure:
    """A figure with one line, one area and some words."""
    figure = new_figure(theme)
    axes = figure.add_subplot()
    dress(axes, theme, title="t", x_label="x in s", y_label="y in ticks")
    axes.plot([0, 1], [0, 1], color=theme.bid, label="line")
    add_legend(axes, theme, areas={"area": theme.doubt})
    axes.axvspan(0.2, 0.4, color=theme.doubt, alpha=0.25)
    axes.hlines([0.3, 0.5], 0.0, 1.0, color=[theme.ask, theme.bad])
    axes.plot([0.1], [0.9], "|", color=theme.ink)
    axes.plot([0.5], [0.7], "o", color=theme.muted, markerfacecolor=theme.placebo, markersize=12)
    return figure


def simple(theme: Theme) -> bytes:
    """The same as PNG."""
    return png_bytes(simple_figure(theme))


def test_equal_figures_have_equal_bytes() -> None:
    """No date, no program name, no counter from an earlier figure gets into the file."""
    first, second = simple(LIGHT), simple(LIGHT)
    assert first == second
    assert b"matplotlib" not in first.lower()
    assert b"tEXt" not in first


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_figure_has_its_size_and_ground(theme: Theme) -> None:
    """Pixels as promised, the corner in the theme's ground colour."""
    image = pixels(simple(theme))
    assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert bytes(image[0, 0]).hex() == theme.ground[1:]


def test_a_data_uri_holds_the_picture() -> None:
    """Decoding gives the bytes back."""
    uri = data_uri(b"\x89PNG")
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == b"\x89PNG"


@pytest.mark.parametrize(
    ("span_s", "label", "shown"),
    [
        (0, "UTC, 2024-08-08", "23:54:15"),
        (10, "UTC, 2024-08-08", "23:54:20"),
        (300, "UTC, 2024-08-08", "23:55"),
        (3_600, "UTC, 2024-08-08 to 2024-08-09", "00:00"),
    ],
)
def test_the_time_axis_is_utc_and_names_the_day(span_s: int, label: str, shown: str) -> None:
    """Ticks are times of day; the label says which day or days."""
    figure = new_figure(LIGHT)
    axes = figure.add_subplot()
    set_time_axis(axes, START_NS, START_NS + span_s * 1_000_000_000)
    figure.canvas.draw()
    assert axes.get_xlabel() == label
    assert shown in [text.get_text() for text in axes.get_xticklabels()]


def test_times_become_days() -> None:
    """Nanoseconds are exact to a microsecond as day numbers."""
    times = np.array([START_NS, START_NS + 1_000], dtype=np.int64)
    assert np.abs(to_dates(times) * NS_PER_DAY - times).max() < 1_000


def test_the_grounds_differ_and_all_colours_are_written_in_full() -> None:
    """Every colour is `#rrggbb`, which the mixing of colours relies on."""
    for theme in (LIGHT, DARK):
        for name in Theme.__dataclass_fields__:
            colour = getattr(theme, name)
            assert len(bytes.fromhex(colour[1:])) == 3
    assert LIGHT.ground != DARK.ground


def test_a_repainted_figure_is_the_one_drawn_in_the_dark() -> None:
    """Lines, areas of any opacity, marks and words change colour; not a byte differs from a figure drawn anew."""
    assert png_pair(simple_figure(LIGHT)) == (simple(LIGHT), simple(DARK))
