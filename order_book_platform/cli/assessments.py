"""`obp assess` judges days by their rows or many days by footers, and shows both as tables, and many as a calendar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any

import click
from rich.text import Text

from order_book_platform.assess import DaySummary, LakeAssessor, summarise_range
from order_book_platform.assess.day_report import (
    assessment_markdown,
    cost_here,
    count_of,
    facts,
    not_held,
    rule_bar,
    rule_figure,
)
from order_book_platform.assess.lake_assessor import unreadable_report
from order_book_platform.assess.lake_range import VERDICTS, days_of
from order_book_platform.assess.rules import MEMORY_LIMIT_BYTES, RULES
from order_book_platform.assess.run_estimate import RunEstimate, on_machine, this_machine
from order_book_platform.cli.options import listed_instruments
from order_book_platform.cli.output import (
    print_json,
    progress_bars,
    stdout,
    styled_outcome,
    styled_verdict,
    table,
    unwritable,
    write_page,
)
from order_book_platform.clock import parse_day
from order_book_platform.errors import FixedPointError, SourceError, SourceMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.plots.pages import CalendarDay, VerdictStyle, calendar_chart, render_calendar
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource

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


def assess_days(
    settings: Settings,
    symbols: Sequence[str],
    days: Sequence[date],
    full: bool,
    markdown: bool,
    as_json: bool,
) -> bool:
    """Judge days, show each as soon as it is done or all as JSON, and return whether all of them may go."""
    keys = [key for symbol in symbols for key in _keys(settings, symbol, days)]
    reports = []
    for key in keys:
        reports.append(_assess(settings, key, full))
        if markdown:
            click.echo(assessment_markdown(reports[-1]))
        elif not as_json:
            show_assessment(reports[-1])
    if as_json:
        print_json(reports)
    return all(report["verdict"].startswith("go") for report in reports)


def _keys(settings: Settings, symbol: str, days: Sequence[date]) -> list[PartitionKey]:
    """List the partitions to judge in order of time: the days named, or all from first_day on with files of deltas.

    A day before first_day may be named, as in a range: people judge a day before they set first_day to it.
    """
    (instrument,) = listed_instruments(settings, [symbol])
    if not days:
        found = map(parse_day, LakeSource(settings.lake_root).days("book_delta_v2", instrument))
        days = [day for day in found if day >= settings.first_day]
    if not days:
        raise SourceMissingError(
            expected=f"files of book_delta_v2 for {symbol} from {settings.first_day} on",
            found="none",
            where=str(settings.lake_root),
            remedy="Check lake_root, first_day and the symbol's spelling; obp doctor lists what there is.",
        )
    return [PartitionKey(instrument, day) for day in sorted(set(days))]


def _assess(settings: Settings, key: PartitionKey, full: bool) -> dict[str, Any]:
    """Make the report of a day with the cost of a run on this machine, or the report of a day that is damaged."""
    assessor = LakeAssessor(settings)
    try:
        if full:
            with progress_bars() as progress:
                report = assessor.full(key, progress)
        else:
            report = assessor.sampled(key)
    except (SourceError, FixedPointError) as error:
        return unreadable_report(key, error, "full" if full else "sample")
    estimate = RunEstimate.of(report["estimate"])
    return {**report, "here": on_machine([estimate], this_machine(settings.data_root), MEMORY_LIMIT_BYTES)}


def assess_range(
    settings: Settings, symbols: Sequence[str], span: tuple[date, date], out: Path | None, as_json: bool
) -> bool:
    """Judge a range of days by the footers of their files, print the result, and draw its calendar.

    Without `out` the calendar goes to the current folder, or nowhere with `as_json`. The answer is whether no day is a
    no-go or damaged; that there are no files at all is an error.
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
    found = Counter((each.symbol, each.verdict) for each in summaries)
    counts = {each.key: {verdict: found[each.key, verdict] for verdict in VERDICTS} for each in instruments}
    if as_json:
        days = [each.to_dict() for each in summaries]
        print_json({"days": days, "counts": counts, "here": here, "calendar": path and str(path)})
    else:
        show_days(summaries)
        rows = ((symbol, *(f"{number:,}" for number in count.values())) for symbol, count in counts.items())
        columns = ("symbol", *VERDICTS)
        stdout().print(table("Days by verdict so far", columns, rows, right=VERDICTS, whole=columns))
        stdout().print(f"\n{count_of(here['days'], 'day')} that may go: {cost_here(here)}", markup=False)
    if path:
        write_page(path, _calendar(path, summaries, span, here))
        if not as_json:
            stdout().print(f"Calendar: {path}", markup=False, soft_wrap=True)
    return not any(each.verdict in BAD for each in summaries)


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


WIDE = 110
"""Columns from which on the table has the meaning of each rule; else that of failed rules stands below the table."""
SINGLE_ROWS = 62
"""Number of days up to which each has a line; of more, consecutive days that are alike share one."""
REASONS_WIDE = 140
"""Columns from which on the table has the reasons; else they stand below it."""
ERRORS_SHOWN = 20
"""Number of damaged days whose whole error is printed."""
COLUMNS = ("days", "verdict", "covered", "holes", "deltas")
COUNTS = ("deltas", "book", "trades")


