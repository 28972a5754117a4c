"""Pages from templates, and the calendar as a page."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from order_book_platform.plots import STYLE
from order_book_platform.plots.pages import number_text, render_calendar, render_page
from order_book_platform_tests.plots.test_calendar_chart import STYLES, SYMBOL, days


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a package whose template shows `text` and `value` in the shared document."""
    (tmp_path / "paged" / "templates").mkdir(parents=True)
    (tmp_path / "paged" / "__init__.py").write_text("")
    (tmp_path / "paged" / "templates" / "own.html.j2").write_text(
        '{% extends "page.html.j2" %}{% block content %}{{ text }}|{{ value | number }}|{{ 1234 | count }}'
        "{% endblock %}"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "paged", raising=False)
    return "paged"


def test_a_page_extends_the_shared_document(package: str) -> None:
    """It begins as HTML, has the title twice, the styles of pages and of figures, and escapes every text."""
    page = render_page(package, "own.html.j2", title="a < b", text="<script>", value=0.5)
    assert page.startswith("<!doctype html>\n")
    assert page.endswith("</html>\n")
    assert page.count("a &lt; b") == 2
    assert "&lt;script&gt;|0.5|1,234" in page
    assert "<script>" not in page
    assert STYLE in page
    assert ".verdict{" in page
    assert page == render_page(package, "own.html.j2", title="a < b", text="<script>", value=0.5)


def test_a_lacking_value_is_an_error(package: str) -> None:
    """A page never has a hole where a value ought to be."""
    with pytest.raises(UndefinedError, match="text"):
        render_page(package, "own.html.j2", title="", value=1.0)


def test_an_unknown_template_is_an_error(package: str) -> None:
    """The error names the template."""
    with pytest.raises(TemplateNotFound, match=r"other\.html\.j2"):
        render_page(package, "other.html.j2")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.0, "0"),
        (1.0, "1"),
        (-0.25, "-0.25"),
        (0.9996771068, "0.999677"),
        (1234567.0, "1,234,567"),
        (2144.13344, "2144.13"),
        (12345678.9, "12,345,679"),
        (0.0000123, "1.23e-05"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    """Whole numbers are written in full, others to six significant digits."""
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "bar", "text"),
    [
        (0.99899996, ">= 0.999", "0.99899996"),
        (0.999, ">= 0.999", "0.999"),
        (0.9989, ">= 0.999", "0.9989"),
        (0.1 + 1e-15, "<= 0.1", "0.100000000000001"),
        (1_000_000.25, "<= 1e+06", "1000000.2"),
        (0.0009999999, "< 0.001", "0.0009999999"),
        (float("nan"), ">= 0.999", "nan"),
        (float("inf"), "", "inf"),
        (None, ">= 0.999", "not measured"),
    ],
)
def test_what_fails_does_not_look_as_if_it_held(value: float | None, bar: str, text: str) -> None:
    """A figure has more digits where rounding would put it on the other side of its bar."""
    assert number_text(value, bar=bar) == text


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
    monkeypatch.setattr("order_book_platform.plots.pages.LISTED", 1)
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
