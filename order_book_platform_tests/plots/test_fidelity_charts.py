"""Errors over time, by level, by both and by age, and distributions of book and reference side by side."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA
from order_book_platform.plots.fidelity_charts import (
    distribution_chart,
    drift_chart,
    error_chart,
    level_chart,
    level_map,
)
from order_book_platform_tests.plots.frames import SECOND, START_NS, SVG, drawing, hints, uses_colour, words


def windows(rms_ticks: float | None = 0.0, rows: int = 50) -> pl.DataFrame:
    """Make sixty windows of two seconds, every tenth without rows."""
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
    """Make levels of both sides, all with the same figures."""
    rows = [(side, level) for side in ("bid", "ask") for level in range(1, depth + 1)]
    columns = {"side": [side for side, _ in rows], "level": [level for _, level in rows]}
    for name in ("exact_share", "pearson", "spearman"):
        columns[name] = pl.Series([value] * len(rows), dtype=pl.Float64)
        columns[f"placebo_{name}"] = pl.Series([placebo] * len(rows), dtype=pl.Float64)
    return pl.DataFrame(columns)


def test_errors_repeat_and_show_the_placebo() -> None:
    """Equal input gives equal text; the placebo stands beside the true reference."""
    svg = error_chart(windows())
    assert svg.standalone() == error_chart(windows()).standalone()
    assert uses_colour(svg, "placebo")
    assert "placebo_rms_ticks: 300 to 300" in hints(svg)
    placebos = [pl.lit(None, pl.Float64).alias(f"placebo_{name}") for name in ("exact_share", "rms_ticks")]
    assert not uses_colour(error_chart(windows().with_columns(placebos)), "placebo")
    assert len(svg.standalone()) < 20_000


def test_an_error_is_seen_and_told() -> None:
    """A book that is off by ticks looks different from one that is not, and the pointer says by how much."""
    assert "rms_bid_ticks: 25 to 25" in hints(error_chart(windows(25.0)))
    assert "rms_bid_ticks: 0 to 0" in hints(error_chart(windows(0.0)))
    assert error_chart(windows(25.0)).inline() != error_chart(windows(0.0)).inline()


def test_nothing_to_compare_is_said() -> None:
    """Without rows there is a sentence that says why, not an empty frame or an error."""
    told = words(error_chart(windows(rows=0), reference="tickers"))
    assert any("no row of tickers is left" in text for text in told)


def test_windows_without_a_price_are_holes() -> None:
    """Rows of which none has a best bid give no line and no error."""
    assert "rms_bid_ticks" not in " ".join(hints(error_chart(windows(None))))


def test_levels_show_their_worst_and_the_placebo() -> None:
    """Every bar tells its value; the worst is written down, since a thousandth cannot be seen."""
    good = levels()
    bad = good.with_columns(
        pl.when((pl.col("level") == 17) & (pl.col("side") == "ask"))
        .then(0.9961)
        .otherwise(pl.col("exact_share"))
        .alias("exact_share")
    )
    svg = level_chart(bad)
    assert svg.standalone() == level_chart(bad).standalone()
    assert "share of rows with price and size equal; lowest 0.9961, ask 17" in words(svg)
    assert "ask 17: 0.9961" in hints(svg)
    assert hints(svg).count("bid 1: 1") == 3
    assert uses_colour(svg, "ink")
    assert not uses_colour(level_chart(levels(placebo=None)), "ink")


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_levels_of_any_depth(depth: int) -> None:
    """Each of the three panels has a bar for each level of each side."""
    assert len(hints(level_chart(levels(depth=depth)))) == 3 * 2 * depth


def test_levels_not_measured_are_said_to_be() -> None:
    """Without figures there are no bars."""
    svg = level_chart(levels(None, None))
    assert "Not measured: no level could be compared." in words(svg)
    assert hints(svg) == []


def cells(wrong: dict[tuple[int, int], int] | None = None, known: int = 1_000) -> dict[str, Any]:
    """Make sixty windows of three levels a side; `wrong` has the wrong rows by row of `known` and window."""
    wrong = wrong or {}
    return {
        "start_ns": [START_NS + 5 * SECOND * window for window in range(60)],
        "width_ns": 5 * SECOND,
        "levels": 3,
        "known": [[known] * 60 for _ in range(6)],
        "exact": [[known - wrong.get((row, window), 0) for window in range(60)] for row in range(6)],
    }


@pytest.mark.parametrize(
    ("rows", "said"), [(1, "up to 0.1 % wrong"), (10, "up to 1 %"), (11, "up to 10 %"), (1_000, "more")]
)
def test_a_wrong_cell_is_seen(rows: int, said: str) -> None:
    """One wrong cell of 360 has its class by how much of it is wrong; without it nothing is marked."""
    assert hints(level_map(cells({(4, 30): rows}))) == ["none wrong", said]
    assert hints(level_map(cells())) == ["none wrong"]


def test_asks_stand_above_bids() -> None:
    """The best ask is the row above the middle, the best bid the one below."""

    def height(row: int) -> float:
        data = level_map(cells({(row, 30): 1_000})).inline().split('d="M')[-1]
        return float(data.split()[1].split("h")[0])

    bids, asks = [height(row) for row in range(3)], [height(row) for row in range(3, 6)]
    assert [*reversed(asks), *bids] == sorted([*asks, *bids])


def test_what_is_not_known_is_told_from_what_is_right() -> None:
    """Cells that are not known have a colour of their own; if none is known a sentence says so."""
    some = cells()
    some["known"][5] = some["exact"][5] = [0] * 60
    assert hints(level_map(some)) == ["none wrong", "not known"]
    told = words(level_map(cells(known=0)))
    assert "Nothing to show: no held-out snapshot meets a level that the book claims to know." in told


def test_one_row_a_window_is_one() -> None:
    """The title has the right plural."""
    assert "Levels over time, at most 1 row a window" in words(level_map(cells(known=1)))
    assert "Levels over time, at most 1,000 rows a window" in words(level_map(cells()))


def test_a_broken_day_stays_small() -> None:
    """If every other cell of 20 levels and 120 windows is wrong, the figure still has less than 120 KB."""
    marks = {
        "start_ns": [START_NS + SECOND * window for window in range(120)],
        "width_ns": SECOND,
        "levels": 20,
        "known": [[9] * 120] * 40,
        "exact": [[9 - (row + window) % 2 for window in range(120)] for row in range(40)],
    }
    assert len(level_map(marks).inline()) < 120_000


def drift(wrong: float = 0.0) -> pl.DataFrame:
    """Make three buckets of time and two of messages; the oldest in time is `wrong` and knows no row in full."""
    rows = [
        ("time", 0, 100, 1.0, 90, 1.0, 0.0, 0.0),
        ("time", SECOND // 10, 200, 1.0, 180, 1.0, 0.0, 0.0),
        ("time", 300 * SECOND, 1_500, 1.0 - wrong, 0, None, 0.0, 0.0),
        ("messages", 0, 100, 1.0, 90, 1.0, 0.0, 0.0),
        ("messages", 1_000, 1_700, 1.0, 90, 1.0, 0.0, 0.0),
    ]
    return pl.DataFrame(rows, schema=DRIFT_SCHEMA, orient="row")


def test_the_worst_age_is_told() -> None:
    """The pointer tells it with its number of rows; a book that stays right is at 0 %."""
    assert "best bid and ask: at most 25 % wrong, of 1,500 rows" in hints(drift_chart(drift(0.25)))
    assert "best bid and ask: at most 0 % wrong, of 100 rows" in hints(drift_chart(drift()))


def test_ages_are_written_as_people_count_them() -> None:
    """Ages are seconds, minutes or messages."""
    assert {"0 s", "0.1 s", "5 min", "1,000"} <= set(words(drift_chart(drift())))


def test_nothing_after_a_used_snapshot_is_said() -> None:
    """Each panel that is empty says so."""
    told = words(drift_chart(drift().clear()))
    assert told.count("Nothing to show: no held-out snapshot follows a used one.") == 2
    only_time = words(drift_chart(drift().filter(pl.col("age") == "time")))
    assert only_time.count("Nothing to show: no held-out snapshot follows a used one.") == 1


def curve(book_shift: float = 0.0, scale: str = "linear") -> dict[str, Any]:
    """Make a state with four bins; the highest quantile of the book is `book_shift` above the reference's."""
    return {
        "words": "spread",
        "unit": "ticks",
        "scale": scale,
        "edges": [1.0, 2.0, 3.0, 4.0, 5.0],
        "reference": [0.1, 0.4, 0.4, 0.1],
        "book": [0.1, 0.4, 0.4, 0.1],
        "placebo": [0.9, 0.1, 0.0, 0.0],
        "probabilities": [0.25, 0.5, 0.75],
        "reference_quantiles": [2.0, 2.5, 3.0],
        "book_quantiles": [2.0, 2.5, 3.0 + book_shift],
        "placebo_quantiles": [1.0, 1.0, 1.5],
    }


