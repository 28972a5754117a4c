"""The book over time: sizes by price, the best bid and ask, and the spans in which the rows are doubtful.

There are too many cells of sizes to be drawn as shapes: they are an image of few colours, encoded as PNG here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.datasets.book_sample import BookSample, sample_books
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array
from order_book_platform.plots.axes import Panel, Scale, time_axis
from order_book_platform.plots.svg import (
    COLOURS,
    WIDTH_PX,
    Svg,
    box_attributes,
    box_path,
    data_uri,
    mix,
    step_path,
)

PRICE_BANDS, DISTANCE_BANDS = 200, 64
"""Bands of price, and of distance from the mid price, into which sizes are added up."""
_SHADES = 16
"""Colours of a side, from nearly the ground to its full colour."""
_LEFT, _RIGHT, _TOP = 96, 112, 34
_PANEL_PX, _BETWEEN_PX = 210, 12


def depth_chart(books: pl.DataFrame | pl.LazyFrame | BookSample, fixed_point: FixedPoint) -> Svg:
    """Draw sizes by time and price with the best bid and ask, and below them by distance from the mid price.

    Args:
        books: Columns of `reconstructed_books` in pips, or a sample of them.
        fixed_point: Decimals and tick of their prices and sizes.
    """
    sample = books if isinstance(books, BookSample) else sample_books(books)
    svg = Svg(2 * _PANEL_PX + 92, "The book over time")
    width = WIDTH_PX - _LEFT - _RIGHT
    best = sample.price_pips[:, :, 0]
    has_both_sides = (best != MISSING_PIPS).all(axis=1)
    if not has_both_sides.any():
        message = "Nothing to show: no row has both a best bid and a best ask."
        Panel(svg, _LEFT, _TOP, width, 2 * _PANEL_PX).draw_axes(title="Depth over time", message=message)
        return svg
    tick, price_unit = fixed_point.tick_pips, 10.0**fixed_point.price_decimals
    reach, around = _usual_reach(sample, best[has_both_sides], tick)
    mid = best.sum(axis=1) // 2
    span = _price_span(best[has_both_sides], reach, tick)
    prices, by_price = _add_up_sizes(sample, np.zeros_like(mid), span, tick, PRICE_BANDS)
    distances, by_distance = _add_up_sizes(sample, mid, around, tick, DISTANCE_BANDS, has_both_sides)
    # Rare extremes share the faintest and the full colour.
    low, high = (float(value) for value in np.quantile(by_distance[by_distance > 0], (0.05, 0.995)))
    high = max(high, low * 10)
    time, ticks, label = time_axis(sample.first_ns, sample.last_ns)
    upper, lower = (
        Panel(svg, _LEFT, top, width, _PANEL_PX, time, Scale(span[0] / unit, span[1] / unit))
        for top, span, unit in ((_TOP, prices, price_unit), (_TOP + _PANEL_PX + _BETWEEN_PX, distances, tick))
    )
    steps = np.arange(len(sample.flags) + 1, dtype=np.int64)
    edges = upper.x_px(sample.first_ns + steps * (sample.last_ns - sample.first_ns) // len(sample.flags))
    doubts = _doubts(sample.flags)
    for panel, sizes in ((upper, by_price), (lower, by_distance)):
        _draw_sizes(panel, sizes, low, high)
        _mark_doubtful_steps(panel, edges, doubts)
    for side, name in enumerate(("bid", "ask")):
        shown = np.where(best[:, side] == MISSING_PIPS, np.nan, best[:, side] / price_unit)
        svg.path(step_path(edges, upper.y_px(shown)), name, width=1)
    unnamed, y_ticks = [(at, "") for at, _ in ticks], upper.y_scale.ticks()
    upper.draw_axes(title="Depth over time", y_label="price", x_ticks=unnamed, y_ticks=y_ticks, grid="")
    lower.draw_axes(
        x_label=label,
        y_label="ticks from the mid price",
        x_ticks=ticks,
        y_ticks=lower.y_scale.ticks(),
        grid="",
    )
    size_unit = 10.0**fixed_point.size_decimals
    _draw_size_key(
        svg, upper.right + 18, upper.top, lower.bottom, Scale(low / size_unit, high / size_unit, "log")
    )
    entries = [(name, colour) for name, is_marked, colour in doubts if is_marked.any()]
    svg.legend(upper.right, 24, [*entries, ("best bid", "bid"), ("best ask", "ask")])
    return svg


def _usual_reach(sample: BookSample, best: Int64Array, tick_pips: int) -> tuple[int, tuple[int, int]]:
    """How far from the best price levels are shown, and from where to where by distance from the mid price, in pips.

    Levels usually lie no farther from the best price than the first: the 80 % quantile, 10 ticks at the least. Where
    the spread is wider still, the best prices `best` of the rows with both sides are in the second all the same.
    """
    is_present = sample.price_pips != MISSING_PIPS
    distance = np.where(is_present, np.abs(sample.price_pips - sample.price_pips[:, :, :1]), 0).max(axis=2)
    reach = int(max(np.quantile(distance[is_present[:, :, 0]], 0.8), 10 * tick_pips))
    half_spread = np.quantile(np.abs(best[:, 1] - best[:, 0]) // 2, 0.8, method="nearest")
    around = max(reach, int(half_spread) + tick_pips)
    return reach, (-around, around)


def _price_span(best: Int64Array, reach: int, tick_pips: int) -> tuple[int, int]:
    """Return lowest and highest price shown, pips: the best prices without rare outliers, and levels around them."""
    low, high = (int(value) for value in np.quantile(best, (0.001, 0.999), method="nearest"))
    margin = max(reach, (high - low) // 50)
    return (low - margin) // tick_pips * tick_pips, high + margin


def _add_up_sizes(
    sample: BookSample,
    origin: Int64Array,
    span: tuple[int, int],
    tick_pips: int,
    bands: int,
    steps: BoolArray | None = None,
) -> tuple[tuple[int, int], Float64Array]:
    """Add up the sizes of C steps in bands of whole ticks, which lie over `span` relative to the origin, pips.

    The result is the span of the bands, and float64[2, bands, C] size pips per tick.
    """
    ticks_per_band = max(1, -(-(span[1] - span[0]) // (bands * tick_pips)))
    band = ticks_per_band * tick_pips
    low = span[0] // band * band
    count = -(-(span[1] - low) // band)
    row = (sample.price_pips - origin[:, None, None] - low) // band
    is_inside = (sample.price_pips != MISSING_PIPS) & (row >= 0) & (row < count)
    if steps is not None:
        is_inside &= steps[:, None, None]
    step, side, _ = np.nonzero(is_inside)
    sizes = np.zeros((2, count, len(sample.flags)))
    np.add.at(sizes, (side, row[is_inside], step), sample.size_pips[is_inside] / ticks_per_band)
    return (low, low + count * band), sizes


def _draw_sizes(panel: Panel, sizes: Float64Array, low: float, high: float) -> None:
    """Draw both sides, asks over bids; the colours run from `low` to `high` size pips per tick of price."""
    cells = np.zeros(sizes.shape[1:], dtype=np.uint8)
    for side, of_side in enumerate(sizes):
        is_shown = of_side > 0
        shade = np.log(of_side[is_shown] / low) / np.log(high / low) * _SHADES
        cells[is_shown] = 1 + side * _SHADES + np.clip(shade, 0, _SHADES - 1).astype(np.uint8)
    _add_image(panel.svg, cells[::-1], panel.left, panel.top, panel.width, panel.height)


def _add_image(
    svg: Svg, cells: NDArray[np.uint8], left: float, top: float, width: float, height: float
) -> None:
    """Add cells as one image for each ground; the style shows only the one whose ground the reader has."""
    place = box_attributes(left, top, width, height)
    style = 'preserveAspectRatio="none" style="image-rendering:pixelated"'
    strengths = [0.12 + 0.88 * shade / (_SHADES - 1) for shade in range(_SHADES)]
    palettes = [
        [mix(ground, colour, strength) for colour in (bid, ask) for strength in strengths]
        for ground, bid, ask in zip(COLOURS["ground"], COLOURS["bid"], COLOURS["ask"], strict=True)
    ]
    for ground, png in zip(("light", "dark"), indexed_pngs(cells, palettes), strict=True):
        svg.add(f'<image class="{ground}" {place} {style} href="{data_uri(png, "png")}"/>')


def _draw_size_key(svg: Svg, left: float, top: float, bottom: float, scale: Scale) -> None:
    """Explain the colours: a bar for bids and one for asks beside one scale of sizes."""
    shades = np.arange(_SHADES, 0, -1, dtype=np.uint8)
    _add_image(svg, np.stack([shades, shades + _SHADES], axis=1), left, top, 22, bottom - top)
    svg.text(left + 9, top - 4, "bid", anchor="end")
    svg.text(left + 13, top - 4, "ask")
    for value, words in scale.ticks(6):
        svg.text(left + 27, bottom - float(scale(value)) * (bottom - top) + 4, words)
    svg.text(left + 82, (top + bottom) / 2, "size per tick of price", anchor="middle", upwards=True)


def _doubts(flags: NDArray[np.uint8]) -> list[tuple[str, BoolArray, str]]:
    """Return name, steps (bool[C]) and colour of each reason to doubt rows."""
    return [
        ("not seeded", flags & BookFlag.SEEDED == 0, "placebo"),
        ("gap", flags & (BookFlag.GAP | BookFlag.HINDSIGHT) != 0, "doubt"),
        ("corrupt", flags & BookFlag.CORRUPT != 0, "bad"),
    ]


def _mark_doubtful_steps(
    panel: Panel, edges: Float64Array, doubts: Sequence[tuple[str, BoolArray, str]]
) -> None:
    """Shade steps with edges float64[C + 1] px, and mark them at the time axis, where a short one is seen too."""
    for name, is_marked, colour in doubts:
        changes = np.flatnonzero(np.diff(np.concatenate([[False], is_marked, [False]]).astype(np.int8)))
        starts, stops = edges[changes[::2]], edges[changes[1::2]]
        shade = box_path(starts, panel.top, stops - starts, panel.height)
        panel.svg.area(shade, colour, opacity=0.25, title=name)
        mark = box_path(starts, panel.bottom - 7, np.maximum(stops - starts, 1), 7)
        panel.svg.area(mark, colour, title=name)


def indexed_pngs(cells: NDArray[np.uint8], palettes: Sequence[Sequence[str]]) -> list[bytes]:
    """Encode one image in several palettes; the cells are compressed once.

    Args:
        cells: uint8[height, width], number of each cell's colour, 0 for transparent; the first row is the uppermost.
        palettes: For each image its colours as `#rrggbb`, numbered from 1; at most 255.

    Source:
        W3C, "Portable Network Graphics (PNG) Specification", indexed colour.
    """
    height, width = cells.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with a filter type; 0 is none
    rows[:, 1:] = cells
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))  # 3: indexed colour
    data = _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    clear, end = _chunk(b"tRNS", b"\x00"), _chunk(b"IEND", b"")
    images = []
    for palette in palettes:
        colours = _chunk(b"PLTE", bytes(3) + b"".join(bytes.fromhex(colour[1:]) for colour in palette))
        images.append(b"\x89PNG\r\n\x1a\n" + head + colours + clear + data + end)
    return images


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file: length, kind, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
