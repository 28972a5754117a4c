"""The published partition: what is in it, that it repeats, and that it stands alone."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.errors import PartitionMissingError
from order_book_platform.fidelity import FidelityReporter, draw_pictures
from order_book_platform.fidelity.report.report_page import PICTURES, READ
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    exact_tickers,
    make_settings,
    publish,
    publish_books,
    publish_inputs,
    report_files,
)
from order_book_platform_tests.oracle import OracleReplay


def test_the_partition_holds_metrics_report_and_page(published: DataStore) -> None:
    """All files of the design are there, with the inputs' fingerprints, and match their manifest."""
    manifest = published.check("fidelity_report", KEY)
    assert set(manifest.files) == {"metrics.parquet", "report.json", "report.html"}
    assert manifest.metadata["passed"] is True
    assert manifest.metadata["gates_failed"] == []
    assert manifest.metadata["gates_warned"] == []
    assert manifest.inputs == {
        name: published.manifest(name, KEY).fingerprint
        for name in ("reconstructed_books", "raw_deltas", "sequence_gap_report", "snapshots")
    }
    table = published.table("fidelity_report", KEY)
    assert table.schema.remove_metadata() == METRICS_SCHEMA
    assert "bbo_exact_seq" in table["name"].to_pylist()


def test_the_json_report_says_the_same_as_the_metrics(published: DataStore) -> None:
    """Gates, metrics, counts of references, windows and levels, in JSON without NaN."""
    report = published.report("fidelity_report", KEY)
    rows = published.table("fidelity_report", KEY).to_pylist()
    assert [{key: row[key] for key in rows[0]} for row in report["metrics"]] == rows
    assert report["passed"] is True
    assert report["references"]["snapshots"]["held_out"] > 0
    assert sum(report["windows"]["n"]) == report["references"]["snapshots"]["held_out"]
    assert len(report["levels"]["side"]) == 40
    assert np.array(report["level_windows"]["known"]).shape == (40, len(report["level_windows"]["start_ns"]))
    assert [state["name"] for state in report["states"]] == [
        "spread",
        "log_q_bid",
        "log_q_ask",
        "qi_1",
        "qi_5",
    ]
    json.dumps(report, allow_nan=False)


def test_a_second_run_gives_the_same_bytes(published: DataStore, tmp_path: Path) -> None:
    """Figures, tables and text carry nothing of the time or the process that made them."""
    before = report_files(published)
    FidelityReporter(published, make_settings(tmp_path)).run(KEY)
    assert report_files(published) == before


def test_the_page_stands_alone(published: DataStore) -> None:
    """It is below 2 MB, refers to nothing outside, follows the reader's theme, and says the verdict first."""
    page = report_files(published)["report.html"].decode()
    assert len(page) < 2_000_000
    links = re.findall(r"""(?:src|href|srcset)=["']?([^"'> ]+)""", page)
    assert len(links) == 6
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "url(" not in page
    assert "http" not in page
    assert "@import" not in page
    assert "prefers-color-scheme:dark" in page
    body = page[page.index("<body>") :]
    assert body.index("Faithful: all") < body.index("<svg") < body.index("<table>")


def test_a_failing_page_names_each_failed_gate(tmp_path: Path, market: Market) -> None:
    """Without references the verdict lists every gate that could not be shown to hold."""
    store = DataStore(tmp_path / "store")
    lacking = market.replay(extend_every=0)
    publish_inputs(store, market.deltas, market.snapshots.take(slice(0, 1)))
    publish_books(store, lacking.rows, lacking.used)
    report = FidelityReporter(store, make_settings(tmp_path)).run(KEY)
    assert not report.passed
    page = report_files(store)["report.html"].decode()
    failed = [gate.name for gate in report.gates if not gate.passed]
    verdict = page[page.index('class="verdict fail"') : page.index("<figure>")]
    assert all(f"<b>{name}</b>" in verdict for name in failed)
    assert "not measured" in verdict
    metadata = store.manifest("fidelity_report", KEY).metadata
    assert metadata["gates_warned"] == ["bbo_known_share", "topk_exact_all"]
    assert [name for name in failed if name not in metadata["gates_warned"]] == metadata["gates_failed"]


def test_the_page_shows_all_there_is_to_see(published: DataStore) -> None:
    """Every figure has its heading, its sentence and a drawing; none of a day with everything says there is nothing."""
    page = report_files(published)["report.html"].decode()
    shown = re.findall(
        r"<figure><h2>(.*?)</h2><figcaption>(.*?)</figcaption><div class=drawing><svg", page, re.DOTALL
    )
    assert [title for title, _ in shown] == [
        *("Error over time", "Levels over time", "Levels: match and correlation", "Distributions"),
        *("Drift between snapshots", "Latency and clocks", "Gaps", "The book"),
    ]
    assert {unescape(read) for _, read in shown} == set(READ.values())
    # The fixture's gap report has quantiles, but no envelope.
    assert re.findall(r"Nothing to show[^<]*", page) == [
        "Nothing to show: fewer than two windows have messages enough."
    ]


def test_a_wrong_book_shows_in_the_levels_over_time(tmp_path: Path, market: Market) -> None:
    """Of another market: most cells are wrong, and its distributions are others."""
    store = DataStore(tmp_path / "store")
    other = Market(seed=8).replay()
    publish_inputs(store, market.deltas, market.snapshots)
    publish_books(store, other.rows, other.used)
    FidelityReporter(store, make_settings(tmp_path)).run(KEY)
    report = store.report("fidelity_report", KEY)
    cells = report["level_windows"]
    known, exact = (np.array(cells[name]) for name in ("known", "exact"))
    assert exact.sum() < known.sum() / 2
    spread, sizes, *_ = report["states"]
    assert sizes["book"] != sizes["reference"]
    assert spread["unit"] == "ticks"
    assert 1 - min(report["drift"]["exact_share"]) > 0.5


def test_missing_inputs_leave_the_old_report(published: DataStore, tmp_path: Path) -> None:
    """No books: the error names what is missing, and nothing is published."""
    empty = DataStore(tmp_path / "none")
    with pytest.raises(PartitionMissingError, match="reconstructed_books"):
        FidelityReporter(empty, make_settings(tmp_path)).run(KEY)
    assert not empty.exists("fidelity_report", KEY)


def test_errors_that_only_snapshots_see_are_drawn(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """Tickers of the book itself agree with it; the snapshots of another market do not, and both are shown."""
    store = DataStore(tmp_path / "store")
    other = Market(seed=8).replay()
    publish_inputs(store, market.deltas, market.snapshots)
    publish_books(store, other.rows, other.used)
    publish(store, "tickers", {"tickers.parquet": exact_tickers(other)})
    FidelityReporter(store, make_settings(tmp_path)).run(KEY)
    report = store.report("fidelity_report", KEY)
    assert report["windows_reference"] == "tickers"
    assert set(report["windows"]["exact_share"]) == {1.0}
    assert max(report["snapshot_windows"]["exact_share"]) < 1.0
    page = report_files(store)["report.html"].decode()
    assert page.index("<h2>Error over time</h2>") < page.index("<h2>Error over time, against snapshots</h2>")
    assert list(draw_pictures(store, KEY)) == list(PICTURES)
