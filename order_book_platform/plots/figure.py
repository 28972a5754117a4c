"""What figures made by matplotlib share: ground, axes, and bytes that are equal for equal input."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from order_book_platform.plots import svg
from order_book_platform.plots.theme import DARK, LIGHT, Theme

__all__ = ["DARK", "LIGHT", "Theme", "data_uri", "dress", "new_figure", "png_bytes"]

DPI = 100
WIDTH_PX, HEIGHT_PX = 1000, 450


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


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without the date and the program's name, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=DPI,
        facecolor=figure.get_facecolor(),
        metadata={"Software": None},
    )
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """PNG bytes as `data:image/png;base64,…`, for pages and metadata that must stand alone."""
    return svg.data_uri(png, "png")
