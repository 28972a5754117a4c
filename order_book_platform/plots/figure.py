"""What all figures share: grounds and colours, axes, UTC along x, and bytes that are equal for equal input."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from datetime import UTC
from typing import Any, cast

import numpy as np
from matplotlib import dates
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import LinearSegmentedColormap, to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, iso_from_ns

DPI = 100
WIDTH_PX, HEIGHT_PX = 1000, 450


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure on one ground, as `#rrggbb`.

    Attributes:
        ground: behind everything.
        ink: titles and marks that matter.
        muted: axis labels, ticks.
        grid: lines that must not be noticed.
        bid: bids, and whatever is right.
        ask: asks.
        placebo: what must look wrong.
        doubt: doubtful data, gaps.
        bad: proven wrong.
    """

    ground: str
    ink: str
    muted: str
    grid: str
    bid: str
    ask: str
    placebo: str
    doubt: str
    bad: str


LIGHT = Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e7eb", "#0072b2", "#d55e00", "#8c959f", "#e69f00", "#cc3377"
)
DARK = Theme(
    "#16191d", "#e6e9ed", "#9aa4af", "#2b3138", "#56b4e9", "#f0913a", "#7d8792", "#e6b800", "#f07fb2"
)


def new_figure(
    theme: Theme, *, height_px: int = HEIGHT_PX, left_px: int = 78, right_px: int = 20, bottom_px: int = 48
) -> Figure:
    """An empty figure of `WIDTH_PX` on the theme's ground, with fixed room around its axes.

    The room is given, not measured: a layout engine would draw every figure twice.

    Args:
        theme: light or dark.
        height_px: of the whole figure.
        left_px: room for the labels of the vertical axis.
        right_px: room right of the axes.
        bottom_px: room for the time axis and its label.
    """
    figure = Figure(figsize=(WIDTH_PX / DPI, height_px / DPI), dpi=DPI, facecolor=theme.ground)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=left_px / WIDTH_PX,
        right=1 - right_px / WIDTH_PX,
        bottom=bottom_px / height_px,
        top=1 - 34 / height_px,
    )
    return figure