def show_assessment(report: dict[str, Any]) -> None:
    """Print the verdict, every rule, and the facts that the report holds."""
    console = stdout()
    day = f"{report['symbol']} {report['day']}"
    verdict = styled_verdict(report["verdict"])
    console.print(Text.assemble("\n", (day, "bold"), ": ", verdict, f", {report['why']}"))
    if "error" in report:
        return
    wide = console.width >= WIDE
    columns = ("rule", "value", "bar", "result", "from")
    rows = []
    for rule in report["rules"]:
        basis = f"sample, {rule['n']:,}" if rule["basis"] == "sample" else rule["basis"]
        outcome = styled_outcome(rule["passed"], rule["severity"])
        meaning = [rule["note"]] if wide else []
        rows.append((rule["name"], rule_figure(rule), rule_bar(rule), outcome, basis, *meaning))
    heads = (*columns, "meaning") if wide else columns
    console.print(table("Rules", heads, rows, right=("value",), whole=columns))
    for rule in report["rules"]:
        if not wide and not rule["passed"]:
            console.print(f"{rule['name']}: {rule['note']}", markup=False)
    console.print()
    lines = list(facts(report))
    if "here" in report:
        lines.append(("on this machine", cost_here(report["here"])))
    console.print(table("What there is", ("what", "found"), lines, whole=("what",)))


def show_days(summaries: Sequence[DaySummary]) -> None:
    """Print a table for each symbol, the reasons, and the errors of damaged days."""
    console = stdout()
    columns = (*COLUMNS, *COUNTS[1:]) if console.width >= WIDE else COLUMNS
    beside = console.width >= REASONS_WIDE
    alike = _likeness if len(summaries) > SINGLE_ROWS else lambda each: (each.day,)
    console.print("Days, by the footers of their files\n")
    for symbol, of_symbol in groupby(summaries, lambda each: each.symbol):
        groups = [list(group) for _, group in groupby(of_symbol, alike)]
        rows = [(*_row(group)[: len(columns)], *([why_of(group)] if beside else [])) for group in groups]
        heads = (*columns, "why") if beside else columns
        console.print(table(symbol, heads, rows, right=("covered", "holes", *COUNTS), whole=columns))
        console.print()
        reasons = [(_days(group), why_of(group)) for group in groups if why_of(group)]
        if reasons and not beside:
            console.print(table("Why", ("days", "why"), reasons, whole=("days",)))
            console.print()
    damaged = [each for each in summaries if each.error]
    for each in damaged[:ERRORS_SHOWN]:
        console.print(f"{each.symbol} {each.day}: {each.why}", markup=False)
    if len(damaged) > ERRORS_SHOWN:
        console.print(f"{len(damaged) - ERRORS_SHOWN:,} more damaged days; --json has them all.")
    if damaged:
        console.print()


def _likeness(each: DaySummary) -> tuple[Any, ...]:
    """Give the properties that days have to have in common to share a line."""
    present = tuple(rows is not None for rows in each.rows.values())
    failed = tuple(rule["name"] for rule in each.rules if not rule["passed"])
    # Where rules decided, the figures differ from day to day, and the line gives their range.
    decided = each.verdict == "go with repair" or _by_rules(each)
    return each.verdict, "" if decided else each.why, failed, present, each.warnings


def _row(group: Sequence[DaySummary]) -> tuple[object, ...]:
    """Return the cells of a line: days, verdict, the least coverage, holes, and rows of each table."""
    covered = [each.coverage for each in group if each.coverage is not None]
    least = f"{min(covered):.1%}" if covered else "-"
    return (
        _days(group),
        styled_verdict(group[0].verdict),
        least if len(group) == 1 or not covered else f"≥ {least}",
        f"{sum(each.holes for each in group):,}" if covered else "-",
        *(_rows(group, table) for table in ("book_delta_v2", "book", "trades")),
    )


def _days(group: Sequence[DaySummary]) -> str:
    """Return the day, or first and last day of the group with their number."""
    first, last = group[0].day, group[-1].day
    return str(first) if len(group) == 1 else f"{first} to {last} ({len(group)})"


def why_of(group: Sequence[DaySummary]) -> str:
    """Say what decided about days that share a line, with figures and bars, and what warns; often nothing."""
    first = group[0]
    if first.error:
        return f"{first.error['class']}: {PurePath(first.error['where']).name}"
    rules = [each.rules for each in group]
    refused, warned = not_held(rules, "error"), not_held(rules, "warn")
    # Values that no row may hold are named in the day's own words; the rule only counts their kinds.
    refused = [text for text in refused if not text.startswith("impossible ")]
    others = [warning for warning in first.warnings if warning not in RULES]
    decided = [] if first.verdict == "go" or _by_rules(first) else [first.why]
    if len(group) > 1 and first.verdict == "go with repair":
        decided = ["gaps have to be recovered from snapshots"]
    return ", ".join([*decided, *refused, *others, *warned])


def _by_rules(day: DaySummary) -> bool:
    return "rules do not hold" in day.why


def _rows(group: Sequence[DaySummary], name: str) -> str:
    """Return the number of rows of a table over the days that have it; a dash where none has it."""
    counts = [count for count in (each.rows[name] for each in group) if count is not None]
    return f"{sum(counts):,}" if counts else "-"
