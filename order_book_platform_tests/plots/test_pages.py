"""Pages from templates; the calendar, whose squares look like their verdicts, as a figure and as a page."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from order_book_platform.plots import STYLE, Svg
from order_book_platform.plots.pages import (
    CalendarDay,
    VerdictStyle,
    calendar_chart,
    number_text,
    render_calendar,
    render_page,
)
from order_book_platform_tests.plots.frames import SVG, drawing, hints, words

SYMBOL = "BINANCE:BTC-USDT"
STYLES = (
    VerdictStyle("go", "bid"),
    VerdictStyle("no-go", "bad", mark="✕"),
    VerdictStyle("no report", "muted", "outlined", mark="?"),
    VerdictStyle("missing", "muted", "hatched"),
)


def days(verdict: str = "go", symbol: str = SYMBOL, count: int = 366) -> list[CalendarDay]:
    """Days of 2024 with one verdict, wholly covered."""
    return [CalendarDay(symbol, date(2024, 1, 1) + timedelta(days=n), verdict) for n in range(count)]


def squares(figure: Svg) -> list[ElementTree.Element]:
    """The squares of days, without those of the key."""
    parents = [element for kind in ("a", "g") for element in drawing(figure).iter(f"{SVG}{kind}")]
    return [square for parent in parents for square in parent.iter(f"{SVG}rect")]


@pytest.mark.parametrize(
    ("verdict", "style"),
    [("go", "f-bid"), ("no-go", "f-bad"), ("no report", "f-ground s-muted"), ("missing", "f-ground s-muted")],
)
def test_a_day_looks_like_its_verdict(verdict: str, style: str) -> None:
    """Every square has the style of the verdict, and the key explains all verdicts."""
    figure = calendar_chart(days(verdict), STYLES)
    assert Counter(square.get("class") for square in squares(figure)) == {style: 366}
    assert {each.name for each in STYLES} <= set(words(figure))


def test_missing_days_are_hatched() -> None:
    """A day without files differs from one that nobody asked for; the key has one hatched square too."""
    figure = calendar_chart(days("missing", count=10), STYLES)
    assert figure.inline().count("<path") == 11
    assert calendar_chart(days(count=10), STYLES).inline().count("<path") == 1


def test_marks_tell_verdicts_without_colour() -> None:
    """Each square of a verdict with a mark has it, and so has the key."""
    assert words(calendar_chart(days("no-go", count=10), STYLES)).count("✕") == 11
    assert words(calendar_chart(days(count=10), STYLES)).count("✕") == 1


@pytest.mark.parametrize(
    ("strength", "opacity"), [(1.0, None), (7.0, None), (0.5, "0.6"), (0.0, "0.2"), (-1.0, "0.2")]
)
def test_strength_is_opacity(strength: float, opacity: str | None) -> None:
    """A day that is half covered is paler than a whole one; even one of which nothing is covered can be seen."""
    (square,) = squares(calendar_chart([replace(days()[0], strength=strength)], STYLES))
    assert square.get("class") == "f-bid"
    assert square.get("fill-opacity") == opacity


def test_unknown_strength_is_an_outline() -> None:
    """A day of which nobody knows how much is covered has the colour of its verdict around it."""
    (square,) = squares(calendar_chart([replace(days()[0], strength=None)], STYLES))
    assert square.get("class") == "f-ground s-bid"


def test_weeks_go_right_and_begin_on_monday() -> None:
    """1 January 2024 was a Monday: eight days on is one column to the right and one row down."""
    first, eighth = squares(calendar_chart([days()[0], days()[8]], STYLES))
    places = [[float(square.get(name, "nan")) for name in ("x", "y")] for square in (first, eighth)]
    assert places[1][0] - places[0][0] == places[1][1] - places[0][1] > 0


def test_each_symbol_and_year_has_a_band() -> None:
    """Bands differ in height of the figure only; years are named where there are several."""
    one = calendar_chart(days(), STYLES)
    two = calendar_chart([*days(), *days(symbol="BINANCE:ETH-USDT")], STYLES)
    over = [CalendarDay(SYMBOL, date(2023, 12, 1) + timedelta(days=n), "go") for n in range(60)]
    assert two.height_px > one.height_px
    assert calendar_chart(over, STYLES).height_px == two.height_px
    assert "2023" in words(calendar_chart(over, STYLES))
    assert "2024" not in words(one)


def test_months_are_named_where_there_is_space() -> None:
    """All months of a year; a first month that is nearly over gives way to the next."""
    assert [text for text in words(calendar_chart(days(), STYLES)) if len(text) == 3][:2] == ["Jan", "Feb"]
    late = [CalendarDay(SYMBOL, date(2024, 1, 30) + timedelta(days=n), "go") for n in range(40)]
    texts = words(calendar_chart(late, STYLES))
    assert "Jan" not in texts
    assert {"Feb", "Mar"} <= set(texts)
    assert "Jan" in words(calendar_chart(late[:1], STYLES))


def test_days_tell_and_link() -> None:
    """Under the pointer stand symbol, day, verdict and note, escaped; a link leads where it should."""
    first, second = days(count=2)
    figure = calendar_chart([replace(first, note="<half>", link="file:///a?b&c"), second], STYLES)
    assert hints(figure) == [f"{SYMBOL} 2024-01-01: go (<half>)", f"{SYMBOL} 2024-01-02: go"]
    assert [element.get("href") for element in drawing(figure).iter(f"{SVG}a")] == ["file:///a?b&c"]


def test_a_verdict_without_style_is_an_error() -> None:
    """No day is left out in silence."""
    with pytest.raises(KeyError, match="odd"):
        calendar_chart(days("odd", count=1), STYLES)


def test_equal_days_give_equal_bytes() -> None:
    """Neither the time nor the order of the days plays a part; a title is drawn and read out."""
    figure = calendar_chart(days(count=40), STYLES, title="A & B")
    assert figure.standalone() == calendar_chart(days(count=40)[::-1], STYLES, title="A & B").standalone()
    assert words(figure)[0] == "A & B"
    assert next(drawing(figure).iter(f"{SVG}title")).text == "A & B"


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
