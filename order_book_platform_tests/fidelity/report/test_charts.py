"""Figures of the report: which are drawn, and the span of the gaps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.datasets.book_sample import TimeSteps, time_steps
from order_book_platform.fidelity import FidelityReporter, draw_pictures
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.report.charts import ERRORS_SNAPSHOTS, PICTURES, DrawnGaps
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    make_settings,
    publish_books,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, market: Market, replayed: OracleReplay) -> DataStore:
    """A store with the report of the faithful book."""
    root = tmp_path_factory.mktemp("published")
    store = DataStore(root / "store")
    publish_inputs(store, market.deltas, market.snapshots)
    publish_books(store, replayed.rows, replayed.used)
    report = FidelityReporter(store, make_settings(root)).run(KEY)
    assert report.passed
    assert report.manifest == store.manifest("fidelity_report", KEY)
    assert {gate.name for gate in report.gates} == {m.gate_name for m in report.metrics if m.gate is not None}
    return store


def files(store: DataStore) -> dict[str, bytes]:
    """The partition's files."""
    return {path.name: path.read_bytes() for path in store.folder("fidelity_report", KEY).iterdir()}


def test_the_charts_can_be_drawn_from_the_published_report(published: DataStore) -> None:
    """Assets show the same charts as the page."""
    pictures = draw_pictures(published, KEY)
    assert list(pictures) == [title for title in PICTURES if title != ERRORS_SNAPSHOTS]
    page = files(published)["report.html"].decode()
    for title, svg in pictures.items():
        assert f"<h2>{title}</h2>" in page
        drawn = svg[svg.index("</style>") :].partition("<title>")[2]
        assert drawn in page


def drawn_gaps(store: DataStore, steps: TimeSteps) -> DrawnGaps:
    """The gaps of the one day as they are drawn."""
    day = DayInputs.open(store, KEY)
    return DrawnGaps.of(day.gaps, day.gap_report, day.deltas, steps)


def test_deltas_without_an_origin_time_do_not_stretch_the_gaps(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """Their span begins with the book's, not in 1970; without such deltas it is their own."""
    store = DataStore(tmp_path / "store")
    deltas, rows = market.deltas, pl.from_arrow(replayed.rows)
    steps = time_steps(rows["origin_time"].to_numpy(), rows["flags"].to_numpy())
    publish_inputs(store, deltas, market.snapshots)
    publish_books(store, replayed.rows, replayed.used)
    found = drawn_gaps(store, steps)
    assert (found.first_ns, found.last_ns) == (deltas.origin_time.min(), deltas.origin_time.max())
    origin_time = np.where(np.arange(len(deltas)) == 50, 0, deltas.origin_time)
    publish_inputs(store, replace(deltas, origin_time=origin_time), market.snapshots)
    found = drawn_gaps(store, steps)
    assert (found.first_ns, found.last_ns) == (steps.first_ns, steps.last_ns)
