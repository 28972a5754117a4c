"""Figures of gaps and of latency."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.plots.gap_chart import gap_chart, latency_chart
from order_book_platform_tests.plots.frames import SECOND, START_NS, SVG, drawing, hints, uses_colour, words

END_NS = START_NS + 3_600 * SECOND


def gaps(rows: list[tuple[str, str, str, float, float]]) -> pl.DataFrame:
    """Make gaps from tuples of kind, cause, class, and start and end in seconds."""
    filler: dict[str, object] = {"string": "", "bool": False}
    return pl.from_arrow(
        GAPS_SCHEMA.empty_table().from_pylist(
            [
                {
                    **{field.name: filler.get(str(field.type), 0) for field in GAPS_SCHEMA},
                    "kind": kind,
                    "cause": cause,
                    "gap_class": name,
                    "from_origin_time": START_NS + int(start * SECOND),
                    "to_origin_time": START_NS + int(end * SECOND),
                }
                for kind, cause, name, start, end in rows
            ],
            schema=GAPS_SCHEMA,
        )
    )


def test_each_kind_and_cause_has_a_lane() -> None:
    """The figure grows with the lanes; small gaps and others have their own colours; each lane says its length."""
    few = gap_chart(gaps([("inferred", "silence", "small", 10, 11)]), START_NS, END_NS)
    many = gap_chart(
        gaps(
            [
                ("inferred", "silence", "small", 10, 11),
                ("inferred", "crossed", "large", 100, 400),
                ("exact", "sequence", "large", 2_000, 2_000),
            ]
        ),
        START_NS,
        END_NS,
    )
    assert many.height_px > few.height_px
    assert uses_colour(few, "doubt")
    assert not uses_colour(few, "bad")
    assert uses_colour(many, "bad")
    assert {"crossed", "inferred, 1", "300.0 s in all", "Gaps over time, 3", "small", "large"} <= set(
        words(many)
    )


def test_a_gap_of_no_length_is_still_seen() -> None:
    """A missing message between two of the same millisecond is as wide as the eye needs."""
    svg = gap_chart(gaps([("exact", "sequence", "small", 1_800, 1_800)]), START_NS, END_NS)
    assert uses_colour(svg, "doubt")
    assert "h3v22" in svg.inline()


def test_a_day_without_gaps_says_so() -> None:
    """An empty report is a readable figure, not an error; the data may even have no length."""
    told = words(gap_chart(gaps([]), START_NS, END_NS))
    assert "No gaps from 2024-08-08 23:54:15 to 2024-08-09 00:54:15 UTC" in told
    assert any(text.startswith("No gaps") for text in words(gap_chart(gaps([]), START_NS, START_NS)))


def test_thousands_of_gaps_are_drawn_and_repeat() -> None:
    """A broken day stays quick and small, and the text does not depend on the run or the order of rows."""
    rows = [
        ("inferred", "silence", "small" if i % 3 else "large", i * 0.5, i * 0.5 + i % 7 / 10)
        for i in range(5_000)
    ]
    frame = gaps(rows)
    svg = gap_chart(frame, START_NS, END_NS)
    assert len(svg.standalone()) < 40_000
    assert svg.standalone() == gap_chart(frame.reverse(), START_NS, END_NS).standalone()


def clocks(offset_ms: float = 0.0, drift_ppm: float = 0.0, windows: int = 30) -> dict[str, Any]:
    """Make the report of a clock that is off and drifts, as a gap report has it."""
    points = [
        [START_NS + 10 * SECOND * window, 2.0 + offset_ms + drift_ppm * 10 * window / 1_000]
        for window in range(windows)
    ]
    return {
        "latency_ms": {name: value + offset_ms for name, value in (("p1", 2.5), ("p50", 4.0), ("p99", 9.25))},
        "envelope": points,
        "envelope_window_s": 10,
        "skew_ms": 2.0 + offset_ms + drift_ppm * 10 * (windows - 1) / 2 / 1_000,
        "drift_ppm": drift_ppm,
    }


@pytest.mark.parametrize("offset", [0.0, -1_300.0, 80.0])
def test_quantiles_and_clocks_are_shown_and_told(offset: float) -> None:
    """Bars have their values, skew and drift are written, whatever the sign, and the figure repeats."""
    found = clocks(offset, drift_ppm=50.0)
    svg = latency_chart(found)
    assert svg.standalone() == latency_chart(found).standalone()
    assert {"p1", "p50", "p99", f"{9.25 + offset:,.2f}"} <= set(words(svg))
    assert f"skew {found['skew_ms']:,.3f} ms, drift 50.0000 ppm" in words(svg)


def test_the_drift_lies_on_the_envelope() -> None:
    """The line of a clock that only drifts goes through the fastest messages."""
    paths = {
        element.get("class"): element.get("d", "")
        for element in drawing(latency_chart(clocks(drift_ppm=50.0))).iter(f"{SVG}path")
    }
    (x1, y1), (x2, y2) = (map(float, part.split()) for part in paths["s-doubt"].removeprefix("M").split("L"))
    for dot in paths["s-bid p"].split("M")[1:]:
        x, y = map(float, dot.removesuffix("h0").split())
        assert y == pytest.approx(y1 + (x - x1) / (x2 - x1) * (y2 - y1), abs=0.3)


def test_the_gate_is_shown_where_it_is_in_reach() -> None:
    """A median of 84 ms stands beside its bar; one of 4 ms does not need it."""
    assert "p50's gate" in words(latency_chart(clocks(80.0)))
    assert "p50's gate" not in words(latency_chart(clocks()))
    assert "p50's gate" not in words(latency_chart(clocks(-1_300.0)))


@pytest.mark.parametrize(
    "found", [{}, {"latency_ms": {}, "envelope": [], "skew_ms": None, "drift_ppm": None}]
)
def test_what_is_missing_is_said(found: dict[str, Any]) -> None:
    """Without arrival times or windows both panels say so."""
    told = words(latency_chart(found))
    assert "Nothing to show: no message has both times." in told
    assert "Nothing to show: fewer than two windows have messages enough." in told


def test_few_windows_have_no_drift() -> None:
    """The points are drawn, but no line goes through them."""
    svg = latency_chart({**clocks(windows=2), "skew_ms": None, "drift_ppm": None})
    assert "skew: too few windows, drift: too few windows" in words(svg)
    assert not uses_colour(svg, "doubt")
    assert hints(svg) == ["2 to 2 ms"]
