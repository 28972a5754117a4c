"""The calendar as a page of its own."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from order_book_platform.plots.pages.calendar_page import render_calendar
from order_book_platform_tests.plots.test_calendar_chart import STYLES, SYMBOL, days

VERDICTS = tuple(style.name for style in STYLES)
WORST = ("no-go",)


def test_the_page_stands_alone() -> None:
    """The calendar is inside, for both grounds; counts are a table; text is escaped; nothing is fetched."""
    page = render_calendar(
        days(count=3),
        STYLES,
        title="Days <b>",
        lines=["3 < 4"],
        verdicts=VERDICTS,
        reasons=["", "", ""],
        worst=WORST,
    )
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 1
    assert "prefers-color-scheme:dark" in page
    assert "<h1>Days &lt;b&gt;</h1>" in page
    assert "<p>3 &lt; 4</p>" in page
    cells = "".join(f"<td class=number>{count}</td>" for count in (3, 0, 0, 0))
    assert f"<tr><td>{SYMBOL}</td>{cells}</tr>" in page
    assert "Days to look at" not in page
    assert not re.search(r'(src|href|srcset)="', page)


def test_the_page_lists_days_with_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons are escaped; if there are too many the worst days stay, and the page says how many more there are."""
    found = days(count=4)
    found[3] = replace(found[3], verdict="no-go")
    values = {
        "title": "Days",
        "lines": (),
        "verdicts": VERDICTS,
        "reasons": ["", "day_coverage 0.5 (>= 0.99)", "", "SourceCorruptError: <1>.parquet"],
        "worst": WORST,
    }
    page = render_calendar(found, STYLES, **values)
    assert re.findall(r"<tr><td>(2024-..-..)</td>", page) == ["2024-01-02", "2024-01-04"]
    assert "SourceCorruptError: &lt;1&gt;.parquet" in page
    assert "more." not in page
    monkeypatch.setattr("order_book_platform.plots.pages.calendar_page.LISTED", 1)
    page = render_calendar(found, STYLES, **values)
    assert re.findall(r"<tr><td>(2024-..-..)</td>", page) == ["2024-01-04"]
    assert "1 more." in page


def test_a_year_of_twenty_symbols_is_a_small_page() -> None:
    """Less than 2 MB, with a sentence under the pointer for each day."""
    many = [
        replace(day, symbol=f"BINANCE:COIN{number}-USDT", strength=0.5, note="50.0% covered")
        for number in range(20)
        for day in days()
    ]
    page = render_calendar(
        many, STYLES, title="", lines=(), verdicts=VERDICTS, reasons=[""] * len(many), worst=WORST
    )
    assert len(page.encode()) < 2_000_000
