"""The fidelity charts."""

from __future__ import annotations

import polars as pl
import pytest

from order_book_platform.plots.fidelity import error_chart, error_figure, level_chart, level_figure
from order_book_platform.plots.figure import DARK, LIGHT, Theme, png_pair
from order_book_platform_tests.plots.frames import SECOND, START_NS, has_colour


def windows(rms_ticks: float | None = 0.0, rows: int = 50) -> pl.DataFrame:
    """Sixty windows of two seconds, every tenth without rows."""
    empty = [index % 10 == 9 or rows == 0 for index in range(60)]

    def column(value: float | None) -> pl.Series:
        return pl.Series([None if gone else value for gone in empty], dtype=pl.Float64)

    return pl.DataFrame(
        {
            "start_ns": [START_NS + 2 * SECOND * index for index in range(60)],
            "width_ns": [2 * SECOND] * 60,
            "n": [0 if gone else rows for gone in empty],
            "exact_share": column(1.0),
            "rms_bid_ticks": column(rms_ticks),
            "rms_ask_ticks": column(0.0),
            "placebo_exact_share": column(0.1),
            "placebo_rms_ticks": column(300.0),
        }
    )


def levels(value: float | None = 1.0, placebo: float | None = 0.1, depth: int = 20) -> pl.DataFrame:
    """Levels of both sides."""
    rows = [(side, level) for side in ("bid", "ask") for level in range(1, depth + 1)]
    columns = {"side": [side for side, _ in rows], "level": [level for _, level in rows]}
    for name in ("exact_share", "pearson", "spearman"):
        columns[name] = pl.Series([value] * len(rows), dtype=pl.Float64)
        columns[f"placebo_{name}"] = pl.Series([placebo] * len(rows), dtype=pl.Float64)
    return pl.DataFrame(columns)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_errors_repeat_and_show_the_placebo(theme: Theme) -> None:
    """Equal input, equal bytes; the placebo stands beside the true reference."""
    png = error_chart(windows(), theme=theme)
    assert png == error_chart(windows(), theme=theme)
    placebos = [pl.lit(None, pl.Float64).alias(f"placebo_{name}") for name in ("exact_share", "rms_ticks")]
    assert png != error_chart(windows().with_columns(placebos), theme=theme)
    assert len(png) < 120_000


def test_an_error_is_seen() -> None:
    """A book that is off by ticks looks different from one that is not."""
    assert error_chart(windows(25.0)) != error_chart(windows(0.0))


def test_nothing_to_compare_is_said() -> None:
    """Without rows there is a sentence, not an empty frame or an error."""
    png = error_chart(windows(None, rows=0), reference="snapshots")
    assert png != error_chart(windows(None, rows=0), reference="tickers")
    assert not has_colour(png, LIGHT.bid)


@pytest.mark.parametrize("depth", [1, 5, 20, 100])
def test_levels_are_drawn_at_any_depth(depth: int) -> None:
    """One level or a hundred; equal input gives equal bytes."""
    png = level_chart(levels(depth=depth))
    assert png == level_chart(levels(depth=depth))
    assert png != level_chart(levels(0.5, depth=depth))


@pytest.mark.parametrize(("value", "placebo"), [(None, None), (1.0, None), (-0.4, -0.9)])
def test_levels_that_were_not_measured_or_disagree_are_drawn(
    value: float | None, placebo: float | None
) -> None:
    """Null is written as not measured; a negative correlation has room."""
    assert level_chart(levels(value, placebo)) != level_chart(levels())


@pytest.mark.parametrize("rows", [0, 50])
def test_errors_repainted_are_errors_drawn_in_the_dark(rows: int) -> None:
    """With something to compare and without, the pair is what two drawings give."""
    frame = windows(rows=rows)
    assert png_pair(error_figure(frame)) == (error_chart(frame), error_chart(frame, theme=DARK))


@pytest.mark.parametrize("value", [None, 0.9])
def test_levels_repainted_are_levels_drawn_in_the_dark(value: float | None) -> None:
    """Measured and not, the pair is what two drawings give."""
    frame = levels(value)
    assert png_pair(level_figure(frame)) == (level_chart(frame), level_chart(frame, theme=DARK))
