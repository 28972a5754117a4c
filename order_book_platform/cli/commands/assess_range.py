"""`obp assess --days`: a table of many days, and a calendar of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.assess import DaySummary, summarise_range
from order_book_platform.assess.lake.lake_range import VERDICTS, days_of
from order_book_platform.assess.machine import on_machine, this_machine
from order_book_platform.assess.report.markdown import cost_here
from order_book_platform.assess.report.rule_text import count_of
from order_book_platform.assess.rules import MEMORY_LIMIT_BYTES
from order_book_platform.cli.display.output import print_json, progress_bars, stdout, table
from order_book_platform.cli.display.range_tables import show_days, why_of
from order_book_platform.errors import SettingsError, SourceMissingError
from order_book_platform.model import Instrument
from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
from order_book_platform.plots.pages.calendar_page import render_calendar

if TYPE_CHECKING:
    from order_book_platform.settings import Settings

STYLES = (
    VerdictStyle("go", "bid"),
    VerdictStyle("go with repair", "doubt"),
    VerdictStyle("no-go", "bad"),
    VerdictStyle("damaged", "ask"),
    VerdictStyle("missing", "muted", "hatched"),
)
"""How the calendar shows each verdict."""
NO_STATISTICS = VerdictStyle("no statistics", "bid", "outlined")
"""How the calendar shows a day whose coverage is not known; the outline has the colour of the verdict."""


def assess_range(
    settings: Settings, symbols: Sequence[str], span: tuple[date, date], out: Path | None, as_json: bool
) -> bool:
    """Judge a range by its footers, print it, and draw its calendar.

    Args:
        settings: of the platform.
        symbols: as named; each once is enough.
        span: first and last day.
        out: of the calendar; None for a file in the current folder, or for none with `as_json`.
        as_json: one JSON document instead of tables.

    Returns:
        Whether no day is a no-go or damaged.

    Raises:
        SettingsError: a symbol is not listed, or the calendar cannot be written.
        SourceMissingError: there are no files at all.
    """
    instruments = [Instrument.parse(symbol) for symbol in dict.fromkeys(symbols)]
    for instrument in instruments:
        settings.instrument(instrument)
    path = out or (None if as_json else Path(f"assessment-{span[0]}..{span[1]}.html"))
    if path:
        _check(path)
    with progress_bars() as progress:
        summaries = summarise_range(settings, instruments, list(days_of(*span)), progress)
    if all(each.verdict == "missing" for each in summaries):
        raise SourceMissingError(
            expected=f"files of book_delta_v2 for {', '.join(symbols)} from {span[0]} to {span[1]}",
            found="none",
            where=str(settings.lake_root),
            remedy="Check lake_root, the days and the symbol's spelling; obp doctor lists what there is.",
        )
    estimates = [each.estimate for each in summaries if each.estimate and each.verdict.startswith("go")]
    here = on_machine(estimates, this_machine(settings.data_root), MEMORY_LIMIT_BYTES)
    counts = {instrument.key: _counted(summaries, instrument.key) for instrument in instruments}
    if as_json:
        days = [each.to_dict() for each in summaries]
        print_json({"days": days, "counts": counts, "here": here, "calendar": path and str(path)})
    else:
        _show(summaries, counts, here)
    if path:
        _draw(path, summaries, span, here)
        if not as_json:
            stdout().print(f"Calendar: {path}", markup=False, soft_wrap=True)
    return not any(each.verdict in ("no-go", "damaged") for each in summaries)


def _counted(summaries: Sequence[DaySummary], symbol: str) -> dict[str, int]:
    found = Counter(each.verdict for each in summaries if each.symbol == symbol)
    return {verdict: found[verdict] for verdict in VERDICTS}


def _draw(path: Path, summaries: Sequence[DaySummary], span: tuple[date, date], here: dict[str, Any]) -> None:
    """Write the calendar as an SVG figure or as a page with counts and reasons, by the ending of the path."""
    days = [_calendar_day(each) for each in summaries]
    styles = [*STYLES, NO_STATISTICS] if any(day.strength is None for day in days) else STYLES
    title = f"Days from {span[0]} to {span[1]}"
    try:
        if path.suffix == ".svg":
            text = calendar_chart(days, styles, title=title).standalone()
        else:
            text = render_calendar(
                days,
                styles,
                title=title,
                lines=[
                    "By the footers of the files alone: what lies inside a row group has not been looked at.",
                    "The strength of a colour is the share of the day that is covered; an outline has no statistics.",
                    f"{count_of(here['days'], 'day')} that may go: {cost_here(here).replace('**', '')}.",
                ],
                verdicts=VERDICTS,
                reasons=[_reason(each) for each in summaries],
                worst=("no-go", "damaged"),
            )
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _calendar_day(day: DaySummary) -> CalendarDay:
    """The day's square; its strength is the coverage, but a damaged day, whose coverage is unknown, is not faint."""
    if day.verdict in ("damaged", "missing"):
        return CalendarDay(day.symbol, day.day, day.verdict)
    note = "" if day.coverage is None else f"{day.coverage:.1%} covered"
    return CalendarDay(day.symbol, day.day, day.verdict, day.coverage, note)


def _reason(day: DaySummary) -> str:
    """Why a day is listed below the calendar; empty for one that is missing or may go with nothing to look at."""
    return "" if day.verdict == "missing" else why_of([day])


def _check(path: Path) -> None:
    """Refuse a place for the calendar before a year is looked at."""
    if path.suffix not in (".html", ".svg"):
        raise click.BadParameter(f"{path} ends in neither .html nor .svg.", param_hint="'--out'")
    if not path.parent.is_dir():
        raise _unwritable(path, "no such folder")
    there = path.exists()
    try:
        path.open("ab").close()
        if not there:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, found: str) -> SettingsError:
    return SettingsError(
        expected="a file that can be written",
        found=found,
        where=str(path),
        remedy="Choose another file with --out.",
    )


def _show(summaries: Sequence[DaySummary], counts: dict[str, dict[str, int]], here: dict[str, Any]) -> None:
    show_days(summaries)
    console = stdout()
    rows = ((symbol, *(f"{count[verdict]:,}" for verdict in VERDICTS)) for symbol, count in counts.items())
    columns = ("symbol", *VERDICTS)
    console.print(table("Days by verdict so far", columns, rows, right=VERDICTS, whole=columns))
    console.print(f"\n{count_of(here['days'], 'day')} that may go: {cost_here(here)}", markup=False)
