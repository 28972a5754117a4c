"""The calendar: a square a day, in the colour of its verdict, hatched where there is none; a page of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from order_book_platform.plots.calendar import CalendarDay, calendar, calendar_page
from order_book_platform.plots.figure import DARK, LIGHT
from order_book_platform_tests.plots.frames import has_colour, pixels

ROW = "BINANCE:BTC-USDT"


def year(verdict: str = "go", row: str = ROW, days: int = 366) -> list[CalendarDay]:
    """Days of 2024 with one verdict, wholly covered."""
    return [CalendarDay(row, date(2024, 1, 1) + timedelta(days=n), verdict, 1.0) for n in range(days)]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(
    ("verdict", "colour"), [("go", "bid"), ("go with repair", "doubt"), ("no-go", "bad"), ("damaged", "ask")]
)
def test_a_verdict_has_its_colour(theme: object, verdict: str, colour: str) -> None:
    """Much of the picture has it, in either theme, and without such days only its place in the legend has."""
    drawn = pixels(calendar(year(verdict), theme=theme))
    other = pixels(calendar(year("missing"), theme=theme))
    count = lambda image: (image[..., :3] == _rgb(getattr(theme, colour))).all(axis=-1).sum()  # noqa: E731
    assert count(drawn) > 20_000
    assert 0 < count(other) < 2_000


def _rgb(colour: str) -> list[int]:
    return list(bytes.fromhex(colour[1:]))


def test_missing_days_are_hatched() -> None:
    """Not blank: a day without files is not a day that nobody asked for."""
    assert has_colour(calendar(year("missing")), LIGHT.muted)
    few, many = (pixels(calendar(year("missing", days=n))) for n in (10, 300))
    assert (many != 255).sum() > (few != 255).sum()


def test_coverage_is_strength() -> None:
    """A day that is half covered is paler than a whole one; one of which nothing is known is an outline."""
    whole = calendar(year())
    half, none = (calendar([replace(each, coverage=share) for each in year()]) for share in (0.5, None))
    darkness = [int((255 - pixels(each)[..., :3].astype(int)).sum()) for each in (whole, half, none)]
    assert darkness == sorted(darkness, reverse=True)
    assert len(set(darkness)) == 3


def test_a_damaged_day_is_not_faint() -> None:
    """Nothing is known of what it covers, and it is what has to be seen."""
    unknown = [replace(each, coverage=None) for each in year("damaged")]
    assert calendar(unknown) == calendar(year("damaged"))


def test_the_page_lists_days_with_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts as they are given, reasons escaped; of too many the worst stay, and how many more there are is said."""
    days = year(days=4)
    days[1] = replace(days[1], why="day_coverage 0.5 (>= 0.99)")
    days[3] = replace(days[3], verdict="damaged", coverage=None, why="SourceCorruptError: <1>.parquet")
    counts = {ROW: {"go": 3, "no-go": 0, "damaged": 1}}
    page = calendar_page(days, title="Days", lines=[], counts=counts)
    assert "<th>go</th><th>no-go</th><th>damaged</th>" in page
    assert page.count("<td>2024-") == 2
    assert "SourceCorruptError: &lt;1&gt;.parquet" in page
    monkeypatch.setattr("order_book_platform.plots.calendar.LISTED", 1)
    page = calendar_page(days, title="Days", lines=[], counts=counts)
    assert "<td>2024-01-04</td>" in page
    assert "<td>2024-01-02</td>" not in page
    assert "1 more" in page


def test_bands_are_rows_and_years() -> None:
    """Each symbol has one, and each year of it."""
    one = pixels(calendar(year())).shape[0]
    two = pixels(calendar([*year(), *year(row="BINANCE:ETH-USDT")])).shape[0]
    over = [CalendarDay(ROW, date(2023, 12, 1) + timedelta(days=n), "go", 1.0) for n in range(60)]
    assert two > one
    assert pixels(calendar(over)).shape[0] == two


def test_equal_days_give_equal_bytes() -> None:
    """Nothing depends on when it is drawn."""
    assert calendar(year(days=40)) == calendar(year(days=40))


def test_the_page_stands_alone() -> None:
    """Both themes inside, counts in a table, words escaped, nothing fetched."""
    page = calendar_page(year(days=3), title="Days <b>", lines=["3 < 4"], counts={ROW: {"go": 3, "no-go": 0}})
    assert page.count("data:image/png;base64,") == 2
    assert "prefers-color-scheme: dark" in page
    assert "<h1>Days &lt;b&gt;</h1>" in page
    assert "<p>3 &lt; 4</p>" in page
    assert f"<tr><td>{ROW}</td><td>3</td><td>0</td></tr>" in page
    assert not re.search(r'(src|href|srcset)="(?!data:)', page)
