"""The comparison as a page."""

from __future__ import annotations

import pytest

from order_book_platform.fidelity.report.comparison import VERDICTS, Compared, Failure
from order_book_platform.fidelity.report.comparison_page import LISTED, render_comparison
from order_book_platform_tests.fidelity.report.test_comparison import bad_day, day


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
    failures = (Failure("bbo", 0.5, ">= 0.999", True), Failure("known", None, ">= 0.95", False))
    page = render_comparison([bad_day(0, *failures)])
    assert page.count('href="file:///r.html"') == 2
    text = " ".join(page.split())
    assert "<b>bbo</b>: 0.5, required &gt;= 0.999" in text
    assert "<b>known</b> (warning): not measured, required &gt;= 0.95" in text
    assert "known <span class=muted>(warning)</span>" in text


def test_a_year_of_ten_symbols_is_one_small_page() -> None:
    """It has less than 2 MB, shows every day in the calendar, holes too, and loads nothing from elsewhere."""
    failures = tuple(Failure(f"some_rather_long_gate_{n}", 0.123456789, ">= 0.999", True) for n in range(8))
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
    warning = Failure("known", 0.9, ">= 0.95", False)
    good, warned = Compared(day(0), "faithful"), Compared(day(1), "warned", (warning,))
    assert "All 1 days are faithful." in render_comparison([good])
    assert "All 2 days are faithful; 1 of them with warnings." in render_comparison([good, warned])
    assert "1 of 3 days have not been measured" in render_comparison(
        [good, warned, Compared(day(2), "no report")]
    )
