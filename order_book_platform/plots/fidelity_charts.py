"""Figures of `fidelity_report`: errors over time, by level and by age of the book, and distributions of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.arrays import Float64Array, Int64Array
from order_book_platform.plots.axes import Panel, Scale, Spacing, number_label, percent_label, time_axis
from order_book_platform.plots.svg import WIDTH_PX, Svg, box_path, line_path, step_path

GATE_TICKS = 0.1
"""The gate of the price error, drawn as a line."""
_LEFT, _RIGHT, _TOP = 96, 44, 34
_PLACEBO = "placebo: the reference 1 s later"


def error_chart(windows: pl.DataFrame, *, reference: str = "snapshots") -> Svg:
    """Draw price errors in ticks and the share of exact rows over time, beside those of the placebo.

    Args:
        windows: Columns start_ns, width_ns, n, exact_share, rms_bid_ticks, rms_ask_ticks, placebo_exact_share and
            placebo_rms_ticks; one row for each window of time, null where nothing was compared.
        reference: Name of what the book was compared with, for the title.
    """
    rows = int(windows["n"].sum())
    svg = Svg(376, "Errors of the best prices over time")
    title = f"Best prices against {reference}, {rows:,} rows"
    width = WIDTH_PX - _LEFT - _RIGHT
    if not rows:
        message = f"Nothing to compare with: no row of {reference} is left that the book was not made from."
        Panel(svg, _LEFT, _TOP, width, 300).draw_axes(title=title, message=message)
        return svg
    width_ns = int(windows["width_ns"][0])
    edges_ns = np.append(windows["start_ns"].to_numpy(), windows["start_ns"][-1] + width_ns)
    time, ticks, label = time_axis(int(edges_ns[0]), int(edges_ns[-1]), width_ns)
    series = [windows[name] for name in ("rms_bid_ticks", "rms_ask_ticks", "placebo_rms_ticks")]
    highest = max(float(each.drop_nulls().to_numpy().max(initial=0.0)) for each in series)
    errors = Scale(0.0, max(1.0, highest * 1.5), "symlog", GATE_TICKS)
    upper = Panel(svg, _LEFT, _TOP, width, 140, time, errors)
    upper.draw_axes(
        title=title,
        y_label="price error,\nRMS in ticks",
        x_ticks=[(at, "") for at, _ in ticks],
        y_ticks=errors.ticks(7),
    )
    gate = float(upper.y_px(GATE_TICKS))
    svg.path(f"M{upper.left} {gate:.1f}H{upper.right}", "muted", width=1, dashed=True)
    svg.text(upper.right + 6, gate + 4, "gate")
    # The bid is thick and lies below the thin ask, so that both are seen where they agree.
    _draw_series(upper, edges_ns, windows["placebo_rms_ticks"], "placebo", 1.1)
    _draw_series(upper, edges_ns, windows["rms_bid_ticks"], "bid", 3.4)
    _draw_series(upper, edges_ns, windows["rms_ask_ticks"], "ask", 1.4)
    svg.legend(upper.right, 24, (("best bid", "bid"), ("best ask", "ask"), (_PLACEBO, "placebo")))
    lower = Panel(svg, _LEFT, 192, width, 140, time, Scale(0.0, 1.02))
    lower.draw_axes(
        y_label="rows with price\nand size exact",
        x_label=label,
        x_ticks=ticks,
        y_ticks=[(share, percent_label(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
    )
    _draw_series(lower, edges_ns, windows["placebo_exact_share"], "placebo", 1.1)
    _draw_series(lower, edges_ns, windows["exact_share"], "ink", 2)
    return svg


def _draw_series(panel: Panel, edges_ns: Int64Array, values: pl.Series, colour: str, width: float) -> None:
    """Draw steps with holes where the series is null; the pointer tells its lowest and highest value."""
    shown = values.fill_null(np.nan).to_numpy()
    data = step_path(panel.x_px(edges_ns), panel.y_px(shown))
    if data:
        title = f"{values.name}: {np.nanmin(shown):.6g} to {np.nanmax(shown):.6g}"
        panel.svg.path(data, colour, width=width, title=title)


_LEVEL_MEASURES = (
    ("exact_share", "share of rows with price and size equal"),
    ("pearson", "Pearson of log1p(size)"),
    ("spearman", "Spearman of size"),
)
_LEVELS_LEFT, _LEVELS_RIGHT, _LEVELS_BETWEEN = 48, 20, 26


def level_chart(levels: pl.DataFrame) -> Svg:
    """Draw for each level the share of rows that match and the correlation of sizes, beside the placebo's.

    Args:
        levels: Columns side (`bid`, `ask`), level (from 1), exact_share, pearson, spearman, and each of these three
            with the prefix `placebo_`; null where nothing was compared.
    """
    svg = Svg(382, "Match and correlation by level")
    depth = int(levels["level"].to_numpy().max())
    width = (WIDTH_PX - _LEVELS_LEFT - _LEVELS_RIGHT - 2 * _LEVELS_BETWEEN) / 3
    for index, (column, label) in enumerate(_LEVEL_MEASURES):
        is_first, is_unmeasured = index == 0, levels[column].null_count() == len(levels)
        values = np.concatenate(
            [levels[name].drop_nulls().to_numpy() for name in (column, f"placebo_{column}")]
        )
        left = _LEVELS_LEFT + index * (width + _LEVELS_BETWEEN)
        measure = Scale(min(0.0, float(values.min(initial=0.0)) * 1.1), 1.03)
        panel = Panel(svg, left, _TOP, width, 304, measure, Scale(depth + 0.6, 0.4))
        named_levels = sorted({1, *range(5, depth + 1, 5)})
        panel.draw_axes(
            title="Levels against held-out snapshots" if is_first else "",
            x_label=label + _lowest_level(levels, column),
            y_label="level, 1 is best" if is_first else "",
            x_ticks=measure.ticks(6),
            y_ticks=[(float(level), str(level) if is_first else "") for level in named_levels],
            grid="x",
            message=("Not measured: no level could be compared." if is_first else "Not measured.")
            if is_unmeasured
            else "",
        )
        if not is_unmeasured:
            _draw_level_bars(panel, levels, column, depth)
    svg.legend(WIDTH_PX - _LEVELS_RIGHT, 24, (("bid", "bid"), ("ask", "ask"), (_PLACEBO, "ink")))
    return svg


def _lowest_level(levels: pl.DataFrame, column: str) -> str:
    """Tell the lowest value and its level: a bar that is a thousandth too short looks like a full one."""
    lowest = levels.drop_nulls(column).sort(column, maintain_order=True).head(1)
    return "".join(
        f"; lowest {row[column]:.5g}, {row['side']} {row['level']}" for row in lowest.iter_rows(named=True)
    )


def _draw_level_bars(panel: Panel, levels: pl.DataFrame, column: str, depth: int) -> None:
    """Draw two bars for each level, bid above ask, and a mark where the placebo is."""
    thickness = min(7.0, panel.height / depth * 0.36)
    zero = float(panel.x_px(0.0))
    for side, offset in (("bid", -0.2), ("ask", 0.2)):
        rows = levels.filter(pl.col("side") == side)
        y = panel.y_px(rows["level"].to_numpy() + offset)
        ends = panel.x_px(rows[column].fill_null(0.0).to_numpy())
        for level, middle, end, value in zip(rows["level"], y, ends, rows[column], strict=True):
            title = f"{side} {level}: {'not measured' if value is None else f'{value:.6g}'}"
            bar = box_path([min(zero, end)], [middle - thickness / 2], [abs(end - zero)], [thickness])
            panel.svg.area(bar, side, title=title)
        placebo = rows[f"placebo_{column}"].fill_null(np.nan).to_numpy()
        shown = ~np.isnan(placebo)
        marks = box_path(panel.x_px(placebo[shown]) - 0.8, y[shown] - thickness / 2, 1.6, thickness)
        panel.svg.area(marks, "ink")


_WRONG_SHARES = (
    (0.0, "none wrong", "bid", 0.30),
    (0.001, "up to 0.1 % wrong", "doubt", 0.55),
    (0.01, "up to 1 %", "doubt", 1.0),
    (0.1, "up to 10 %", "bad", 0.6),
    (1.0, "more", "bad", 1.0),
)
"""Classes of cells: largest share of wrong rows, its name, colour and opacity."""
_NOT_KNOWN = -1
"""Class of a cell without rows."""


def level_map(cells: Mapping[str, Any]) -> Svg:
    """Draw, by time and level, how many of the levels that the book claims to know are wrong.

    Args:
        cells: `level_windows` of the fidelity report's report.json: start_ns (int[W]), width_ns, levels (K), known
            and exact (int[2·K][W], numbers of rows; bid levels from 1 to K and then ask levels).
    """
    depth, starts = int(cells["levels"]), np.array(cells["start_ns"], dtype=np.int64)
    known = np.array(cells["known"], dtype=np.int64).reshape(2 * depth, -1)
    exact = np.array(cells["exact"], dtype=np.int64).reshape(2 * depth, -1)
    svg = Svg(416, "Levels over time")
    width = WIDTH_PX - _LEFT - _RIGHT
    if not known.any():
        message = "Nothing to show: no held-out snapshot meets a level that the book claims to know."
        Panel(svg, _LEFT, _TOP, width, 330).draw_axes(title="Levels over time", message=message)
        return svg
    width_ns, most = int(cells["width_ns"]), int(known.max())
    edges_ns = np.append(starts, starts[-1] + width_ns)
    time, ticks, label = time_axis(int(edges_ns[0]), int(edges_ns[-1]), width_ns)
    panel = Panel(svg, _LEFT, _TOP, width, 340, time, Scale(2.0 * depth, 0.0))
    named_levels = range(depth, 1, -max(1, depth // 4))
    asks = [(depth - level + 0.5, f"ask {level}") for level in named_levels]
    bids = [(depth + level - 0.5, f"bid {level}") for level in named_levels]
    panel.draw_axes(
        title=f"Levels over time, at most {most:,} row{'s' * (most != 1)} a window",
        x_label=label,
        x_ticks=ticks,
        y_ticks=[*asks, (float(depth), "best"), *bids],
        grid="",
    )
    # As in a book, asks are above and bids below, with the best of both in the middle.
    order = [*range(2 * depth - 1, depth - 1, -1), *range(depth)]
    _draw_cells(panel, edges_ns, known[order], exact[order])
    middle = float(panel.y_px(float(depth)))
    svg.line(panel.left, middle, panel.right, middle, "ink")
    entries = [(words, colour) for _, words, colour, _ in _WRONG_SHARES[::2]]
    svg.legend(panel.right, 24, [*entries, ("not known", "grid")])
    return svg


def _draw_cells(panel: Panel, edges_ns: Int64Array, known: Int64Array, exact: Int64Array) -> None:
    """Draw cells, int64[rows, W], as one path for each class; neighbours of a class in a row become one box."""
    wrong: Float64Array = np.divide(known - exact, known, out=np.zeros(known.shape), where=known > 0)
    classes = np.searchsorted([largest for largest, *_ in _WRONG_SHARES], wrong, side="left")
    classes = np.where(known > 0, np.minimum(classes, len(_WRONG_SHARES) - 1), _NOT_KNOWN)
    x, y = panel.x_px(edges_ns), panel.y_px(np.arange(len(known) + 1.0))
    changes = np.ones((len(known), known.shape[1] + 1), dtype=np.bool_)
    changes[:, 1:-1] = classes[:, 1:] != classes[:, :-1]
    row, start = np.nonzero(changes[:, :-1])
    _, last = np.nonzero(changes[:, 1:])
    stop = last + 1
    class_of_box = classes[row, start]
    drawn = [*enumerate(_WRONG_SHARES), (_NOT_KNOWN, (0.0, "not known", "grid", 1.0))]
    for number, (_, words, colour, opacity) in drawn:
        chosen = class_of_box == number
        lefts, tops = x[start[chosen]], y[row[chosen]]
        heights = np.maximum(y[row[chosen] + 1] - tops - 0.8, 0.5)
        data = box_path(lefts, tops, x[stop[chosen]] - lefts, heights)
        panel.svg.area(data, colour, opacity=opacity, title=words)


_DRIFT_TOP, _DRIFT_HEIGHT, _DRIFT_LEFT, _DRIFT_RIGHT, _DRIFT_BETWEEN = 36, 170, 70, 20, 56
_LINEAR_SHARE = 0.001
"""Shares up to here are on the linear part of the axis, larger ones on the logarithmic part."""
_DRIFT_SHARES = (
    ("best_exact_share", "best bid and ask", "bid"),
    ("exact_share", "all claimed levels", "ask"),
)


def drift_chart(drift: pl.DataFrame) -> Svg:
    """Draw the share of wrong rows by age: one panel for time, one for messages.

    Args:
        drift: Columns age (`time` or `messages`), from (start of a bucket, ns or messages), n (rows compared),
            best_exact_share and exact_share; null where nothing was compared.
    """
    svg = Svg(_DRIFT_TOP + _DRIFT_HEIGHT + 48, "Errors by age of the book")
    width = (WIDTH_PX - _DRIFT_LEFT - _DRIFT_RIGHT - _DRIFT_BETWEEN) / 2
    wrong_shares = Scale(-_LINEAR_SHARE / 4, 1.0, "symlog", _LINEAR_SHARE)
    for index, (age, label) in enumerate((("time", "time since"), ("messages", "messages since"))):
        rows = drift.filter(pl.col("age") == age)
        left = _DRIFT_LEFT + index * (width + _DRIFT_BETWEEN)
        buckets = Scale(-0.5, max(len(rows), 1) - 0.5)
        panel = Panel(svg, left, _DRIFT_TOP, width, _DRIFT_HEIGHT, buckets, wrong_shares)
        panel.draw_axes(
            title="Wrong rows by age" if index == 0 else "",
            x_label=f"{label} a snapshot shaped the book, from",
            y_label="share of wrong rows" if index == 0 else "",
            x_ticks=[
                (bucket, _bucket_label(age, start)) for bucket, start in enumerate(rows["from"].to_list())
            ],
            y_ticks=[(share, percent_label(share)) for share in (0.0, 0.001, 0.01, 0.1, 1.0)],
            grid="y",
            message="Nothing to show: no held-out snapshot follows a used one." if rows.is_empty() else "",
        )
        for column, words, colour in _DRIFT_SHARES:
            _draw_wrong_share(panel, rows, column, words, colour)
    svg.legend(WIDTH_PX - _DRIFT_RIGHT, 20, [(words, colour) for _, words, colour in _DRIFT_SHARES])
    return svg


def _draw_wrong_share(panel: Panel, rows: pl.DataFrame, column: str, words: str, colour: str) -> None:
    """Draw a dot for each bucket and a line through them."""
    wrong = 1.0 - rows[column].fill_null(np.nan).to_numpy()
    x, y = panel.x_px(np.arange(len(rows))), panel.y_px(wrong)
    panel.svg.path(line_path(x, y), colour, width=1.4)
    told = "not measured"
    if not np.isnan(wrong).all():
        index = int(np.nanargmax(wrong))
        told = f"at most {percent_label(float(wrong[index]))} wrong, of {rows['n'][index]:,} rows"
    panel.svg.dots(x, y, colour, width=6.0, title=f"{words}: {told}")


def _bucket_label(age: str, start: int) -> str:
    """Write the start of a bucket, ns or messages."""
    if age == "messages":
        return f"{start:,}"
    seconds = start / NS_PER_SECOND
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"


_STATES_TOP, _STATES_LOWER_TOP, _STATES_HEIGHT = 52, 278, 150
_STATES_LEFT, _STATES_RIGHT, _STATES_BETWEEN = 66, 16, 48
_LINEAR_VALUE = 64.0
"""Values up to here are on the linear part of a symlog axis."""


def distribution_chart(curves: Sequence[Mapping[str, Any]]) -> Svg:
    """Draw a column for each state: shares of time above, the book's quantiles over the reference's below.

    Args:
        curves: `states` of the fidelity report's report.json, each with words, unit, scale (`linear`, `log`,
            `symlog`), edges (float[m + 1]), reference, book and placebo (float[m], shares of time), probabilities,
            reference_quantiles, book_quantiles and placebo_quantiles (float[q]); the lists are empty where nothing
            was compared.
    """
    svg = Svg(_STATES_LOWER_TOP + _STATES_HEIGHT + 42, "Distributions of book and reference")
    count = max(len(curves), 1)
    width = (WIDTH_PX - _STATES_LEFT - _STATES_RIGHT - _STATES_BETWEEN * (count - 1)) / count
    for index, curve in enumerate(curves):
        left = _STATES_LEFT + index * (width + _STATES_BETWEEN)
        if len(curve["edges"]):
            _draw_state(svg, curve, left, width, is_first=index == 0)
        else:
            for top, title in ((_STATES_TOP, str(curve["words"])), (_STATES_LOWER_TOP, "")):
                message = "Nothing to show:\nno row was compared\nthat knows these levels."
                Panel(svg, left, top, width, _STATES_HEIGHT).draw_axes(title=title, message=message)
    placebo = "placebo: the reference without its best level"
    svg.legend(WIDTH_PX - _STATES_RIGHT, 16, (("reference", "bid"), ("book", "ask"), (placebo, "placebo")))
    return svg


def _draw_state(svg: Svg, curve: Mapping[str, Any], left: float, width: float, *, is_first: bool) -> None:
    """Draw both panels of a state; only the first column names its vertical axes."""
    edges = np.array(curve["edges"], dtype=np.float64)
    spacing: Spacing = curve["scale"]
    values = Scale(float(edges[0]), float(edges[-1]), spacing, _LINEAR_VALUE)
    shares = {name: np.array(curve[name], dtype=np.float64) for name in ("placebo", "reference", "book")}
    highest = max(float(share.max(initial=0.0)) for share in shares.values())
    upper = Panel(svg, left, _STATES_TOP, width, _STATES_HEIGHT, values, Scale(0.0, highest * 1.06 or 1.0))
    upper.draw_axes(
        title=str(curve["words"]),
        x_label=str(curve["unit"]),
        y_label="share of time" if is_first else "",
        x_ticks=values.ticks(4),
        y_ticks=[(share, percent_label(share)) for share, _ in upper.y_scale.ticks(4)],
    )
    # The reference is thick and lies below the book's thin line, so that both are seen where they agree.
    for name, colour, thickness in (
        ("placebo", "placebo", 1.2),
        ("reference", "bid", 3.6),
        ("book", "ask", 1.4),
    ):
        data = step_path(upper.x_px(edges), upper.y_px(shares[name]))
        svg.path(data, colour, width=thickness, title=name)
    lower = Panel(svg, left, _STATES_LOWER_TOP, width, _STATES_HEIGHT, values, values)
    lower.draw_axes(
        x_label="reference, quantiles",
        y_label="book, quantiles" if is_first else "",
        x_ticks=values.ticks(4),
        y_ticks=values.ticks(4),
    )
    svg.line(lower.left, lower.bottom, lower.right, lower.top, "muted")
    for name, colour, thickness in (("placebo", "placebo", 4.0), ("book", "ask", 5.0)):
        quantiles = curve[f"{name}_quantiles"]
        if len(quantiles):
            x, y = lower.x_px(curve["reference_quantiles"]), lower.y_px(quantiles)
            svg.dots(x, y, colour, width=thickness, title=_farthest_quantile(curve, name))


def _farthest_quantile(curve: Mapping[str, Any], name: str) -> str:
    """Tell which quantile of the book or placebo is farthest from the reference's."""
    ours, reference = np.array(curve[f"{name}_quantiles"]), np.array(curve["reference_quantiles"])
    index = int(np.abs(ours - reference).argmax())
    values = f"{number_label(float(ours[index]))}, reference {number_label(float(reference[index]))}"
    return f"{name}: farthest at {percent_label(curve['probabilities'][index])}: {values}"
