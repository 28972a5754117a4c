"""Many reports side by side, and the page of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from order_book_platform.fidelity import FidelityReporter
from order_book_platform.fidelity.metrics.metric import failed_gates
from order_book_platform.fidelity.report.comparison import (
    LISTED,
    VERDICTS,
    Compared,
    compare_reports,
    count_gates,
    render_comparison,
    worst_first,
)
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import KEY, Market, make_settings, publish, publish_books
from order_book_platform_tests.oracle import OracleReplay


def day(number: int, symbol: str = KEY.instrument.key) -> PartitionKey:
    """A day of a symbol."""
    return PartitionKey.parse(symbol, (KEY.day + timedelta(days=number)).isoformat())


@pytest.fixture
def measured(tmp_path: Path, market: Market, replayed: OracleReplay) -> DataStore:
    """A faithful day, one with the book of another market, and one that nobody has measured."""
    store = DataStore(tmp_path / "store")
    for number, book in enumerate((replayed, Market(seed=8).replay(), replayed)):
        key = day(number)
        publish(store, "raw_deltas", {"deltas.parquet": market.deltas.to_arrow()}, key)
        publish(store, "snapshots", {"snapshots.parquet": market.snapshots.to_arrow()}, key)
        publish_books(store, book.rows, book.used, key)
        if number < 2:
            FidelityReporter(store, make_settings(tmp_path)).run(key)
    return store


def test_what_each_report_says_is_what_is_compared(measured: DataStore) -> None:
    """Verdict and failures as in report.json; books without a report are told."""
    good, bad, unmeasured = compare_reports(measured)
    assert [each.key for each in (good, bad, unmeasured)] == [day(0), day(1), day(2)]
    report = measured.report("fidelity_report", day(1))
    failed = [gate for gate in report["gates"] if not gate["passed"]]
    assert {(each.name, each.value, each.gate, each.severity == "error") for each in bad.failures} == {
        (gate["name"], gate["value"], gate["gate"], gate["severity"] == "error") for gate in failed
    }
    assert good.verdict in ("faithful", "warned")
    assert not failed_gates(good.failures, Severity.ERROR)
    assert (bad.verdict, unmeasured.verdict) == ("not faithful", "no report")
    assert bad.gates == len(report["gates"])
    assert Path(unquote(urlsplit(bad.report).path)).read_text().startswith("<!doctype html>")


def test_only_what_is_asked_for(measured: DataStore) -> None:
    """Symbols and days, both ends included."""
    assert [each.key for each in compare_reports(measured, first=day(1).day)] == [day(1), day(2)]
    assert [each.key for each in compare_reports(measured, last=day(0).day)] == [day(0)]
    assert compare_reports(measured, [KEY.instrument.key], day(1).day, day(1).day)[0].key == day(1)
    assert compare_reports(measured, ["OTHER:BTC-USDT"]) == []


def test_a_report_of_other_books_or_a_damaged_one_is_no_verdict(
    measured: DataStore, replayed: OracleReplay
) -> None:
    """Books made anew make it outdated; one that cannot be read says why, and the others are compared."""
    publish_books(measured, replayed.rows.slice(1), replayed.used, day(0))
    measured.path("fidelity_report", day(1), "report.json").write_text("{")
    outdated, unreadable, _ = compare_reports(measured)
    assert outdated.verdict == "outdated"
    assert "made anew" in outdated.said
    assert unreadable.verdict == "unreadable"
    assert "report.json" in unreadable.said


@pytest.mark.parametrize(
    "gates",
    [
        None,
        {},
        [{"name": "bbo"}],
        ["bbo"],
        [{"name": "bbo", "value": "1", "gate": "", "passed": False, "severity": "error"}],
    ],
)
def test_a_report_of_another_version_is_unreadable(measured: DataStore, gates: object) -> None:
    """Whatever its gates are, the other days are compared, and the remedy is said."""
    path = measured.path("fidelity_report", day(0), "report.json")
    report = json.loads(path.read_text())
    report["gates"] = gates
    if gates == {}:
        del report["gates"]
    path.write_text(json.dumps(report))
    manifest = path.parent / "manifest.json"
    sealed = json.loads(manifest.read_text())
    sealed["files"]["report.json"]["bytes"] = path.stat().st_size
    manifest.write_text(json.dumps(sealed))
    found, bad, _ = compare_reports(measured)
    assert (found.verdict, bad.verdict) == ("unreadable", "not faithful")
    assert "obp fidelity report" in found.said


def test_books_that_cannot_be_read_are_unreadable(measured: DataStore) -> None:
    """A damaged manifest of books, behind a sound report, is told, and the other days are compared."""
    (measured.folder("reconstructed_books", day(0)) / "manifest.json").write_text("{")
    found, bad, unmeasured = compare_reports(measured)
    assert [each.verdict for each in (found, bad, unmeasured)] == [
        "unreadable",
        "not faithful",
        "no report",
    ]
    assert "reconstructed_books" in found.said


def failure(name: str, value: float | None, bar: str, severity: Severity = Severity.ERROR) -> GateResult:
    """A gate that does not hold."""
    return GateResult(name, value, bar, passed=False, n=1, severity=severity)


def bad_day(number: int, *failures: GateResult, symbol: str = KEY.instrument.key) -> Compared:
    """One that is not faithful."""
    return Compared(day(number, symbol), "not faithful", failures, 20, report="file:///r.html")


def test_the_worst_come_first() -> None:
    """By verdict, then by errors; a gate is told with the failure that is farthest from its bar."""
    near, far = failure("bbo", 0.99, ">= 0.999"), failure("bbo", 0.5, ">= 0.999")
    unmeasured, warning = failure("bbo", None, ">= 0.999"), failure("known", 0.9, ">= 0.95", Severity.WARN)
    days = [
        Compared(day(0), "faithful"),
        bad_day(1, near, warning),
        replace(bad_day(2, warning), verdict="warned"),
        bad_day(3, far, unmeasured),
        Compared(day(4), "no report"),
    ]
    assert [each.key for each in worst_first(days)] == [day(3), day(1), day(4), day(2), day(0)]
    bbo, known = count_gates(days)
    assert (bbo.gate, bbo.failed, bbo.worst, bbo.where) == ("bbo", 3, far, day(3))
    assert (known.gate, known.failed, known.where) == ("known", 2, day(1))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_shown(verdict: str) -> None:
    """A verdict stands in the summary, in the key and under the pointer; bad days are listed with their reasons."""
    page = render_comparison([Compared(day(0), verdict, said="why it is so")])
    assert f"1 {verdict}" in page
    assert f">{verdict}</text>" in page
    assert f"{day(0)}: {verdict} (why it is so)" in page
    assert ("All days are faithful." in page) == (verdict == "faithful")
    assert page.count("why it is so") == (1 if verdict == "faithful" else 2)


def test_a_day_leads_to_its_report() -> None:
    """Calendar and list link to it; a failure has its figure and its bar, and a warning is called one."""
    failures = (failure("bbo", 0.5, ">= 0.999"), failure("known", None, ">= 0.95", Severity.WARN))
    page = render_comparison([bad_day(0, *failures)])
    assert page.count('href="file:///r.html"') == 2
    text = " ".join(page.split())
    assert "<b>bbo</b>: 0.5, required &gt;= 0.999" in text
    assert "<b>known</b> (warning): not measured, required &gt;= 0.95" in text
    assert "known <span class=muted>(warning)</span>" in text


def test_a_year_of_ten_symbols_is_one_small_page() -> None:
    """It has less than 2 MB, shows every day in the calendar, holes too, and loads nothing from elsewhere."""
    failures = tuple(failure(f"some_rather_long_gate_{n}", 0.123456789, ">= 0.999") for n in range(8))
    symbols = [f"BINANCE_FUTURES:COIN{n}-USDT-PERP" for n in range(10)]
    days = [
        bad_day(number, *failures, symbol=symbol) if number % 3 else Compared(day(number, symbol), "faithful")
        for symbol in symbols
        for number in range(365)
        if number != 100
    ]
    page = render_comparison(days)
    assert len(page.encode()) < 2_000_000
    assert page.count(": not faithful (some_rather_long_gate_0, ") == sum(
        each.failures != () for each in days
    )
    assert page.count(": no books") == len(symbols)
    assert f"And {sum(each.verdict != 'faithful' for each in days) - LISTED:,} more" in page
    assert "http" not in page
    assert "2,420 of 3,640 days are not faithful" in page


def test_words_cannot_become_markup_and_nothing_is_a_page_too() -> None:
    """Names and messages are escaped; without any day the page says so."""
    page = render_comparison([Compared(day(0), "unreadable", said="<script>")])
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 2
    assert "Nothing to compare" in render_comparison([])


def test_the_verdict_counts_what_it_names() -> None:
    """Warnings are no failures; days without a report are told before them."""
    warning = failure("known", 0.9, ">= 0.95", Severity.WARN)
    good, warned = Compared(day(0), "faithful"), Compared(day(1), "warned", (warning,))
    assert "All 1 days are faithful." in render_comparison([good])
    assert "All 2 days are faithful; 1 of them with warnings." in render_comparison([good, warned])
    assert "1 of 3 days have not been measured" in render_comparison(
        [good, warned, Compared(day(2), "no report")]
    )