def dress(axes: Axes, theme: Theme, *, title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Give axes their colours, grid and words; the title stands at the left, above."""
    axes.set_facecolor(theme.ground)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(theme.grid)
    axes.tick_params(colors=theme.muted, labelsize=9, length=3)
    axes.grid(True, color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    if title:
        # Its height is given too: to find one, every tick label would be laid out and measured twice.
        axes.set_title(title, loc="left", y=1.0, fontsize=11, fontweight="bold", color=theme.ink, pad=8)
    axes.set_xlabel(x_label, fontsize=9, color=theme.muted)
    axes.set_ylabel(y_label, fontsize=9, color=theme.muted)


def add_legend(
    axes: Axes, theme: Theme, *, columns: int = 6, right: float = 1.0, areas: Mapping[str, str] | None = None
) -> None:
    """A legend above the axes, at the right; none where nothing has a label.

    Args:
        axes: whose labelled artists are listed.
        theme: light or dark.
        columns: entries in a row.
        right: where the legend ends; 1 is the right end of the axes.
        areas: further entries, label to colour.
    """
    handles, _ = axes.get_legend_handles_labels()
    handles += [Patch(color=colour, label=label) for label, colour in (areas or {}).items()]
    if not handles:
        return
    legend = axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(right, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
        columnspacing=1.4,
        borderaxespad=0.3,
    )
    for text in legend.get_texts():
        text.set_color(theme.ink)


def say_nothing_to_show(axes: Axes, theme: Theme, message: str) -> None:
    """Write a message in the middle of axes that have no data."""
    axes.text(
        0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", fontsize=12, color=theme.muted
    )


def to_dates(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Times in ns since the epoch as matplotlib's day numbers, float64[n]; exact to about a microsecond."""
    days: NDArray[np.float64] = times_ns / NS_PER_DAY
    return days


def set_time_axis(axes: Axes, first_ns: int, last_ns: int) -> None:
    """UTC time of day along x, from `first_ns` to `last_ns`; the label names the day or days."""
    if last_ns <= first_ns:
        last_ns = first_ns + 1_000_000_000
    axes.set_xlim(first_ns / NS_PER_DAY, last_ns / NS_PER_DAY)
    locator = dates.AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator, tz=UTC, show_offset=False)  # type: ignore[no-untyped-call]
    formatter.formats = ["%Y", "%m-%d", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"]
    formatter.zero_formats = ["", "%Y", "%m-%d", "%m-%d", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(formatter)
    days = sorted({iso_from_ns(first_ns)[:10], iso_from_ns(last_ns - 1)[:10]})
    axes.set_xlabel("UTC, " + " to ".join(days), fontsize=9)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without the date and the program's name, so that equal figures give equal bytes."""
    return _encode(_pixels(figure))


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """The figure drawn, uint8[height, width, 4]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    buffer, metadata = io.BytesIO(), cast(dict[str, str], {"Software": None})
    imsave(buffer, pixels.data, format="png", origin="upper", dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def png_pair(figure: Figure) -> tuple[bytes, bytes]:
    """A figure drawn in `LIGHT` as PNG, and the same in `DARK`, as if it had been drawn anew.

    Only colours are exchanged; axes, ticks and words are made and laid out once.
    """
    (pair,) = png_pairs([figure])
    return pair


def png_pairs(figures: Iterable[Figure]) -> list[tuple[bytes, bytes]]:
    """`png_pair` of each figure. Pixels are packed in a thread, without the interpreter: a fifth of the work."""
    with ThreadPoolExecutor(1) as packer:
        packed = []
        for figure in figures:
            light = packer.submit(_encode, _pixels(figure))
            _darken(figure)
            packed.append((light, packer.submit(_encode, _pixels(figure))))
        return [(light.result(), dark.result()) for light, dark in packed]


def _darken(figure: Figure) -> None:
    """Exchange the colours of `LIGHT` for those of `DARK`."""
    colours = {to_rgba(old): to_rgba(new) for old, new in zip(astuple(LIGHT), astuple(DARK), strict=True)}
    scales = side_colours(DARK)
    for artist in figure.findobj():
        if isinstance(artist, ScalarMappable) and artist.get_array() is not None:
            artist.set_cmap(scales[artist.get_cmap().name])
        else:
            _repaint(artist, colours)


def _repaint(artist: Artist, colours: Mapping[Any, Any]) -> None:
    """Exchange colours, whatever their opacity."""

    def other(colour: Any) -> Any:
        *opaque, opacity = to_rgba(colour)
        found = colours.get((*opaque, 1.0))
        return colour if found is None else (*found[:3], opacity)

    if isinstance(artist, Text):
        artist.set_color(other(artist.get_color()))
    elif isinstance(artist, Line2D):
        edge, face = artist.get_markeredgecolor(), artist.get_markerfacecolor()
        artist.set_color(other(artist.get_color()))
        artist.set_markeredgecolor(other(edge))
        artist.set_markerfacecolor(other(face))
    elif isinstance(artist, Patch):
        edge = artist.get_edgecolor()
        artist.set_facecolor(other(artist.get_facecolor()))
        artist.set_edgecolor(other(edge))
    elif isinstance(artist, Collection):
        artist.set_edgecolor([other(colour) for colour in to_rgba_array(artist.get_edgecolor())])


def side_colours(theme: Theme) -> dict[str, LinearSegmentedColormap]:
    """Colours of sizes, `bid` and `ask`: from nearly the ground to the side's own hue, in 16 steps."""
    return {
        name: LinearSegmentedColormap.from_list(name, [_mix(theme.ground, colour, 0.12), colour], N=16)
        for name, colour in (("bid", theme.bid), ("ask", theme.ask))
    }


def _mix(ground: str, colour: str, amount: float) -> str:
    """`#rrggbb` between the two: 0 is the ground, 1 the colour."""
    pairs = zip(bytes.fromhex(ground[1:]), bytes.fromhex(colour[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * amount) for a, b in pairs).hex()


def data_uri(png: bytes) -> str:
    """PNG bytes as `data:image/png;base64,…`, for pages and metadata that must stand alone."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
