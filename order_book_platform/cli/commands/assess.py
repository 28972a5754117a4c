"""`obp assess` judges whether a faithful book can be made from the files of a lake, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.cli.group import Invocation
from order_book_platform.cli.options import (
    DaysType,
    DayType,
    json_option,
    listed_instruments,
    symbols_option,
)

if TYPE_CHECKING:
    from order_book_platform.model import PartitionKey
    from order_book_platform.settings import Settings


@click.command(short_help="Judge a symbol's data: go or no-go, and why.")
@symbols_option(required=True)
@click.option(
    "--day",
    "days",
    multiple=True,
    type=DayType(),
    help="UTC day of arrival; may be given several times.  [default: every day there are files of]",
)
@click.option(
    "--days", "span", type=DaysType(), help="A table and a calendar of all days, from footers alone."
)
@click.option("--full", is_flag=True, help="Read every row instead of a sample.")
@click.option("--markdown", is_flag=True, help="Print Markdown instead of tables.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the calendar of --days goes, .html or .svg.  [default: assessment-FIRST..LAST.html]",
)
@json_option
@click.pass_obj
def assess(
    invocation: Invocation,
    symbols: tuple[str, ...],
    days: tuple[date, ...],
    span: tuple[date, date] | None,
    full: bool,
    markdown: bool,
    out: Path | None,
    as_json: bool,
) -> bool:
    """Judge the data of a symbol: availability, gaps, clocks, precision, cost; go or no-go, and every rule.

    Looks at the files of the lake and publishes nothing: by default at their footers, the best prices of `book` and
    rows spread over the day, in a second or two; with --full at every row, which says what the asset data_assessment
    would; with --days at the footers of a whole range. Every figure says what it is from. A day that is damaged is
    reported as such, and the others are judged. Exits 1 if any day is a no-go or damaged.

    \b
    Example:
      obp assess --symbol BINANCE_FUTURES:BTC-USDT-PERP --day 2024-08-08
      obp assess --symbol BINANCE_FUTURES:BTC-USDT-PERP --days 2024-01-01..2024-12-31
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    if span and (days or full or markdown):
        raise click.UsageError(
            "--days goes with --symbol, --out and --json alone; name single days with --day."
        )
    if out and not span:
        raise click.UsageError("--out is where the calendar of --days goes.")
    if markdown and as_json:
        raise click.UsageError("--json or --markdown, not both.")
    settings = invocation.settings()
    if span:
        from order_book_platform.cli.commands.assess_range import assess_range

        return assess_range(settings, symbols, span, out, as_json)
    keys = [key for symbol in symbols for key in _keys(settings, symbol, days)]
    return _assess_days(settings, keys, full, None if as_json else _display(markdown))


def _assess_days(
    settings: Settings,
    keys: Sequence[PartitionKey],
    full: bool,
    show: Callable[[dict[str, Any]], None] | None,
) -> bool:
    """Judge days, show each as soon as it is done or all as JSON, and return whether all of them may go."""
    reports = []
    for key in keys:
        reports.append(_assess(settings, key, full))
        if show:
            show(reports[-1])
    if not show:
        from order_book_platform.cli.display.output import print_json

        print_json(reports)
    return all(report["verdict"].startswith("go") for report in reports)


def _display(markdown: bool) -> Callable[[dict[str, Any]], None]:
    """The function that shows one report, as Markdown or as tables."""
    from order_book_platform.assess.report.markdown import assessment_markdown
    from order_book_platform.cli.display.assessment_tables import show_assessment

    return (lambda report: click.echo(assessment_markdown(report))) if markdown else show_assessment


def _keys(settings: Settings, symbol: str, days: Sequence[date]) -> list[PartitionKey]:
    """List the partitions to judge in order of time: the days named, or all from first_day on with files of deltas.

    A day before first_day may be named, as in a range: people judge a day before they set first_day to it.

    Raises:
        SettingsError: The symbol is malformed or not listed.
        SourceMissingError: No day was named and there are no files.
    """
    from order_book_platform.clock import parse_day
    from order_book_platform.errors import SourceMissingError
    from order_book_platform.model import PartitionKey
    from order_book_platform.sources import LakeSource

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
    from order_book_platform.assess import LakeAssessor
    from order_book_platform.assess.lake.lake_report import unreadable_report
    from order_book_platform.assess.machine import on_machine, this_machine
    from order_book_platform.assess.rules import MEMORY_LIMIT_BYTES
    from order_book_platform.assess.run_estimate import RunEstimate
    from order_book_platform.cli.display.output import progress_bars
    from order_book_platform.errors import FixedPointError, SourceError

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
