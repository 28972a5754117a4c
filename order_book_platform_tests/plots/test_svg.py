"""Figures as SVG text, and their colours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from order_book_platform.plots.svg import (
    DARK,
    LIGHT,
    MARK,
    STYLE,
    Svg,
    box_path,
    data_uri,
    line_path,
    mix,
    pixels,
    step_path,
    text_width,
)
from order_book_platform_tests.plots.frames import SVG, drawing, hints, words

NAN = math.nan


def simple() -> Svg:
    """Draw a line, an area, dots and texts."""
    svg = Svg(100, "a < b")
    svg.text(5, 10, "x & <y>", kind="h")
    svg.path("M0 0H10", "bid", title="1 < 2")
    svg.area(box_path([0], [0], [4], [2]), "doubt", opacity=0.5)
    svg.dots(np.array([1.0, NAN]), np.array([1.0, 2.0]), "ask")
    svg.legend(90, 10, [("one", "bid"), ("two", "ask")])
    return svg


def test_words_are_escaped() -> None:
    """Texts are read back as they were given and make no markup."""
    assert words(simple())[0] == "x & <y>"
    assert hints(simple()) == ["1 < 2"]
    assert next(drawing(simple()).iter(f"{SVG}title")).text == "a < b"


def test_a_file_carries_its_style_and_a_page_has_it_once() -> None:
    """The style has the colours of both grounds; a figure for a page is without it."""
    assert LIGHT["ink"] in STYLE
    assert DARK["ink"] in STYLE
    assert "prefers-color-scheme:dark" in simple().standalone()
    assert "<style" not in simple().inline()
    assert "http" not in simple().inline()


def test_nothing_is_drawn_where_there_is_nothing() -> None:
    """Empty path data leave no element."""
    svg = Svg(10, "")
    svg.path("", "bid")
    svg.area("", "bid")
    svg.dots(np.array([NAN]), np.array([NAN]), "bid")
    assert [element.tag for element in drawing(svg)] == [
        f"{SVG}{name}" for name in ("style", "rect", "title")
    ]


def test_a_legend_ends_at_its_right_and_keeps_its_order() -> None:
    """The last entry ends at the right, and entries do not overlap."""
    texts = [element for element in drawing(simple()).iter(f"{SVG}text") if element.get("class") == "k"]
    places = {element.text: float(element.get("x", "nan")) for element in texts}
    assert places["two"] == 90
    assert places["one"] < places["two"] - text_width("two")


def test_coordinates_are_short() -> None:
    """They have tenths of a pixel and no needless zeros."""
    assert pixels([1.0, 2.25, 3.96, -0.5]) == ["1", "2.2", "4", "-0.5"]


@pytest.mark.parametrize(
    ("heights", "data"),
    [
        ([5.0, 5.0, 5.0], "M0 5H3"),
        ([5.0, 6.0, 6.0], "M0 5H1V6H3"),
        ([5.0, NAN, 7.0], "M0 5H1M2 7H3"),
        ([NAN, NAN, 7.0], "M2 7H3"),
        ([NAN, NAN, NAN], ""),
    ],
)
def test_steps_are_as_few_as_they_can_be(heights: list[float], data: str) -> None:
    """Equal heights are one step, and what is missing is a hole."""
    assert step_path(np.arange(4.0), np.array(heights)) == data


def test_a_line_breaks_off_where_a_point_is_missing() -> None:
    """The line goes on at the next point."""
    data = line_path(np.arange(4.0), np.array([1.0, 2.0, NAN, 3.0]))
    assert data == "M0 1L1 2M3 3"


def test_a_data_uri_names_its_kind() -> None:
    """It has the form that browsers read."""
    assert data_uri(b"<svg", "svg+xml") == "data:image/svg+xml;base64,PHN2Zw=="


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = (value / 255 for value in bytes.fromhex(colour[1:]))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Ratio of two colours' luminance, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_can_be_read_on_their_ground(theme: dict[str, str]) -> None:
    """Titles and labels have the contrast that WCAG 2 AA asks of small text, marks that of graphics."""
    ground = theme["ground"]
    assert min(contrast(theme[name], ground) for name in ("ink", "muted")) >= 4.5
    assert min(contrast(theme[name], ground) for name in ("bid", "ask", "bad", "placebo")) >= 3
    assert min(contrast(MARK, theme[name]) for name in ("bid", "ask", "bad", "doubt")) >= 3


def test_colours_are_given_to_styles_by_name() -> None:
    """Each colour has a declaration on either ground, and the grounds differ."""
    for theme in (LIGHT, DARK):
        assert all(f"--plot-{name}:{colour}" in STYLE for name, colour in theme.items())
    assert LIGHT["ground"] != DARK["ground"]


def test_a_mixture_lies_between() -> None:
    """The amount leads from the one colour to the other."""
    assert [mix("#000000", "#ffffff", part) for part in (0, 0.5, 1)] == ["#000000", "#808080", "#ffffff"]
