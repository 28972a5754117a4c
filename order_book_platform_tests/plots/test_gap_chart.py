"""Gaps over the day."""

from __future__ import annotations

import polars as pl

from order_book_platform.datasets.sequence_gap_report import GAPS_SCHEMA
from order_book_platform.plots.gap_chart import gap_chart
from order_book_platform_tests.plots.frames import SECOND, START_NS, uses_colour, words

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
