"""The book over time: size at each price, the best bid and ask through it, and where its rows are in doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.model.schemas import MISSING_PIPS, level_columns
from order_book_platform.plots.figure import (
    HEIGHT_PX,
    LIGHT,
    Theme,
    add_legend,
    dress,
    new_figure,
    png_bytes,
    say_nothing_to_show,
    set_time_axis,
    side_colours,
    to_dates,
)

COLUMNS = 640
"""Time steps that are drawn."""
PRICE_BANDS, DISTANCE_BANDS = 200, 64
"""Bands of price, and of distance from the mid price, that are drawn."""


@dataclass(frozen=True, slots=True)
class DepthSample:
    """Books at C equally long steps of time; each shows the last row of its step, or the one before it.

    Attributes:
        first_ns: start of the first step, ns.
        last_ns: end of the last step, ns.
        price_pips: int64[C, 2, K]; `MISSING_PIPS` where there is no level.
        size_pips: int64[C, 2, K].
        flags: uint8[C], all flags of any row of the step.
    """

    first_ns: int
    last_ns: int
    price_pips: NDArray[np.int64]
    size_pips: NDArray[np.int64]
    flags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """Which rows of a day stand for its C equally long steps of time.

    Attributes:
        first_ns: start of the first step, ns.
        last_ns: end of the last step, ns.
        rows: int64[m], numbers of the rows that are shown, ascending, each once.
        position: int64[C], which of them each step shows.
        flags: uint8[C], all flags of any row of the step.
    """

    first_ns: int
    last_ns: int
    rows: NDArray[np.int64]
    position: NDArray[np.int64]
    flags: NDArray[np.uint8]

    def sample(self, levels: pl.DataFrame) -> DepthSample:
        """The books at the steps.

        Args:
            levels: level columns of `reconstructed_books`, in pips; its rows are `rows`.
        """
        depth = sum(name.endswith("_price_pips") for name in levels.columns) // 2
        pips = levels.select(level_columns(depth)).cast(pl.Int64).fill_null(MISSING_PIPS).to_numpy()
        cube = pips.reshape(len(self.rows), 2, depth, 2)[self.position]
        return DepthSample(self.first_ns, self.last_ns, cube[..., 0], np.maximum(cube[..., 1], 0), self.flags)


def time_steps(times_ns: NDArray[np.int64], flags: NDArray[np.uint8], columns: int = COLUMNS) -> TimeSteps:
    """Choose the rows that are shown: the last of each step, or the one before it; no step without rows.

    Args:
        times_ns: int64[n], origin time of each row, ns.
        flags: uint8[n].
        columns: C, time steps.
    """
    if not len(times_ns):
        none = np.zeros(0, dtype=np.int64)
        return TimeSteps(0, 0, none, none, np.zeros(0, dtype=np.uint8))
    times = np.maximum.accumulate(times_ns)
    first, last = int(times[0]), int(times[-1])
    steps = (times - first) * columns // (last - first + 1)
    ends = np.searchsorted(steps, np.arange(columns), side="right") - 1
    shown = np.zeros(columns, dtype=np.uint8)
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    shown[steps[starts]] = np.bitwise_or.reduceat(flags, starts)
    held = np.concatenate([[False], ends[1:] == ends[:-1]])
    shown[held] = flags[ends[held]]
    rows, position = np.unique(ends, return_inverse=True)
    return TimeSteps(first, max(last, first + columns), rows, position, shown)


def sample_depth(frame: pl.DataFrame | pl.LazyFrame, columns: int = COLUMNS) -> DepthSample:
    """Thin out a day of books.

    Args:
        frame: columns of `reconstructed_books`; of a lazy frame only the chosen rows are read in full.
        columns: C, time steps.
    """
    rows = frame.lazy()
    narrow = rows.select("origin_time", "flags").collect(engine="streaming")
    steps = time_steps(narrow["origin_time"].to_numpy(), narrow["flags"].to_numpy(), columns)
    depth = sum(name.endswith("_price_pips") for name in rows.collect_schema().names()) // 2
    wanted = pl.Series("row", steps.rows, dtype=pl.UInt32).implode()
    levels = (
        rows.select(level_columns(depth))
        .with_row_index("row")
        .filter(pl.col("row").is_in(wanted))
        .collect(engine="streaming")
    )
    return steps.sample(levels.sort("row").drop("row"))


def depth_heatmap(
    frame: pl.DataFrame | pl.LazyFrame | DepthSample,
    fixed_point: FixedPoint,
    *,
    theme: Theme = LIGHT,
    title: str = "Depth over time",
) -> bytes:
    """Draw size by time and price with the best bid and ask, and below it by distance from the mid price.

    Args:
        frame: columns of `reconstructed_books`, or a sample of them.
        fixed_point: of its prices and sizes.
        theme: light or dark.
        title: above the figure.

    Returns:
        PNG bytes.
    """
    return png_bytes(depth_figure(frame, fixed_point, theme=theme, title=title))


def depth_figure(
    frame: pl.DataFrame | pl.LazyFrame | DepthSample,
    fixed_point: FixedPoint,
    *,
    theme: Theme = LIGHT,
    title: str = "Depth over time",
) -> Figure:
    """The figure of `depth_heatmap`."""
    sample = frame if isinstance(frame, DepthSample) else sample_depth(frame)
    figure = new_figure(theme, height_px=HEIGHT_PX + 70, right_px=62)
    grid = figure.add_gridspec(
        2, 3, width_ratios=(1, 0.013, 0.013), wspace=0.02, hspace=0.06, height_ratios=(1, 1.15)
    )
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    dress(upper, theme, title=title, y_label="price")
    dress(lower, theme, y_label="ticks from the mid price")
    sided = (sample.price_pips[:, :, :1] != MISSING_PIPS).all(axis=1).ravel()
    if not sided.any():
        for axes in (upper, lower):
            say_nothing_to_show(axes, theme, "no row with both sides")
        return figure
    _draw_panels(figure, grid, (upper, lower), sample, sided, fixed_point, theme)
    set_time_axis(lower, sample.first_ns, sample.last_ns)
    upper.tick_params(labelbottom=False)
    lower.xaxis.label.set_color(theme.muted)
    return figure


def _draw_panels(
    figure: Figure,
    grid: GridSpec,
    panels: tuple[Axes, Axes],
    sample: DepthSample,
    sided: NDArray[np.bool_],
    fixed_point: FixedPoint,
    theme: Theme,
) -> None:
    """Sizes by price above and by distance from the mid below, in the same colours; `sided` is bool[C]."""
    tick = fixed_point.tick_pips
    reach = _reach(sample, tick)
    mid = sample.price_pips[:, :, 0].sum(axis=1) // 2
    absolute = _spread_sizes(
        sample, np.zeros_like(mid), _price_span(sample, sided, reach, tick), tick, PRICE_BANDS
    )
    relative = _spread_sizes(sample, mid, (-reach, reach), tick, DISTANCE_BANDS, sided)
    norm = LogNorm(*_size_span(relative.sizes / 10.0**fixed_point.size_decimals))
    sides = side_colours(theme)
    colours = (sides["bid"], sides["ask"])
    for axes, image, unit in zip(
        panels, (absolute, relative), (10**fixed_point.price_decimals, tick), strict=True
    ):
        _draw_sizes(axes, image, sample, unit, 10**fixed_point.size_decimals, norm, colours)
        _mark_doubt(axes, sample, theme)
        axes.grid(False)
    _draw_best(panels[0], sample, 10.0**fixed_point.price_decimals, theme)
    panels[0].ticklabel_format(axis="y", style="plain", useOffset=False)
    _draw_scale(figure, grid, norm, colours, theme)
    areas = {name: colour for name, marked, colour in _doubts(sample, theme) if marked.any()}
    add_legend(panels[0], theme, right=0.975, areas=areas)


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


def _reach(sample: DepthSample, tick_pips: int) -> int:
    """How far the visible levels usually lie from the best price, pips."""
    present = sample.price_pips != MISSING_PIPS
    away = np.where(present, np.abs(sample.price_pips - sample.price_pips[:, :, :1]), 0).max(axis=2)
    return int(max(np.quantile(away[present[:, :, 0]], 0.8), 10 * tick_pips))


def _price_span(sample: DepthSample, sided: NDArray[np.bool_], reach: int, tick_pips: int) -> tuple[int, int]:
    """Prices shown, pips: all best prices but rare outliers, and the levels around them; whole ticks."""
    best = sample.price_pips[sided, :, 0]
    low, high = (int(value) for value in np.quantile(best, (0.001, 0.999), method="nearest"))
    margin = max(reach, (high - low) // 50)
    return (low - margin) // tick_pips * tick_pips, high + margin


def _spread_sizes(
    sample: DepthSample,
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


def _draw_sizes(
    axes: Axes,
    image: _SizeImage,
    sample: DepthSample,
    price_unit: int,
    size_unit: int,
    norm: LogNorm,
    colours: tuple[LinearSegmentedColormap, LinearSegmentedColormap],
) -> None:
    """Both sides of an image; prices and sizes in pips are divided by their unit."""
    extent = (
        sample.first_ns / NS_PER_DAY,
        sample.last_ns / NS_PER_DAY,
        image.low / price_unit,
        image.high / price_unit,
    )
    for sizes, scale in zip(image.sizes, colours, strict=True):
        shown = np.ma.masked_less_equal(sizes / size_unit, 0.0)
        axes.imshow(
            shown,
            cmap=scale,
            norm=norm,
            extent=extent,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
    axes.set_ylim(extent[2:])


def _draw_scale(
    figure: Figure,
    grid: GridSpec,
    norm: LogNorm,
    colours: tuple[LinearSegmentedColormap, LinearSegmentedColormap],
    theme: Theme,
) -> None:
    """What the colours mean: a bar for bids and one for asks, with one scale."""
    for column, (name, scale) in enumerate(zip(("bid", "ask"), colours, strict=True), start=1):
        axes = figure.add_subplot(grid[:, column])
        bar = figure.colorbar(ScalarMappable(norm, scale), cax=axes)
        axes.set_title(name, fontsize=9, y=1.0, color=theme.ink, loc="right" if name == "bid" else "left")
        axes.tick_params(colors=theme.muted, labelsize=8, length=2)
        bar.outline.set_visible(False)
        axes.minorticks_off()
        if name == "bid":
            axes.set_yticks([])
        else:
            bar.set_label("size per tick of price", fontsize=9, color=theme.muted)


def _draw_best(axes: Axes, sample: DepthSample, unit: float, theme: Theme) -> None:
    edges = _edges_ns(sample)
    for index, (name, colour) in enumerate((("best bid", theme.bid), ("best ask", theme.ask))):
        best = sample.price_pips[:, index, 0]
        prices = np.where(best == MISSING_PIPS, np.nan, best / unit)
        axes.step(
            to_dates(edges),
            np.append(prices, prices[-1]),
            where="post",
            color=colour,
            linewidth=1.0,
            label=name,
        )


def _edges_ns(sample: DepthSample) -> NDArray[np.int64]:
    """Where the steps begin and the last one ends, int64[C + 1] ns."""
    steps = len(sample.flags)
    offsets = np.arange(steps + 1, dtype=np.int64) * (sample.last_ns - sample.first_ns) // steps
    edges: NDArray[np.int64] = sample.first_ns + offsets
    return edges


def _doubts(sample: DepthSample, theme: Theme) -> tuple[tuple[str, NDArray[np.bool_], str], ...]:
    """Kinds of doubt: name, bool[C] where, colour."""
    flags = sample.flags
    return (
        ("not seeded", flags & BookFlag.SEEDED == 0, theme.placebo),
        ("gap", flags & (BookFlag.GAP | BookFlag.HINDSIGHT) != 0, theme.doubt),
        ("corrupt", flags & BookFlag.CORRUPT != 0, theme.bad),
    )


def _mark_doubt(axes: Axes, sample: DepthSample, theme: Theme) -> None:
    """Shade the steps whose rows must not be trusted, strongest along the time axis."""
    edges = to_dates(_edges_ns(sample))
    for _, marked, colour in _doubts(sample, theme):
        turns = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
        for start, stop in turns.reshape(-1, 2):
            axes.axvspan(edges[start], edges[stop], color=colour, alpha=0.25, linewidth=0, zorder=0.5)
            axes.axvspan(edges[start], edges[stop], ymax=0.035, color=colour, linewidth=0, zorder=3)
