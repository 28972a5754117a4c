"""`obp assess --days` judges many days by the footers of their files: tables and a calendar."""

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
from order_book_platform.cli.display.output import (
    print_json,
    progress_bars,
    stdout,
    table,
    unwritable,
    write_page,
)
from order_book_platform.cli.display.range_tables import show_days, why_of
from order_book_platform.cli.options import listed_instruments
from order_book_platform.errors import SourceMissingError
from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
from order_book_platform.plots.pages import render_calendar

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
BAD = ("no-go", "damaged")
"""Verdicts with which the command fails."""


def assess_range(
    settings: Settings, symbols: Sequence[str], span: tuple[date, date], out: Path | None, as_json: bool
) -> bool:
    """Judge a range of days by the footers of their files, print the result, and draw its calendar.

    Args:
        settings: Settings of the platform.
        symbols: Symbols as the user named them; a repeated one counts once.
        span: First and last day.
        out: File of the calendar; None for one in the current folder, or for none with `as_json`.
        as_json: Whether to print one JSON document instead of tables.

    Returns:
        Whether no day is a no-go or damaged.

    Raises:
        SettingsError: A symbol is not listed, or the calendar cannot be written.
        SourceMissingError: There are no files at all.
    """
    instruments = listed_instruments(settings, symbols)
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
    counts = {instrument.key: _verdict_counts(summaries, instrument.key) for instrument in instruments}
    if as_json:
        days = [each.to_dict() for each in summaries]
        print_json({"days": days, "counts": counts, "here": here, "calendar": path and str(path)})
    else:
        _show(summaries, counts, here)
    if path:
        write_page(path, _calendar(path, summaries, span, here))
        if not as_json:
            stdout().print(f"Calendar: {path}", markup=False, soft_wrap=True)
    return not any(each.verdict in BAD for each in summaries)


def _verdict_counts(summaries: Sequence[DaySummary], symbol: str) -> dict[str, int]:
    """Number of a symbol's days by verdict, in the order of `VERDICTS`."""
    found = Counter(each.verdict for each in summaries if each.symbol == symbol)
    return {verdict: found[verdict] for verdict in VERDICTS}


def _calendar(
    path: Path, summaries: Sequence[DaySummary], span: tuple[date, date], here: dict[str, Any]
) -> str:
    """Draw the calendar as an SVG figure or as a page with counts and reasons, by the ending of the path."""
    days = [_calendar_day(each) for each in summaries]
    styles = [*STYLES, NO_STATISTICS] if any(day.strength is None for day in days) else STYLES
    title = f"Days from {span[0]} to {span[1]}"
    if path.suffix == ".svg":
        return calendar_chart(days, styles, title=title).standalone()
    return render_calendar(
        days,
        styles,
        title=title,
        lines=[
            "By the footers of the files alone: what lies inside a row group has not been looked at.",
            "The strength of a colour is the share of the day that is covered; an outline has no statistics.",
            f"{count_of(here['days'], 'day')} that may go: {cost_here(here).replace('**', '')}.",
        ],
        verdicts=VERDICTS,
        reasons=["" if each.verdict == "missing" else why_of([each]) for each in summaries],
        worst=BAD,
    )


def _calendar_day(day: DaySummary) -> CalendarDay:
    """Make the day's square, as strong as the day is covered; a damaged day of unknown coverage is not faint."""
    if day.verdict in ("damaged", "missing"):
        return CalendarDay(day.symbol, day.day, day.verdict)
    note = "" if day.coverage is None else f"{day.coverage:.1%} covered"
    return CalendarDay(day.symbol, day.day, day.verdict, day.coverage, note)


def _check(path: Path) -> None:
    """Refuse a file that the calendar cannot be written to, before all the days are read."""
    if path.suffix not in (".html", ".svg"):
        raise click.BadParameter(f"{path} ends in neither .html nor .svg.", param_hint="'--out'")
    if not path.parent.is_dir():
        raise unwritable(path, "no such folder")
    existed = path.exists()
    try:
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def _show(summaries: Sequence[DaySummary], counts: dict[str, dict[str, int]], here: dict[str, Any]) -> None:
    """Print the days, their number by verdict, and the cost of a run over those that may go."""
    show_days(summaries)
    console = stdout()
    rows = ((symbol, *(f"{count[verdict]:,}" for verdict in VERDICTS)) for symbol, count in counts.items())
    columns = ("symbol", *VERDICTS)
    console.print(table("Days by verdict so far", columns, rows, right=VERDICTS, whole=columns))
    console.print(f"\n{count_of(here['days'], 'day')} that may go: {cost_here(here)}", markup=False)
