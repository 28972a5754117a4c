"""A calendar of days: a band for each row, a square for each day, coloured by verdict and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Patch, Rectangle

from order_book_platform.plots.figure import DARK, LIGHT, WIDTH_PX, Theme, data_uri, new_figure, png_bytes

SIZE = 0.86
"""Side of a square, in days."""
BAND_PX, LEFT_PX, HEAD_PX = 112, 150, 64
LISTED = 200
"""So many days a page lists with their reasons."""
FAINTEST = 0.2
"""Opacity of a day of which nothing is covered; a whole one has 1."""


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One square.

    Attributes:
        row: name of the band.
        day: which.
        verdict: `go`, `go with repair`, `no-go`, `damaged`; others are drawn as missing.
        coverage: share of the day; None is not known, and drawn as an outline, but for damaged days.
        why: what decided or warns, for the page; empty for a day that is not to be listed.
    """

    row: str
    day: date
    verdict: str
    coverage: float | None
    why: str = ""


def calendar(days: Sequence[CalendarDay], *, theme: Theme = LIGHT, title: str = "Days") -> bytes:
    """Draw the days: weeks from left to right, Monday above, a band for each row and year.

    Colour tells the verdict, its strength how much of the day is covered; a damaged day, of which that is not known,
    has its full strength, any other such day is an outline, and days that are missing are hatched.

    Args:
        days: at least one.
        theme: light or dark.
        title: above the figure.

    Returns:
        PNG bytes.
    """
    bands = sorted({(each.day.year, each.row) for each in days}, key=lambda band: (band[1], band[0]))
    many = len({year for year, _ in bands}) > 1
    height = HEAD_PX + 34 + BAND_PX * len(bands)
    figure = new_figure(theme, height_px=height, left_px=LEFT_PX, bottom_px=10)
    figure.subplots_adjust(top=1 - HEAD_PX / height)
    figure.text(
        10 / WIDTH_PX, 1 - 12 / height, title, va="top", fontsize=12, fontweight="bold", color=theme.ink
    )
    axes = figure.add_subplot()
    _bare(axes, theme, len(bands))
    colours = _colours(theme)
    for number, (year, row) in enumerate(bands):
        own = [each for each in days if each.row == row and each.day.year == year]
        _band(axes, theme, own, 8 * number, colours)
        label = row.replace(":", "\n") + (f"\n{year}" if many else "")
        axes.text(
            -1,
            8 * number + 3,
            label,
            ha="right",
            va="center",
            fontsize=8,
            color=theme.ink,
        )
    _months(axes, theme, [each.day for each in days])
    handles = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    handles.append(Patch(facecolor=theme.ground, edgecolor=theme.muted, hatch="////", label="missing"))
    if any(_unknown(each) for each in days):
        handles.append(Patch(facecolor=theme.ground, edgecolor=theme.bid, label="no statistics"))
    legend = figure.legend(
        handles=handles, loc="upper right", ncols=len(handles), frameon=False, fontsize=9, handlelength=1.2
    )
    for text in legend.get_texts():
        text.set_color(theme.ink)
    return png_bytes(figure)


def calendar_page(
    days: Sequence[CalendarDay], *, title: str, lines: Sequence[str], counts: Mapping[str, Mapping[str, int]]
) -> str:
    """The calendar as a page of its own, light or dark as its reader has it; refers to nothing outside itself.

    Args:
        days: at least one.
        title: of the page.
        lines: what else there is to say.
        counts: days by verdict, of each row; columns in the order of their first row.
    """
    light, dark = (data_uri(calendar(days, theme=theme, title="")) for theme in (LIGHT, DARK))
    names = list(dict.fromkeys(name for each in counts.values() for name in each))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(
        f"<tr><td>{escape(row)}</td>{''.join(f'<td>{each.get(name, 0):,}</td>' for name in names)}</tr>"
        for row, each in counts.items()
    )
    said = "\n".join(f"<p>{escape(line)}</p>" for line in lines)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="Calendar of days by verdict and coverage"></picture>\n'
        f"<table>\n<tr><th>symbol</th>{head}</tr>\n{body}\n</table>\n{said}\n{_listed(days)}</main>\n</body>\n</html>\n"
    )