def nothing() -> dict[str, Any]:
    """Make a state of which nothing was compared."""
    return {**curve(), **{name: [] for name in curve() if isinstance(curve()[name], list)}}


def test_each_state_has_its_shares_and_its_quantiles() -> None:
    """Each has a column; book, reference and placebo have their colours, and the pointer says where they part."""
    svg = distribution_chart([curve(), curve(1.5)])
    assert svg.standalone() == distribution_chart([curve(), curve(1.5)]).standalone()
    assert [text for text in words(svg) if text == "reference, quantiles"] == ["reference, quantiles"] * 2
    assert "book: farthest at 75 %: 4.5, reference 3" in hints(svg)
    assert "placebo: farthest at 50 %: 1, reference 2.5" in hints(svg)
    assert all(uses_colour(svg, name) for name in ("bid", "ask", "placebo"))


def test_equal_distributions_lie_on_the_diagonal() -> None:
    """Dots of equal quantiles are as far right as they are up; a shifted one is not."""

    def off_diagonal(shift: float) -> float:
        (line,) = (
            e
            for e in drawing(distribution_chart([curve(shift)])).iter(f"{SVG}line")
            if e.get("class") == "s-muted"
        )
        x1, y1, x2, y2 = (float(line.get(name, "nan")) for name in ("x1", "y1", "x2", "y2"))
        dots = next(
            element.get("d", "")
            for element in drawing(distribution_chart([curve(shift)])).iter(f"{SVG}path")
            if element.get("class") == "s-ask p"
        )
        places = [tuple(map(float, dot.removesuffix("h0").split())) for dot in dots.split("M")[1:]]
        return max(abs((x - x1) / (x2 - x1) - (y - y1) / (y2 - y1)) for x, y in places)

    assert off_diagonal(0.0) < 0.01
    assert off_diagonal(1.0) > 0.2


def test_nothing_compared_is_said() -> None:
    """Both panels of the state say so, and the other states are drawn."""
    svg = distribution_chart([nothing(), curve()])
    assert words(svg).count("no row was compared") == 2
    assert uses_colour(svg, "ask")


def test_without_a_placebo_there_is_none() -> None:
    """Books of one level have no placebo of this kind."""
    lacking = {**curve(), "placebo": [], "placebo_quantiles": []}
    assert not uses_colour(distribution_chart([lacking]), "placebo")
