"""`obp fidelity compare` shows the fidelity reports of many days and symbols side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from order_book_platform.cli.group import Invocation
from order_book_platform.cli.options import DaysType, json_option, listed_instruments, symbols_option

if TYPE_CHECKING:
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.fidelity.report.comparison import Compared
    from order_book_platform.settings import Settings

PAGE = Path("fidelity-comparison.html")
LISTED_DAYS = 20
"""Number of days that the terminal lists with what fails; the page lists more, and `--json` all."""
BAD = ("not faithful", "unreadable")
"""Verdicts with which the command fails."""


@click.command(short_help="Put the reports of many days side by side.")
@symbols_option(required=False, default="  [default: all that have books or reports]")
@click.option("--days", "span", type=DaysType(), help="Only these UTC days.  [default: all]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Where the page goes.  [default: {PAGE}; none with --json]",
)
@json_option
@click.pass_obj
def compare(
    invocation: Invocation,
    symbols: tuple[str, ...],
    span: tuple[date, date] | None,
    out: Path | None,
    as_json: bool,
) -> bool:
    """Put the published fidelity reports side by side: a calendar of verdicts, the gates that fail, the worst days.

    Measures nothing: books without a report, and reports of books that were made anew since, are shown as such. Exits 1
    if any day is not faithful or its report cannot be read.

    \b
    Example:
      obp fidelity compare
      obp fidelity compare --symbol BINANCE:BTC-USDT --days 2024-08-01..2024-08-31 --out august.html
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.cli.display.output import print_json, write_page
    from order_book_platform.fidelity.report.comparison import render_comparison

    compared = _compare(invocation.settings(), symbols, span)
    path = out or (None if as_json else PAGE)
    if path:
        write_page(path, render_comparison(compared))
    if as_json:
        counts = Counter(each.verdict for each in compared)
        days = [each.to_dict() for each in compared]
        print_json({"days": days, "counts": dict(counts), "page": path and str(path)})
    else:
        _show(compared, path)
    return not any(each.verdict in BAD for each in compared)


def _compare(
    settings: Settings, symbols: Sequence[str], span: tuple[date, date] | None
) -> Sequence[Compared]:
    """Read the reports of the symbols and days.

    Raises:
        SettingsError: A symbol is not listed.
        PartitionMissingError: There are neither reports nor books.
    """
    from order_book_platform.cli.display.output import progress_bars
    from order_book_platform.errors import PartitionMissingError
    from order_book_platform.fidelity.report.comparison import compare_reports
    from order_book_platform.storage import DataStore

    instruments = listed_instruments(settings, symbols)
    store = DataStore(settings.data_root)
    with progress_bars() as progress:
        first, last = span or (None, None)
        compared = compare_reports(store, [each.key for each in instruments], first, last, progress)
    if not compared:
        days = f" from {first} to {last}" if span else ""
        raise PartitionMissingError(
            expected=f"fidelity reports or books of {', '.join(symbols) or 'any symbol'}{days}",
            found="none",
            where=str(settings.data_root),
            remedy="Make them with obp materialize, choose other days or symbols, or check data_root.",
        )
    return compared


def _show(compared: Sequence[Compared], path: Path | None) -> None:
    """Print the days by verdict, the worst days, the gates that fail, and where the page is."""
    from order_book_platform.cli.display.output import stdout, styled_verdict, table
    from order_book_platform.fidelity.report.comparison import count_gates, worst_first
    from order_book_platform.model.gates import figure

    console = stdout()
    console.print(_verdict(compared).markup)
    worst = [each for each in worst_first(compared) if each.verdict != "faithful"]
    if worst:
        console.print()
        rows = [
            (each.key, styled_verdict(each.verdict, "yellow"), _failures(each))
            for each in worst[:LISTED_DAYS]
        ]
        console.print(table("Worst days first", ("symbol and day", "verdict", "what fails"), rows))
        if len(worst) > LISTED_DAYS:
            console.print(f"and {len(worst) - LISTED_DAYS:,} more")
    gates = count_gates(compared)
    if gates:
        heads = ("gate", "fails on days", "bar", "farthest", "where")
        lines = (
            (each.gate, each.failed, each.worst.gate, figure(each.worst.value, each.worst.gate), each.where)
            for each in gates
        )
        console.print()
        console.print(table("Gates that fail", heads, lines, right=("fails on days", "farthest")))
    if path:
        console.print(str(path.absolute()), soft_wrap=True)


def _verdict(compared: Sequence[Compared]) -> Styled:
    """Count the days of each verdict in one line, the worst verdict first."""
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.fidelity.report.comparison import VERDICTS

    counts = Counter(each.verdict for each in compared)
    parts = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    style = "bold red" if any(each.verdict in BAD for each in compared) else "bold"
    return Styled(f"{len(compared):,} days: {parts}", style)


def _failures(each: Compared) -> str:
    """Say what fails on a day; gates that are only warnings are marked."""
    gates = ", ".join(
        failure.name + ("" if failure.severity == "error" else " (warning)") for failure in each.failures
    )
    return "; ".join(text for text in (each.said, gates) if text)
