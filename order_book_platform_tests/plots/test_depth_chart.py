"""The figure of the book: sizes, best prices, doubtful spans, and its images as PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from order_book_platform.model import BookFlag
from order_book_platform.plots import Svg
from order_book_platform.plots.depth_chart import depth_chart, indexed_pngs
from order_book_platform.plots.svg import DARK, LIGHT
from order_book_platform_tests.plots.frames import (
    POINT,
    SVG,
    book_frame,
    drawing,
    uses_colour,
    with_flags,
    words,
)


def images(figure: Svg, ground: str) -> list[np.ndarray]:
    """Decode the images for one ground, uint8[height, width, 4] each: by price, by distance, the key."""
    found = []
    for element in drawing(figure).iter(f"{SVG}image"):
        if element.get("class") == ground:
            _, _, body = element.get("href", "").partition("base64,")
            with Image.open(io.BytesIO(base64.b64decode(body))) as image:
                found.append(np.asarray(image.convert("RGBA")))
    return found


def colours(image: np.ndarray) -> set[str]:
    """Return the colours of the cells that are not transparent."""
    return {f"#{bytes(cell[:3]).hex()}" for cell in image.reshape(-1, 4) if cell[3]}


def test_the_heatmap_repeats_and_is_small() -> None:
    """The same frame gives the same text, lazy or not, and one that is small enough for a page."""
    frame = book_frame(2_000)
    svg = depth_chart(frame, POINT)
    assert svg.standalone() == depth_chart(frame.lazy(), POINT).standalone()
    assert len(svg.standalone()) < 200_000


@pytest.mark.parametrize(("ground", "theme"), [("light", LIGHT), ("dark", DARK)])
def test_sizes_have_the_colours_of_their_side_on_either_ground(ground: str, theme: dict[str, str]) -> None:
    """Asks are above the mid price and bids below; the largest sizes have the theme's own colours."""
    _, distance, key = images(depth_chart(book_frame(2_000), POINT), ground)
    half = len(distance) // 2
    assert theme["ask"] in colours(distance[:half]) - colours(distance[half + 1 :])
    assert theme["bid"] in colours(distance[half:]) - colours(distance[: half - 1])
    assert {theme["bid"], theme["ask"]} <= colours(key)


@pytest.mark.parametrize(
    ("flag", "colour", "said"),
    [
        (0, "placebo", "not seeded"),
        (BookFlag.SEEDED | BookFlag.GAP, "doubt", "gap"),
        (BookFlag.SEEDED | BookFlag.CORRUPT, "bad", "corrupt"),
    ],
    ids=["not seeded", "gap", "corrupt"],
)
def test_doubtful_spans_are_marked(flag: int, colour: str, said: str) -> None:
    """A span that must not be trusted is seen, also a very short one; without one there is no mark."""
    frame = book_frame(1_000)
    doubtful = depth_chart(with_flags(frame, 500, 502, int(flag)), POINT)
    assert uses_colour(doubtful, colour)
    assert said in words(doubtful)
    assert not uses_colour(depth_chart(frame, POINT), colour)
    assert said not in words(depth_chart(frame, POINT))


@pytest.mark.parametrize("rows", [1, 2])
def test_hardly_any_rows_are_drawn_without_complaint(rows: int) -> None:
    """A file that has just begun has a figure too."""
    assert "Depth over time" in words(depth_chart(book_frame(5)[:rows], POINT))


def test_a_wide_spread_is_drawn() -> None:
    """Where the best prices are farther from each other than all levels of a side, they are in the picture still."""
    frame = book_frame(30).with_columns(pl.col("^ask_.*_price_pips$") + 10_000 * POINT.tick_pips)
    _, distance, _ = images(depth_chart(frame, POINT), "light")
    assert distance[:, :, 3].any()


def test_without_both_sides_it_says_so() -> None:
    """Where no row has both sides there is no mid price; nor is there where there is no row."""
    frame = book_frame(30).with_columns(pl.col("^ask_.*$").cast(pl.Int64) * None)
    for lacking in (frame, book_frame(5)[:0]):
        assert "Nothing to show: no row has both a best bid and a best ask." in words(
            depth_chart(lacking, POINT)
        )


def test_rows_without_one_side_are_left_out_of_the_distance() -> None:
    """A moment without asks does not bend the picture around it."""
    frame = book_frame(30)
    gone = pl.int_range(pl.len()) == 10
    lacking = frame.with_columns(pl.when(gone).then(None).otherwise(pl.col("^ask_.*$")).name.keep())
    _, whole, _ = images(depth_chart(frame, POINT), "light")
    _, distance, _ = images(depth_chart(lacking, POINT), "light")
    assert distance.shape == whole.shape
    empty = np.flatnonzero(~distance[:, :, 3].any(axis=0))
    assert len(empty)
    assert np.array_equal(
        np.delete(distance, empty, axis=1)[:, :, 3], np.delete(whole, empty, axis=1)[:, :, 3]
    )


RED, GREEN, BLUE = "#ff0000", "#00ff00", "#0000ff"


def decoded(png: bytes) -> np.ndarray:
    """Decode an image to uint8[height, width, 4], with transparency."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return np.asarray(image.convert("RGBA"))


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=9))
def test_every_cell_has_its_colour(rows: list[list[int]]) -> None:
    """Row by row each cell has the colour of its palette, and cells of number 0 are transparent."""
    cells = np.array(rows, dtype=np.uint8)
    for png, palette in zip(
        indexed_pngs(cells, [(RED, GREEN, BLUE), (BLUE, RED, GREEN)]),
        ([RED, GREEN, BLUE], [BLUE, RED, GREEN]),
        strict=True,
    ):
        shown = decoded(png)
        for at in np.ndindex(cells.shape):
            number = int(cells[at])
            assert bool(shown[at][3]) == (number > 0)
            if number:
                assert bytes(shown[at][:3]).hex() == palette[number - 1][1:]
