"""What figures made by matplotlib share."""

from __future__ import annotations

import base64

import pytest

from order_book_platform.plots.figure import (
    DARK,
    HEIGHT_PX,
    LIGHT,
    WIDTH_PX,
    Theme,
    data_uri,
    dress,
    new_figure,
    png_bytes,
)
from order_book_platform_tests.plots.frames import pixels


def simple(theme: Theme) -> bytes:
    """A figure with one line and some words, as PNG."""
    figure = new_figure(theme)
    axes = figure.add_subplot()
    dress(axes, theme, title="t", x_label="x in s", y_label="y in ticks")
    axes.plot([0, 1], [0, 1], color=theme.bid, label="line")
    return png_bytes(figure)


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
    head, _, body = data_uri(b"\x89PNG").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == b"\x89PNG"
