"""Fidelity: how far off the best prices are over time, and how well each level matches, beside a placebo."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from order_book_platform.plots.figure import (
    LIGHT,
    Theme,
    add_legend,
    dress,
    new_figure,
    png_bytes,
    say_nothing_to_show,
    set_time_axis,
    to_dates,
)


def error_chart(
    windows: pl.DataFrame,
    *,
    reference: str = "snapshots",
    theme: Theme = LIGHT,
    title: str = "Best prices",
) -> bytes:
    """Draw price errors in ticks and the share of exact rows over time, with the placebo for contrast.

    Args:
        windows: columns start_ns, width_ns, n, exact_share, rms_bid_ticks, rms_ask_ticks,
            placebo_exact_share, placebo_rms_ticks; one row per window of time, null where nothing was
            compared.
        reference: what the book was compared with, for the title.
        theme: light or dark.
        title: above the figure.

    Returns:
        PNG bytes.
    """
    return png_bytes(error_figure(windows, reference=reference, theme=theme, title=title))


def error_figure(
    windows: pl.DataFrame,
    *,
    reference: str = "snapshots",
    theme: Theme = LIGHT,
    title: str = "Best prices",
) -> Figure:
    """The figure of `error_chart`."""
    figure = new_figure(theme, left_px=104, right_px=42)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.08})
    rows = int(windows["n"].sum())
    dress(
        upper,
        theme,
        title=f"{title} against {reference}, {rows:,} rows",
        y_label="price error,\nRMS in ticks",
    )
    dress(lower, theme, y_label="rows with price and\nsize exact")
    upper.tick_params(labelbottom=False)
    if not rows:
        for axes in (upper, lower):
            say_nothing_to_show(axes, theme, f"nothing to compare with in {reference}")
            axes.set_xticks([])
            axes.set_yticks([])
        return figure
    width = int(windows["width_ns"][0])
    edges = to_dates(np.append(windows["start_ns"].to_numpy(), windows["start_ns"][-1] + width))
    _draw_errors(upper, edges, windows, theme)
    _draw_shares(lower, edges, windows, theme)
    add_legend(upper, theme)
    set_time_axis(lower, int(windows["start_ns"][0]), int(windows["start_ns"][-1]) + width)
    lower.set_xlabel(f"{lower.get_xlabel()}, windows of {width / 1e9:g} s", color=theme.muted)
    return figure


def _stairs(axes: Axes, edges: np.ndarray, values: pl.Series, colour: str, label: str, width: float) -> None:
    """A step line with holes where the series is null."""
    axes.stairs(
        values.fill_null(np.nan).to_numpy(), edges, baseline=None, color=colour, linewidth=width, label=label
    )


def _draw_errors(axes: Axes, edges: np.ndarray, windows: pl.DataFrame, theme: Theme) -> None:
    _stairs(axes, edges, windows["placebo_rms_ticks"], theme.placebo, "placebo, 1 s later", 1.1)
    _stairs(axes, edges, windows["rms_bid_ticks"], theme.bid, "best bid", 3.2)
    _stairs(axes, edges, windows["rms_ask_ticks"], theme.ask, "best ask", 1.3)
    highest = max(
        float(windows[name].fill_null(0.0).to_numpy().max())
        for name in ("rms_bid_ticks", "rms_ask_ticks", "placebo_rms_ticks")
    )
    # Linear up to the gate's tenth of a tick, logarithmic beyond, so that 0 and 1,000 ticks are both readable.
    axes.set_yscale("symlog", linthresh=0.1, linscale=0.6)
    axes.set_ylim(-0.02, max(1.0, highest * 2))
    marks = [mark for mark in (0.0, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5) if mark <= max(1.0, highest * 2)]
    axes.set_yticks(marks, [f"{mark:,g}" for mark in marks])
    axes.minorticks_off()
    axes.axhline(0.1, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.text(
        1.004, 0.1, "gate", transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=theme.muted
    )


def _draw_shares(axes: Axes, edges: np.ndarray, windows: pl.DataFrame, theme: Theme) -> None:
    _stairs(axes, edges, windows["placebo_exact_share"], theme.placebo, "placebo, 1 s later", 1.1)
    _stairs(axes, edges, windows["exact_share"], theme.ink, "reference", 1.8)
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])


def level_chart(
    levels: pl.DataFrame, *, theme: Theme = LIGHT, title: str = "Levels against held-out snapshots"
) -> bytes:
    """Draw, per level, the share of rows that match and the correlation of sizes, beside the placebo's.

    Args:
        levels: columns side (`bid`, `ask`), level (from 1), exact_share, pearson, spearman, and each of these
            three with prefix `placebo_`; null where nothing was compared.
        theme: light or dark.
        title: above the figure.

    Returns:
        PNG bytes.
    """
    return png_bytes(level_figure(levels, theme=theme, title=title))


def level_figure(
    levels: pl.DataFrame, *, theme: Theme = LIGHT, title: str = "Levels against held-out snapshots"
) -> Figure:
    """The figure of `level_chart`."""
    figure = new_figure(theme, left_px=56)
    panels = figure.subplots(1, 3, sharey=True, gridspec_kw={"wspace": 0.06})
    names = (
        ("exact_share", "share of rows with price and size equal"),
        ("pearson", "Pearson of log1p(size)"),
        ("spearman", "Spearman of size"),
    )
    for index, (axes, (column, label)) in enumerate(zip(panels, names, strict=True)):
        dress(
            axes,
            theme,
            title=title if index == 0 else "",
            y_label="level, 1 is best" if index == 0 else "",
        )
        axes.set_xlabel(label, fontsize=9, color=theme.muted)
        _draw_level_bars(axes, levels, column, theme)
    add_legend(panels[-1], theme, columns=3)
    return figure


def _draw_level_bars(axes: Axes, levels: pl.DataFrame, column: str, theme: Theme) -> None:
    """Two bars a level, bid above ask, and a mark where the placebo is."""
    depth = int(levels["level"].to_numpy().max())
    if levels[column].null_count() == len(levels):
        say_nothing_to_show(axes, theme, "not measured")
    for side, offset, colour in (("bid", -0.2, theme.bid), ("ask", 0.2, theme.ask)):
        rows = levels.filter(pl.col("side") == side)
        at = rows["level"].to_numpy() + offset
        values = rows[column].fill_null(0.0).to_numpy()
        axes.hlines(at, 0.0, values, color=colour, linewidth=min(9.0, 120.0 / depth), label=side)
        late = rows[f"placebo_{column}"].fill_null(np.nan).to_numpy()
        label = "placebo, 1 s later" if side == "ask" else ""
        axes.plot(late, at, "|", color=theme.ink, markersize=5, markeredgewidth=1.4, label=label)
    lowest = float(
        levels.select(pl.min_horizontal(pl.col(column).min(), pl.col(f"placebo_{column}").min())).item() or 0
    )
    axes.set_xlim(min(0.0, lowest * 1.1), 1.04)
    axes.set_ylim(depth + 0.6, 0.4)
    axes.set_yticks(sorted({1, *range(5, depth + 1, 5)}))
    axes.grid(False, axis="y")
