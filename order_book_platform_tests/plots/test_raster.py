"""Images of few colours, as another program reads them."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from order_book_platform.plots.raster import indexed_pngs

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
