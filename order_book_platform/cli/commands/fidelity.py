"""`obp fidelity` shows how exact books are, side by side if asked, and that the reports about them can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from order_book_platform.cli.options import (
    DAYS,
    Invocation,
    day_option,
    json_option,
    listed_instruments,
    partition_key,
    seed_option,
    symbol_option,
    symbols_option,
)
from order_book_platform.cli.output import (
    gates_table,
    print_json,
    progress_bars,
    stdout,
    styled_verdict,
    table,
    write_page,
)
from order_book_platform.errors import EvidenceError, PartitionMissingError

if TYPE_CHECKING:
    from order_book_platform.fidelity.report.comparison import Compared

PAGE = Path("fidelity-comparison.html")
LISTED_DAYS = 20
"""Number of days that the terminal lists with what fails; the page lists more, and `--json` all."""
BAD = ("not faithful", "unreadable")
"""Verdicts with which the command fails."""


@click.group(short_help="How exact a book is, and a test of that test.")
def fidelity() -> None:
    """Measure how exact a book is, and show that the measurement can fail.

    \b
    Example:
      obp fidelity report --symbol BINANCE:BTC-USDT --day 2024-08-08
      obp fidelity compare --days 2024-08-01..2024-08-31
      obp fidelity self-test
    """  # noqa: D301 - \b is click's mark for "do not rewrap"


@fidelity.command(short_help="Put the reports of many days side by side.")
@symbols_option(required=False, default="  [default: all that have books or reports]")
@click.option("--days", "span", type=DAYS, help="Only these UTC days.  [default: all]")
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
    from order_book_platform.fidelity.report.comparison import compare_reports, render_comparison
    from order_book_platform.storage import DataStore

    settings = invocation.settings()
    keys = [each.key for each in listed_instruments(settings, symbols)]
    first, last = span or (None, None)
    with progress_bars() as progress:
        compared = compare_reports(DataStore(settings.data_root), keys, first, last, progress)
    if not compared:
        when = f" from {first} to {last}" if span else ""
        raise PartitionMissingError(
            expected=f"fidelity reports or books of {', '.join(symbols) or 'any symbol'}{when}",
            found="none",
            where=str(settings.data_root),
            remedy="Make them with obp materialize, choose other days or symbols, or check data_root.",
        )
    path = out or (None if as_json else PAGE)
    if path:
        write_page(path, render_comparison(compared))
    if as_json:
        counts = Counter(each.verdict for each in compared)
        days = [each.to_dict() for each in compared]
        print_json({"days": days, "counts": dict(counts), "page": path and str(path)})
    else:
        _show_comparison(compared, path)
    return not any(each.verdict in BAD for each in compared)


def _show_comparison(compared: Sequence[Compared], path: Path | None) -> None:
    """Print the days by verdict, the worst days, the gates that fail, and where the page is."""
    from order_book_platform.fidelity.report.comparison import VERDICTS, count_gates, worst_first
    from order_book_platform.model.gates import figure

    console = stdout()
    counts = Counter(each.verdict for each in compared)
    parts = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    style = "bold red" if any(each.verdict in BAD for each in compared) else "bold"
    console.print(Text(f"{len(compared):,} days: {parts}", style))
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


def _failures(each: Compared) -> str:
    """Say what fails on a day; gates that are only warnings are marked."""
    gates = ", ".join(
        failure.name + ("" if failure.severity == "error" else " (warning)") for failure in each.failures
    )
    return "; ".join(text for text in (each.said, gates) if text)


@fidelity.command(short_help="Print the report of a published book.")
@symbol_option
@day_option
@click.option(
    "--golden",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DATA_ROOT",
    help="Data root with the books of the same symbol and day from a recording of its own.",
)
@click.option(
    "--remake", is_flag=True, help="Make it anew in any case, without --golden also without golden sample."
)
@json_option
@click.pass_obj
def report(
    invocation: Invocation, symbol: str, day: date, golden: Path | None, remake: bool, as_json: bool
) -> bool:
    """Print the fidelity report of a published book. Exits 1 if the book is not faithful.

    The report is made where there is none, and anew where the books, or what they are held against, have been published
    since; the run is recorded in the Dagster instance. The printed page has the plots.

    With --golden it is made anew in any case: the rows of another data root's book are a reference too, and its tickers
    where there are none of the day's own. A golden sample that was made from the same deltas is refused: it would show
    nothing. That run is not recorded in the Dagster instance. A report with such evidence is printed without --golden
    too; where it is out of date it is replaced by one without only with --remake.

    \b
    Example:
      obp fidelity report --symbol BINANCE:BTC-USDT --day 2024-08-08
      obp fidelity report --symbol BINANCE:BTC-USDT --day 2024-08-08 --golden /srv/capture/store
    """  # noqa: D301
    settings = invocation.settings()
    key = partition_key(settings, symbol, day)

    from order_book_platform.fidelity import FidelityReporter, verdict_line
    from order_book_platform.model import GateResult
    from order_book_platform.storage import DataStore

    store = DataStore(settings.data_root)
    reporter = FidelityReporter(store, settings)
    if golden is not None:
        with progress_bars() as progress:
            reporter.run(key, progress, golden=DataStore(golden))
    elif remake or not reporter.is_current(key):
        if not remake and reporter.has_golden(key):
            raise EvidenceError(
                expected="a report that is up to date, or one without a golden sample",
                found="one that is out of date and holds evidence of a golden sample, which a new one would lose",
                where=f"fidelity_report of {key}",
                remedy="Give the data root of the golden sample with --golden, or --remake to make the report "
                "without it.",
            )
        from order_book_platform.cli.asset_run import run_assets

        run_assets(invocation, settings, key, ("fidelity_report",))
    elif reporter.has_golden(key):
        click.echo("Held against a golden sample too; --remake makes a report without it.", err=True)
    found = store.report("fidelity_report", key)
    if as_json:
        print_json(found)
    else:
        console = stdout()
        gates = [GateResult(**gate) for gate in found["gates"]]
        verdict = verdict_line(gates)
        console.print(Text(verdict, "bold green" if verdict.startswith("faithful") else "bold red"))
        console.print(gates_table(str(key), gates))
        console.print(str(store.path("fidelity_report", key, "report.html")), soft_wrap=True)
    passed: bool = found["passed"]
    return passed


@fidelity.command("self-test", short_help="Put known defects into a book and see every gate fail.")
@click.option(
    "--messages",
    type=click.IntRange(min=4_000),
    default=6_000,
    show_default=True,
    help="Depth messages of the simulated day.",
)
@seed_option
@json_option
def self_test(messages: int, seed: int, as_json: bool) -> bool:
    """Show that the fidelity report sees what is wrong. Exits 1 if anything is not as expected.

    A day is simulated and its book made: every gate must hold. Then known defects are put in, one at a time: figures
    must equal those of a slow and simple implementation where it has them, and those that follow from how the defect
    was put in; the gates that are there for the defect must fail; and every gate must fail for one defect at least.
    Needs no settings file and leaves nothing behind.

    \b
    Example:
      obp fidelity self-test --messages 6000
    """  # noqa: D301
    from order_book_platform.cli.self_test_days import run_self_test

    return run_self_test(messages, seed, as_json)
