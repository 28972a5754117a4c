"""The book over time: size at each price, the best bid and ask through it, and where its rows are in doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.datasets.book_sample import BookSample, sample_books
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.model.arrays import Float64Array
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.plots.axes import Panel, Scale, time_label, time_scale, time_ticks
from order_book_platform.plots.raster import indexed_pngs
from order_book_platform.plots.svg import WIDTH_PX, Svg, boxes, data_uri, pixels, stairs
from order_book_platform.plots.theme import DARK, LIGHT, Theme, mix

PRICE_BANDS, DISTANCE_BANDS = 200, 64
"""Bands of price, and of distance from the mid price, that are drawn."""
_SHADES = 16
"""Colours of a side, from nearly the ground to its own."""
_LEFT, _RIGHT, _UPPER_PX, _LOWER_PX = 96, 112, 210, 210


def depth_chart(frame: pl.DataFrame | pl.LazyFrame | BookSample, fixed_point: FixedPoint) -> Svg:
    """Size by time and price with the best bid and ask, and below it by distance from the mid price.

    Args:
        frame: columns of `reconstructed_books`, or a sample of them.
        fixed_point: of its prices and sizes.
    """
    sample = frame if isinstance(frame, BookSample) else sample_books(frame)
    svg = Svg(_UPPER_PX + _LOWER_PX + 92, "The book over time")
    width = WIDTH_PX - _LEFT - _RIGHT
    sided = (sample.price_pips[:, :, :1] != MISSING_PIPS).all(axis=1).ravel()
    if not sided.any():
        panel = Panel(svg, _LEFT, 34, width, _UPPER_PX + _LOWER_PX, Scale(0, 1), Scale(0, 1))
        panel.frame(title="Depth over time")
        panel.say("Nothing to show: no row has both a best bid and a best ask.")
        return svg
    tick, unit = fixed_point.tick_pips, 10.0**fixed_point.price_decimals
    reach = _reach(sample, tick)
    mid = sample.price_pips[:, :, 0].sum(axis=1) // 2
    span = _price_span(sample, sided, reach, tick)
    absolute = _spread_sizes(sample, np.zeros_like(mid), span, tick, PRICE_BANDS)
    relative = _spread_sizes(sample, mid, (-reach, reach), tick, DISTANCE_BANDS, sided)
    low, high = _size_span(relative.sizes)
    time, ticks = time_scale(sample.first_ns, sample.last_ns), time_ticks(sample.first_ns, sample.last_ns)
    upper = Panel(svg, _LEFT, 34, width, _UPPER_PX, time, Scale(absolute.low / unit, absolute.high / unit))
    lower = Panel(
        svg, _LEFT, _UPPER_PX + 46, width, _LOWER_PX, time, Scale(relative.low / tick, relative.high / tick)
    )
    for panel, image in ((upper, absolute), (lower, relative)):
        _draw_sizes(panel, image, low, high)
        _mark_doubt(panel, sample)
    _draw_best(upper, sample, unit)
    upper.frame(
        title="Depth over time",
        y_label="price",
        x_ticks=[(at, "") for at, _ in ticks],
        y_ticks=upper.y.ticks(6),
        grid_x=False,
        grid_y=False,
    )
    lower.frame(
        x_label=time_label(sample.first_ns, sample.last_ns),
        y_label="ticks from the mid price",
        x_ticks=ticks,
        y_ticks=lower.y.ticks(6),
        grid_x=False,
        grid_y=False,
    )
    size_unit = 10.0**fixed_point.size_decimals
    _draw_key(svg, upper.right + 18, upper.top, lower.bottom, low / size_unit, high / size_unit)
    doubts = [(name, colour) for name, marked, colour in _doubts(sample) if marked.any()]
    svg.legend(upper.right, 24, [*doubts, ("best bid", "bid"), ("best ask", "ask")])
    return svg


@dataclass(frozen=True, slots=True)
class _SizeImage:
    """Sizes by band of price and step of time.

    Attributes:
        low: lower edge of the lowest band, pips.
        high: upper edge of the highest band, pips.
        sizes: float64[2, bands, C], size pips per tick of price, bids and asks.
    """

    low: int
    high: int
    sizes: NDArray[np.float64]


def _reach(sample: BookSample, tick_pips: int) -> int:
    """How far the visible levels usually lie from the best price, pips."""
    present = sample.price_pips != MISSING_PIPS
    away = np.where(present, np.abs(sample.price_pips - sample.price_pips[:, :, :1]), 0).max(axis=2)
    return int(max(np.quantile(away[present[:, :, 0]], 0.8), 10 * tick_pips))


def _price_span(sample: BookSample, sided: NDArray[np.bool_], reach: int, tick_pips: int) -> tuple[int, int]:
    """Prices shown, pips: all best prices but rare outliers, and the levels around them; whole ticks."""
    best = sample.price_pips[sided, :, 0]
    low, high = (int(value) for value in np.quantile(best, (0.001, 0.999), method="nearest"))
    margin = max(reach, (high - low) // 50)
    return (low - margin) // tick_pips * tick_pips, high + margin


def _spread_sizes(
    sample: BookSample,
    origin: NDArray[np.int64],
    span: tuple[int, int],
    tick_pips: int,
    bands: int,
    steps: NDArray[np.bool_] | None = None,
) -> _SizeImage:
    """Add up sizes in at most `bands` bands of whole ticks; prices are taken relative to `origin`, int64[C]."""
    ticks = max(1, -(-(span[1] - span[0]) // (bands * tick_pips)))
    band = ticks * tick_pips
    low = span[0] // band * band
    count = -(-(span[1] - low) // band)
    row = (sample.price_pips - origin[:, None, None] - low) // band
    inside = (sample.price_pips != MISSING_PIPS) & (row >= 0) & (row < count)
    if steps is not None:
        inside &= steps[:, None, None]
    step, side, _ = np.nonzero(inside)
    sizes = np.zeros((2, count, len(sample.flags)))
    np.add.at(sizes, (side, row[inside], step), sample.size_pips[inside] / ticks)
    return _SizeImage(low, low + count * band, sizes)


def _size_span(sizes: NDArray[np.float64]) -> tuple[float, float]:
    """Sizes between which the colours run."""
    low, high = (float(value) for value in np.quantile(sizes[sizes > 0], (0.05, 0.995)))
    return low, max(high, low * 10)


def _draw_sizes(panel: Panel, image: _SizeImage, low: float, high: float) -> None:
    """Both sides of an image, from `low` to `high` size pips per tick of price; asks over bids."""
    cells = np.zeros(image.sizes.shape[1:], dtype=np.uint8)
    for side, sizes in enumerate(image.sizes):
        shown = sizes > 0
        place = np.log(sizes[shown] / low) / np.log(high / low) * _SHADES
        cells[shown] = 1 + side * _SHADES + np.clip(place, 0, _SHADES - 1).astype(np.uint8)
    _add_image(panel.svg, cells[::-1], panel.left, panel.top, panel.width, panel.height)


def _add_image(
    svg: Svg, cells: NDArray[np.uint8], left: float, top: float, width: float, height: float
) -> None:
    """Cells as an image for each ground, of which one is shown."""
    place = 'x="{}" y="{}" width="{}" height="{}"'.format(*pixels([left, top, width, height]))
    style = 'preserveAspectRatio="none" style="image-rendering:pixelated"'
    for name, png in zip(
        ("light", "dark"), indexed_pngs(cells, [_shades(LIGHT), _shades(DARK)]), strict=True
    ):
        svg.add(f'<image class="{name}" {place} {style} href="{data_uri(png, "png")}"/>')


def _shades(theme: Theme) -> list[str]:
    """Colours of bids and then of asks, the faintest first."""
    strengths = [0.12 + 0.88 * shade / (_SHADES - 1) for shade in range(_SHADES)]
    return [
        mix(theme.ground, colour, strength) for colour in (theme.bid, theme.ask) for strength in strengths
    ]


def _draw_key(svg: Svg, left: float, top: float, bottom: float, low: float, high: float) -> None:
    """What the colours mean: a bar for bids and one for asks, with one scale of sizes."""
    shades = np.arange(_SHADES, 0, -1, dtype=np.uint8)
    _add_image(svg, np.stack([shades, shades + _SHADES], axis=1), left, top, 22, bottom - top)
    svg.text(left + 9, top - 4, "bid", anchor="end")
    svg.text(left + 13, top - 4, "ask")
    scale = Scale(low, high, "log")
    for value, words in scale.ticks(6):
        svg.text(left + 27, bottom - float(scale(value)) * (bottom - top) + 4, words)
    svg.text(left + 82, (top + bottom) / 2, "size per tick of price", anchor="middle", turned=True)


def _draw_best(panel: Panel, sample: BookSample, unit: float) -> None:
    edges = panel.across(_edges_ns(sample))
    for index, name in enumerate(("bid", "ask")):
        best = sample.price_pips[:, index, 0]
        prices = np.where(best == MISSING_PIPS, np.nan, best / unit)
        panel.svg.path(stairs(edges, panel.up(prices)), name, width=1)


def _edges_ns(sample: BookSample) -> NDArray[np.int64]:
    """Where the steps begin and the last one ends, int64[C + 1] ns."""
    steps = len(sample.flags)
    offsets = np.arange(steps + 1, dtype=np.int64) * (sample.last_ns - sample.first_ns) // steps
    edges: NDArray[np.int64] = sample.first_ns + offsets
    return edges


def _doubts(sample: BookSample) -> tuple[tuple[str, NDArray[np.bool_], str], ...]:
    """Kinds of doubt: name, bool[C] where, colour."""
    flags = sample.flags
    return (
        ("not seeded", flags & BookFlag.SEEDED == 0, "placebo"),
        ("gap", flags & (BookFlag.GAP | BookFlag.HINDSIGHT) != 0, "doubt"),
        ("corrupt", flags & BookFlag.CORRUPT != 0, "bad"),
    )


def _mark_doubt(panel: Panel, sample: BookSample) -> None:
    """Shade the steps whose rows must not be trusted, strongest along the time axis."""
    edges: Float64Array = panel.across(_edges_ns(sample))
    for name, marked, colour in _doubts(sample):
        turns = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
        starts, stops = edges[turns[::2]], edges[turns[1::2]]
        panel.svg.area(
            boxes(starts, panel.top, stops - starts, panel.height), colour, opacity=0.25, title=name
        )
        panel.svg.area(boxes(starts, panel.bottom - 7, np.maximum(stops - starts, 1), 7), colour, title=name)
