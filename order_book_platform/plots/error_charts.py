"""Fidelity: how far off the best prices are over time, and how well each level matches, beside a placebo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from order_book_platform.plots.axes import Panel, Scale, percent, time_label, time_scale, time_ticks
from order_book_platform.plots.svg import WIDTH_PX, Svg, boxes, stairs

GATE_TICKS = 0.1
"""The bar for the price error, drawn as a line."""
_LEFT, _RIGHT = 96, 44


def error_chart(windows: pl.DataFrame, *, reference: str = "snapshots") -> Svg:
    """Price errors in ticks and the share of exact rows over time, with the placebo for contrast.

    Args:
        windows: columns start_ns, width_ns, n, exact_share, rms_bid_ticks, rms_ask_ticks,
            placebo_exact_share, placebo_rms_ticks; one row per window of time, null where nothing was
            compared.
        reference: what the book was compared with, for the title.
    """
    rows = int(windows["n"].sum())
    svg = Svg(376, "Errors of the best prices over time")
    title = f"Best prices against {reference}, {rows:,} rows"
    width = WIDTH_PX - _LEFT - _RIGHT
    if not rows:
        panel = Panel(svg, _LEFT, 34, width, 300, Scale(0, 1), Scale(0, 1))
        panel.frame(title=title)
        panel.say(f"Nothing to compare with: no row of {reference} is left that the book was not made from.")
        return svg
    width_ns = int(windows["width_ns"][0])
    edges_ns = np.append(windows["start_ns"].to_numpy(), windows["start_ns"][-1] + width_ns)
    first, last = int(edges_ns[0]), int(edges_ns[-1])
    time, ticks = time_scale(first, last), time_ticks(first, last)
    highest = max(_top(windows[name]) for name in ("rms_bid_ticks", "rms_ask_ticks", "placebo_rms_ticks"))
    errors = Scale(0.0, max(1.0, highest * 1.5), "symlog", GATE_TICKS)
    upper = Panel(svg, _LEFT, 34, width, 140, time, errors)
    upper.frame(
        title=title,
        y_label="price error,\nRMS in ticks",
        x_ticks=[(at, "") for at, _ in ticks],
        y_ticks=errors.ticks(7),
    )
    gate = float(upper.up(GATE_TICKS))
    svg.path(f"M{upper.left} {gate:.1f}H{upper.right}", "muted", width=1, dashed=True)
    svg.text(upper.right + 6, gate + 4, "gate")
    lines = (
        ("placebo_rms_ticks", "placebo", 1.1),
        ("rms_bid_ticks", "bid", 3.4),
        ("rms_ask_ticks", "ask", 1.4),
    )
    for column, kind, thick in lines:
        _draw(upper, edges_ns, windows[column], kind, thick)
    svg.legend(
        upper.right,
        24,
        (("best bid", "bid"), ("best ask", "ask"), ("placebo: the reference 1 s later", "placebo")),
    )
    lower = Panel(svg, _LEFT, 192, width, 140, time, Scale(0.0, 1.02))
    lower.frame(
        y_label="rows with price\nand size exact",
        x_label=f"{time_label(first, last)}, windows of {width_ns / 1e9:g} s",
        x_ticks=ticks,
        y_ticks=[(share, percent(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
    )
    _draw(lower, edges_ns, windows["placebo_exact_share"], "placebo", 1.1)
    _draw(lower, edges_ns, windows["exact_share"], "ink", 2)
    return svg


def _top(values: pl.Series) -> float:
    return float(values.fill_null(0.0).to_numpy().max())


def _draw(panel: Panel, edges_ns: np.ndarray, values: pl.Series, kind: str, width: float) -> None:
    """Steps with holes where the series is null, its lowest and highest value under the pointer."""
    shown = values.fill_null(np.nan).to_numpy()
    said = "" if np.isnan(shown).all() else f"{values.name}: {np.nanmin(shown):.6g} to {np.nanmax(shown):.6g}"
    panel.svg.path(stairs(panel.across(edges_ns), panel.up(shown)), kind, width=width, title=said)


_MEASURES = (
    ("exact_share", "share of rows with price and size equal"),
    ("pearson", "Pearson of log1p(size)"),
    ("spearman", "Spearman of size"),
)


def level_chart(levels: pl.DataFrame) -> Svg:
    """Per level, the share of rows that match and the correlation of sizes, beside the placebo's.

    Args:
        levels: columns side (`bid`, `ask`), level (from 1), exact_share, pearson, spearman, and each of these
            three with prefix `placebo_`; null where nothing was compared.
    """
    svg = Svg(382, "Match and correlation by level")
    depth = int(levels["level"].to_numpy().max())
    width = (WIDTH_PX - 48 - 20 - 2 * 26) / 3
    for index, (column, label) in enumerate(_MEASURES):
        values = np.concatenate(
            [levels[name].drop_nulls().to_numpy() for name in (column, f"placebo_{column}")]
        )
        x = Scale(min(0.0, float(values.min(initial=0.0)) * 1.1), 1.03)
        panel = Panel(svg, 48 + index * (width + 26), 34, width, 304, x, Scale(depth + 0.6, 0.4))
        rungs = sorted({1, *range(5, depth + 1, 5)})
        panel.frame(
            title="Levels against held-out snapshots" if index == 0 else "",
            x_label=label + _lowest(levels, column),
            y_label="level, 1 is best" if index == 0 else "",
            x_ticks=x.ticks(6),
            y_ticks=[(float(level), str(level) if index == 0 else "") for level in rungs],
            grid_y=False,
        )
        if levels[column].null_count() == len(levels):
            panel.say("Not measured: no level could be compared." if index == 0 else "Not measured.")
        else:
            _draw_level_bars(panel, levels, column, depth)
    svg.legend(
        WIDTH_PX - 20, 24, (("bid", "bid"), ("ask", "ask"), ("placebo: the reference 1 s later", "ink"))
    )
    return svg


def _lowest(levels: pl.DataFrame, column: str) -> str:
    """The worst level in words: a bar that is a thousandth too short looks like a full one."""
    found = levels.drop_nulls(column).sort(column, maintain_order=True).head(1)
    return "".join(
        f"; lowest {row[column]:.5g}, {row['side']} {row['level']}" for row in found.iter_rows(named=True)
    )


def _draw_level_bars(panel: Panel, levels: pl.DataFrame, column: str, depth: int) -> None:
    """Two bars a level, bid above ask, and a mark where the placebo is."""
    thick = min(7.0, panel.height / depth * 0.36)
    for side, offset in (("bid", -0.2), ("ask", 0.2)):
        rows = levels.filter(pl.col("side") == side)
        at = panel.up(rows["level"].to_numpy() + offset)
        start = float(panel.across(0.0))
        ends = panel.across(rows[column].fill_null(0.0).to_numpy())
        for level, y, end, value in zip(rows["level"], at, ends, rows[column], strict=True):
            said = f"{side} {level}: {'not measured' if value is None else f'{value:.6g}'}"
            box = boxes([min(start, end)], [y - thick / 2], [abs(end - start)], [thick])
            panel.svg.area(box, side, title=said)
        late = rows[f"placebo_{column}"].fill_null(np.nan).to_numpy()
        shown = ~np.isnan(late)
        marks = boxes(panel.across(late[shown]) - 0.8, at[shown] - thick / 2, 1.6, thick)
        panel.svg.area(marks, "ink")


_WRONG = (
    (0.0, "none wrong", "bid", 0.30),
    (0.001, "up to 0.1 % wrong", "doubt", 0.55),
    (0.01, "up to 1 %", "doubt", 1.0),
    (0.1, "up to 10 %", "bad", 0.6),
    (1.0, "more", "bad", 1.0),
)
"""Shares of wrong rows up to which a cell has a colour, with its opacity."""


def level_map(cells: Mapping[str, Any]) -> Svg:
    """Time by level: where in the day, and how deep in the book, levels that it claims to know are wrong.

    Args:
        cells: `level_windows` of report.json: start_ns (int[W]), width_ns, levels (K), known and exact (int[2·K][W],
            bid levels from 1 to K and then ask levels).
    """
    depth, starts = int(cells["levels"]), np.array(cells["start_ns"], dtype=np.int64)
    known = np.array(cells["known"], dtype=np.int64).reshape(2 * depth, -1)
    exact = np.array(cells["exact"], dtype=np.int64).reshape(2 * depth, -1)
    svg = Svg(416, "Levels over time")
    width = WIDTH_PX - _LEFT - _RIGHT
    # Like a book: asks above, bids below, the best of both in the middle.
    order = [*range(2 * depth - 1, depth - 1, -1), *range(depth)]
    most = int(known.max(initial=0))
    title = f"Levels over time, at most {most:,} row{'s' * (most != 1)} a window"
    if not known.any():
        panel = Panel(svg, _LEFT, 34, width, 330, Scale(0, 1), Scale(0, 1))
        panel.frame(title="Levels over time")
        panel.say("Nothing to show: no held-out snapshot meets a level that the book claims to know.")
        return svg
    edges = np.append(starts, starts[-1] + int(cells["width_ns"]))
    first, last = int(edges[0]), int(edges[-1])
    panel = Panel(svg, _LEFT, 34, width, 340, time_scale(first, last), Scale(2.0 * depth, 0.0))
    far = range(depth, 1, -max(1, depth // 4))
    rungs = [(depth - level + 0.5, f"ask {level}") for level in far]
    rungs += [(float(depth), "best"), *((depth + level - 0.5, f"bid {level}") for level in far)]
    panel.frame(
        title=title,
        x_label=f"{time_label(first, last)}, windows of {int(cells['width_ns']) / 1e9:g} s",
        x_ticks=time_ticks(first, last),
        y_ticks=rungs,
        grid_x=False,
        grid_y=False,
    )
    known, exact = known[order], exact[order]
    _draw_cells(panel, edges, known, exact)
    middle = float(panel.up(float(depth)))
    svg.line(panel.left, middle, panel.right, middle, "ink")
    svg.legend(
        panel.right,
        24,
        [(words, colour) for _, words, colour, _ in (_WRONG[0], _WRONG[2], _WRONG[4])]
        + [("not known", "grid")],
    )
    return svg


def _draw_cells(panel: Panel, edges_ns: np.ndarray, known: np.ndarray, exact: np.ndarray) -> None:
    """Cells of rows × windows, equal neighbours of a row as one box, one path a colour."""
    wrong = np.divide(known - exact, known, out=np.zeros(known.shape), where=known > 0)
    classes = np.searchsorted([bound for bound, *_ in _WRONG], wrong, side="left")
    classes = np.where(known > 0, np.minimum(classes, len(_WRONG) - 1), -1)
    x, y = panel.across(edges_ns), panel.up(np.arange(len(known) + 1.0))
    turns = np.ones((len(known), known.shape[1] + 1), dtype=np.bool_)
    turns[:, 1:-1] = classes[:, 1:] != classes[:, :-1]
    row, start = np.nonzero(turns[:, :-1])
    _, stop = np.nonzero(turns[:, 1:])
    stop += 1
    kinds = classes[row, start]
    for index, (_, words, colour, opacity) in enumerate((*_WRONG, (0.0, "not known", "grid", 1.0))):
        of = kinds == (index if index < len(_WRONG) else -1)
        lefts, uppers = x[start[of]], y[row[of]]
        box = boxes(lefts, uppers, x[stop[of]] - lefts, np.maximum(y[row[of] + 1] - uppers - 0.8, 0.5))
        panel.svg.area(box, colour, opacity=opacity, title=words)
