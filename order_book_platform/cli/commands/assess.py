"""`obp assess` judges whether a faithful book can be made from the files of a lake, and how."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from order_book_platform.cli.options import (
    DAY,
    DAYS,
    Invocation,
    json_option,
    symbols_option,
)


@click.command(short_help="Judge a symbol's data: go or no-go, and why.")
@symbols_option(required=True)
@click.option(
    "--day",
    "days",
    multiple=True,
    type=DAY,
    help="UTC day of arrival; may be given several times.  [default: every day there are files of]",
)
@click.option("--days", "span", type=DAYS, help="A table and a calendar of all days, from footers alone.")
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
    from order_book_platform.cli.assessments import assess_days, assess_range

    settings = invocation.settings()
    if span:
        return assess_range(settings, symbols, span, out, as_json)
    return assess_days(settings, symbols, days, full, markdown, as_json)
