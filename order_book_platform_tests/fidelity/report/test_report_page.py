"""report.html: its verdict, its tables and what is folded; which figures are drawn, and the span of the gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from order_book_platform.datasets.book_sample import time_steps
from order_book_platform.fidelity import draw_pictures
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.fidelity.report.report_page import (
    ERRORS_SNAPSHOTS,
    PICTURES,
    delta_span,
    render_report,
)
from order_book_platform.model import Gate, Severity
from order_book_platform.plots import Svg
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    publish_books,
    publish_inputs,
    report_files,
)
from order_book_platform_tests.oracle import OracleReplay


def test_a_near_miss_is_seen_on_the_page() -> None:
    """Verdict, table and placebos show as many digits as it takes."""
    metric = Metric("near", 0.99899996, 5, Gate(">=", 0.999), placebos=(0.9986, None), note="n")
    text = render_report(KEY, (metric.result,), (metric,), {}, (), {})
    assert "0.99899996, required &gt;= 0.999" in text
    assert "<td class=number>0.99899996</td>" in text
    assert "0.9986 <small>1s" in text


def test_text_is_escaped() -> None:
    """Whatever a note says, it cannot become markup."""
    metric = Metric("a<b>", 0.5, 3, Gate(">=", 0.9), note="x & <script>")
    assert metric.result is not None
    text = render_report(
        KEY,
        (metric.result,),
        (metric,),
        {"snapshots": ReferenceCounts(rows=9, defects={"crossed": 2}, other_day=3, far_off=4)},
        (("T <t>", "read & see", Svg(10, "s")),),
        {"replay_hash": "<00>"},
    )
    assert "<script>" not in text
    assert "x &amp; &lt;script&gt;" in text
    assert "&lt;00&gt;" in text
    assert "2 crossed, 3 other day, 4 far off" in text
    assert "T &lt;t&gt;" in text
    assert "read &amp; see" in text
    assert "&gt;= 0.9" in text


def verdict(*metrics: Metric) -> str:
    """Return the part of the page that has its verdict on metrics."""
    gates = tuple(metric.result for metric in metrics if metric.result is not None)
    text = " ".join(render_report(KEY, gates, metrics, {}, (), {}).split())
    return text[text.index('<div class="verdict') : text.index("<ul class=guide>")]


def test_a_warning_is_told_and_is_no_error() -> None:
    """The verdict names what warns but stays good; an error makes it bad, and both are listed."""
    good = Metric("good", 1.0, 5, Gate(">=", 0.9), note="g")
    warns = Metric("knows", 0.5, 5, Gate(">=", 0.9, Severity.WARN), note="w")
    wrong = Metric("wrong", 0.5, 5, Gate(">=", 0.9), note="e")
    assert "Faithful: all 1 gates hold." in verdict(good)
    told = verdict(good, warns)
    assert 'class="verdict pass"' in told
    assert "Faithful: 1 of 2 gates hold, 1 warns." in told
    assert "<b>knows</b> (warning): 0.5, required &gt;= 0.9. w" in told
    told = verdict(good, warns, wrong)
    assert 'class="verdict fail"' in told
    assert "Not faithful: 1 of 3 gates fail, 1 warns." in told
    assert told.index("<b>wrong</b>") < told.index("<b>knows</b>")


def test_the_table_shows_whether_a_failure_is_a_warning() -> None:
    """FAIL is for errors only."""
    for severity, word in ((Severity.WARN, "warn"), (Severity.ERROR, "FAIL")):
        metric = Metric("m", 0.5, 5, Gate(">=", 0.9, severity), note="n")
        assert f"<td class=no>{word}</td>" in render_report(KEY, (), (metric,), {}, (), {})


def test_gates_are_shown_and_what_is_long_is_folded() -> None:
    """A gated figure stands in the open table with its placebos by name; the others, and the rules, can be unfolded."""
    gated = Metric("gated", 1.0, 5, Gate(">=", 0.9), placebos=(0.25, None), note="g")
    other = Metric("other", 7.0, 5, note="o")
    text = render_report(KEY, (), (gated, other), {}, (), {})
    opened, folded = text.split("<h2>Figures without a gate</h2>")
    assert "gated<small>g</small>" in opened
    assert "0.25 <small>1s</small><br>not measured <small>10s</small>" in opened
    assert "other<small>o</small>" not in opened
    assert "<details><summary>1 more figures of the day</summary>" in folded
    assert folded.index("other<small>o</small>") < folded.index("<h2>Evidence</h2>")


def test_the_charts_can_be_drawn_from_the_published_report(published: DataStore) -> None:
    """Assets show the same charts as the page."""
    pictures = draw_pictures(published, KEY)
    assert list(pictures) == [title for title in PICTURES if title != ERRORS_SNAPSHOTS]
    page = report_files(published)["report.html"].decode()
    for title, svg in pictures.items():
        assert f"<h2>{title}</h2>" in page
        drawn = svg[svg.index("</style>") :].partition("<title>")[2]
        assert drawn in page


def test_deltas_without_an_origin_time_do_not_stretch_the_gaps(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """Their span begins with the book's, not in 1970; without such deltas it is their own."""
    store = DataStore(tmp_path / "store")
    deltas, rows = market.deltas, pl.from_arrow(replayed.rows)
    steps = time_steps(rows["origin_time"].to_numpy(), rows["flags"].to_numpy())
    publish_inputs(store, deltas, market.snapshots)
    publish_books(store, replayed.rows, replayed.used)
    assert delta_span(DayInputs.open(store, KEY), steps) == (
        deltas.origin_time.min(),
        deltas.origin_time.max(),
    )
    origin_time = np.where(np.arange(len(deltas)) == 50, 0, deltas.origin_time)
    publish_inputs(store, replace(deltas, origin_time=origin_time), market.snapshots)
    assert delta_span(DayInputs.open(store, KEY), steps) == (steps.first_ns, steps.last_ns)
