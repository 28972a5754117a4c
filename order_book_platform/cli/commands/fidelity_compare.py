"""`obp fidelity compare`: which days of which symbols are bad, at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from order_book_platform.cli.group import EXIT_FAILED, Invocation
from order_book_platform.cli.options import DaysType, json_option

if TYPE_CHECKING:
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.fidelity.report.comparison import Compared
    from order_book_platform.settings import Settings

PAGE = Path("fidelity-comparison.html")
LISTED = 20
"""Days that the terminal lists with what fails; the page lists more, and `--json` all."""
_BAD = ("not faithful", "unreadable")


@click.command(short_help="Put the reports of many days side by side.")
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    metavar="EXCHANGE:SYMBOL",
    help="As listed in the settings; may be given several times.  [default: all that have books or reports]",
)
@click.option("--days", "span", type=DaysType(), help="Only these UTC days.  [default: all]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Where the page goes.  [default: {PAGE}; none with --json]",
)
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    symbols: tuple[str, ...],
    span: tuple[date, date] | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Put the published fidelity reports side by side: a calendar of verdicts, the gates that fail, the worst days.

    Measures nothing: books without a report, and reports of books that were made anew since, are shown as such. Exits 1
    if any day is not faithful or its report cannot be read.

    \b
    Example:
      obp fidelity compare
      obp fidelity compare --symbol BINANCE:BTC-USDT --days 2024-08-01..2024-08-31 --out august.html
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    invocation: Invocation = ctx.obj
    compared = _compare(invocation.settings(), symbols, span)
    path = out or (None if as_json else PAGE)
    if path:
        _write(path, compared)
    if as_json:
        from order_book_platform.cli.display.output import print_json

        counts = Counter(each.verdict for each in compared)
        days = [each.to_dict() for each in compared]
        print_json({"days": days, "counts": dict(counts), "page": path and str(path)})
    else:
        _show(compared, path)
    if any(each.verdict in _BAD for each in compared):
        ctx.exit(EXIT_FAILED)


def _compare(
    settings: Settings, symbols: Sequence[str], span: tuple[date, date] | None
) -> Sequence[Compared]:
    """What there is of the symbols and days.

    Raises:
        SettingsError: a symbol is not listed.
        PartitionMissingError: there is nothing at all.
    """
    from order_book_platform.cli.display.output import progress_bars
    from order_book_platform.errors import PartitionMissingError
    from order_book_platform.fidelity.report.comparison import compare_reports
    from order_book_platform.model import Instrument
    from order_book_platform.storage import DataStore

    instruments = [Instrument.parse(symbol) for symbol in dict.fromkeys(symbols)]
    for instrument in instruments:
        settings.instrument(instrument)
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


def _write(path: Path, compared: Sequence[Compared]) -> None:
    """Write the page.

    Raises:
        SettingsError: that cannot be done.
    """
    from order_book_platform.errors import SettingsError
    from order_book_platform.fidelity.report.comparison_page import render_comparison

    try:
        path.write_text(render_comparison(compared), encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            expected="a file that can be written",
            found=error.strerror or str(error),
            where=str(path),
            remedy="Choose another file with --out.",
        ) from error


def _show(compared: Sequence[Compared], path: Path | None) -> None:
    from order_book_platform.cli.display.output import stdout, table
    from order_book_platform.fidelity.report.comparison import count_gates, worst_first
    from order_book_platform.model.gates import figure

    console = stdout()
    console.print(_verdict(compared).markup)
    worst = [each for each in worst_first(compared) if each.verdict != "faithful"]
    if worst:
        console.print()
        rows = [(each.key, _styled(each.verdict), _what(each)) for each in worst[:LISTED]]
        console.print(table("Worst days first", ("symbol and day", "verdict", "what fails"), rows))
        if len(worst) > LISTED:
            console.print(f"and {len(worst) - LISTED:,} more")
    gates = count_gates(compared)
    if gates:
        heads = ("gate", "fails on days", "bar", "farthest", "where")
        lines = (
            (each.gate, each.failed, each.worst.bar, figure(each.worst.value, each.worst.bar), each.where)
            for each in gates
        )
        console.print()
        console.print(table("Gates that fail", heads, lines, right=("fails on days", "farthest")))
    if path:
        console.print(str(path.absolute()), soft_wrap=True)


def _verdict(compared: Sequence[Compared]) -> Styled:
    """How many days of each verdict, the worst first, in one line."""
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.fidelity.report.comparison import VERDICTS

    counts = Counter(each.verdict for each in compared)
    said = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    style = "bold red" if any(each.verdict in _BAD for each in compared) else "bold"
    return Styled(f"{len(compared):,} days: {said}", style)


def _styled(verdict: str) -> Styled:
    from order_book_platform.cli.display.output import Styled

    return Styled(verdict, "bold red" if verdict in _BAD else "yellow")


def _what(each: Compared) -> str:
    """What fails, warnings marked."""
    gates = ", ".join(failure.gate + ("" if failure.is_error else " (warning)") for failure in each.failures)
    return "; ".join(text for text in (each.said, gates) if text)