def _listed(days: Sequence[CalendarDay]) -> str:
    """A table of the days with a reason; those that are no-go or damaged first, if there are too many."""
    told = [each for each in days if each.why]
    if not told:
        return ""
    worst = sorted(told, key=lambda each: each.verdict not in ("no-go", "damaged"))[:LISTED]
    shown = [each for each in told if each in worst]
    body = "\n".join(
        f"<tr><td>{each.day}</td><td>{escape(each.row)}</td><td>{escape(each.verdict)}</td><td>{escape(each.why)}</td></tr>"
        for each in shown
    )
    more = f"<p>{len(told) - len(shown):,} more.</p>\n" if len(told) > len(shown) else ""
    head = "<tr><th>day</th><th>symbol</th><th>verdict</th><th>why</th></tr>"
    return f'<h2>Days to look at</h2>\n<table class="days">\n{head}\n{body}\n</table>\n{more}'


_STYLE = f"""
:root {{ color-scheme: light dark; --ground: {LIGHT.ground}; --ink: {LIGHT.ink}; --grid: {LIGHT.grid}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: {DARK.ground}; --ink: {DARK.ink}; --grid: {DARK.grid}; }} }}
body {{ margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }}
main {{ max-width: {WIDTH_PX}px; margin: 0 auto; padding: 16px; }}
h1 {{ font-size: 20px; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 4px 12px; text-align: right; border-bottom: 1px solid var(--grid); }}
th:first-child, td:first-child {{ text-align: left; }}
.days th, .days td {{ text-align: left; vertical-align: top; overflow-wrap: anywhere; }}
.days td:first-child {{ white-space: nowrap; }}
h2 {{ font-size: 17px; }}
"""


def _colours(theme: Theme) -> dict[str, str]:
    """Verdict to colour."""
    return {"go": theme.bid, "go with repair": theme.doubt, "no-go": theme.bad, "damaged": theme.ask}


def _unknown(day: CalendarDay) -> bool:
    """Whether it is not known how much of the day is covered, though its files could be read."""
    return day.coverage is None and day.verdict in ("go", "go with repair", "no-go")


def _bare(axes: Axes, theme: Theme, bands: int) -> None:
    axes.set_facecolor(theme.ground)
    axes.set_xlim(-0.5, 53.5)
    axes.set_ylim(8 * bands - 0.5, -1)
    axes.axis("off")


def _week(day: date) -> int:
    """Column in its year: weeks begin on Monday."""
    return ((day - date(day.year, 1, 1)).days + date(day.year, 1, 1).weekday()) // 7


def _band(
    axes: Axes, theme: Theme, days: Sequence[CalendarDay], top: int, colours: Mapping[str, str]
) -> None:
    missing, squares, fills, edges = [], [], [], []
    for each in days:
        place = (_week(each.day) - SIZE / 2, top + each.day.weekday() - SIZE / 2)
        if each.verdict not in colours:
            missing.append(Rectangle(place, SIZE, SIZE))
            continue
        covered = 1.0 if each.coverage is None else min(max(each.coverage, 0.0), 1.0)
        colour = to_rgba(colours[each.verdict], FAINTEST + (1 - FAINTEST) * covered)
        squares.append(Rectangle(place, SIZE, SIZE))
        fills.append(to_rgba(theme.ground) if _unknown(each) else colour)
        edges.append(colour if _unknown(each) else (0.0, 0.0, 0.0, 0.0))
    if squares:
        axes.add_collection(PatchCollection(squares, facecolors=fills, edgecolors=edges, linewidths=0.8))
    if missing:
        hatched = PatchCollection(missing, facecolors=theme.ground, edgecolors=theme.muted, linewidths=0.4)
        hatched.set_hatch("//////")
        axes.add_collection(hatched)


def _months(axes: Axes, theme: Theme, days: Sequence[date]) -> None:
    """Names of months above the first band, where their first day in the range is."""
    first, last = min(days), max(days)
    if first.year != last.year:
        first, last = date(last.year, 1, 1), date(last.year, 12, 31)
    day = first
    while day <= last:
        axes.text(_week(day) - SIZE / 2, -0.7, day.strftime("%b"), fontsize=9, color=theme.muted, va="bottom")
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
