"""Small frames to draw, and what a reader finds in the drawing."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import polars as pl

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.plots import Svg

SVG = "{http://www.w3.org/2000/svg}"
START_NS = 1_723_161_255_000_000_000
SECOND = 1_000_000_000
POINT = FixedPoint(2, 3, 10, 1)


def drawing(figure: Svg) -> ElementTree.Element:
    """Parse the figure as its readers do; broken markup is an error."""
    return ElementTree.fromstring(figure.standalone())


def words(figure: Svg) -> list[str]:
    """List the texts of the figure, without those that the pointer shows."""
    return [element.text or "" for element in drawing(figure).iter(f"{SVG}text")]


def hints(figure: Svg) -> list[str]:
    """List the texts that the pointer shows, without the title of the figure."""
    return [element.text or "" for element in drawing(figure).iter(f"{SVG}title")][1:]


def uses_colour(figure: Svg, name: str) -> bool:
    """Whether some line or area has this colour of the theme."""
    shapes = [element.attrib for element in drawing(figure).iter(f"{SVG}path")]
    return any(
        f"s-{name}" in shape.get("class", "").split() or f"var(--plot-{name})" in shape.get("style", "")
        for shape in shapes
    )


def book_frame(rows: int = 300, depth: int = 5, seed: int = 1) -> pl.DataFrame:
    """Make books of a wandering price, one row a second."""
    random = np.random.default_rng(seed)
    mid = 60_000 + np.cumsum(random.integers(-2, 3, rows)) * 10
    columns = {
        "origin_time": START_NS + np.arange(rows) * SECOND,
        "received_time": START_NS + np.arange(rows) * SECOND,
        "sequence_number": np.arange(rows),
        "flags": np.full(rows, int(BookFlag.SEEDED), dtype=np.uint8),
        "known_bid_levels": np.full(rows, depth, dtype=np.uint8),
        "known_ask_levels": np.full(rows, depth, dtype=np.uint8),
    }
    for side, sign in (("bid", -1), ("ask", 1)):
        for level in range(depth):
            columns[f"{side}_{level}_price_pips"] = mid + sign * 10 * (level + 1)
            columns[f"{side}_{level}_size_pips"] = random.integers(1, 5_000, rows)
    return pl.DataFrame(columns).select(books_schema(depth).names)


def with_flags(frame: pl.DataFrame, start: int, stop: int, flag: int) -> pl.DataFrame:
    """Return the frame with these flags on rows `start` to `stop` - 1."""
    row = pl.int_range(pl.len())
    flags = pl.when((row >= start) & (row < stop)).then(flag).otherwise(pl.col("flags"))
    return frame.with_columns(flags.cast(pl.UInt8).alias("flags"))
