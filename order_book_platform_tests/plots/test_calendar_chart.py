"""The calendar: a square for each day that looks like its verdict, with text under the pointer and a link."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest

from order_book_platform.plots import Svg
from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
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
