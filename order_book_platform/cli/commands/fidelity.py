"""`obp fidelity` shows how exact a book is, and that the report about it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.cli.commands.fidelity_compare import compare
from order_book_platform.cli.group import Invocation
from order_book_platform.cli.options import day_option, json_option, partition_key, symbol_option

if TYPE_CHECKING:
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.errors import OrderBookPlatformError
    from order_book_platform.fidelity import SelfTestResult
    from order_book_platform.fidelity.self_test.self_test import Cell
    from order_book_platform.model import GateResult, PartitionKey

SYMBOL, DAY = "SIMULATED:BTC-USDT-PERP", "2024-08-08"
"""Symbol and day that the self-test simulates."""


@click.group(short_help="How exact a book is, and a test of that test.")
def fidelity() -> None:
    """Measure how exact a book is, and show that the measurement can fail.

    \b
    Example:
      obp fidelity report --symbol BINANCE:BTC-USDT --day 2024-08-08
      obp fidelity compare --days 2024-08-01..2024-08-31
      obp fidelity self-test
    """  # noqa: D301 - \b is click's mark for "do not rewrap"


fidelity.add_command(compare)


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

    from order_book_platform.cli.display.output import gates_table, print_json, progress_bars, stdout
    from order_book_platform.fidelity import FidelityReporter
    from order_book_platform.model import GateResult
    from order_book_platform.storage import DataStore

    store = DataStore(settings.data_root)
    reporter = FidelityReporter(store, settings)
    if golden is not None:
        with progress_bars() as progress:
            reporter.run(key, progress, golden=DataStore(golden))
    elif remake or not reporter.is_current(key):
        if not remake and reporter.has_golden(key):
            raise _would_lose_golden(key)
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
        console.print(_verdict(gates))
        console.print(gates_table(str(key), gates))
        console.print(str(store.path("fidelity_report", key, "report.html")), soft_wrap=True)
    passed: bool = found["passed"]
    return passed


def _would_lose_golden(key: PartitionKey) -> OrderBookPlatformError:
    """Make the error about a report that is out of date and whose golden evidence a new one would lose."""
    from order_book_platform.errors import EvidenceError

    return EvidenceError(
        expected="a report that is up to date, or one without a golden sample",
        found="one that is out of date and holds evidence of a golden sample, which a new one would lose",
        where=f"fidelity_report of {key}",
        remedy="Give the data root of the golden sample with --golden, or --remake to make the report without it.",
    )


def _verdict(gates: Sequence[GateResult]) -> str:
    """Write the answer and the gates that it rests on in one line."""
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.fidelity import verdict_line

    line = verdict_line(gates)
    return Styled(line, "bold green" if line.startswith("faithful") else "bold red").markup


@fidelity.command("self-test", short_help="Put known defects into a book and see every gate fail.")
@click.option(
    "--messages",
    type=click.IntRange(min=4_000),
    default=6_000,
    show_default=True,
    help="Depth messages of the simulated day.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which market of many."
)
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
    from tempfile import TemporaryDirectory

    from order_book_platform.cli.display.output import print_json, progress_bars
    from order_book_platform.cli.self_test_days import faulty_days, sound_day
    from order_book_platform.fidelity import SelfTest
    from order_book_platform.model import PartitionKey

    key = PartitionKey.parse(SYMBOL, DAY)
    with TemporaryDirectory(prefix="obp-self-test-") as folder, progress_bars() as progress:
        store = sound_day(Path(folder) / "sound", key, messages, seed, progress)
        faulty = list(faulty_days(Path(folder), key, messages, seed, progress))
        found = SelfTest(store, key).run(faulty, progress)
    if as_json:
        print_json(_document(found, messages, seed))
    else:
        _show(found)
    return found.passed


def _document(found: SelfTestResult, messages: int, seed: int) -> dict[str, Any]:
    from dataclasses import asdict

    cells = []
    for cell in found.cells:
        values = asdict(cell)
        # Readers of the document know the figure of the slow definition by this key.
        values["plain"] = values.pop("slow")
        cells.append({**values, "problem": cell.problem})
    return {
        "passed": found.passed,
        "messages": messages,
        "seed": seed,
        "defects": found.words,
        "cells": cells,
        "problems": list(found.problems),
    }


def _show(found: SelfTestResult) -> None:
    """Print the defects, every gate on every day, the figures that were expected, and each problem."""
    from order_book_platform.cli.display.output import Styled, stdout, table

    console = stdout()
    heads = [str(number) for number in range(len(found.days))]
    defects = ((number, day, found.words[day]) for number, day in enumerate(found.days))
    console.print(table("Defects", ("", "defect", "what is done"), defects, right=("",)))
    console.print()
    console.print(
        table(
            "Gates by defect: F fails, · holds, ! not as expected",
            ("gate", *heads, "bar"),
            _gate_rows(found),
        )
    )
    console.print()
    console.print(
        table(
            "Gates that must fail, and figures that follow from the injection",
            ("defect", "gate", "bar", "by injection", "slowly", "found", "gate must", "result"),
            _expectations(found),
            right=("by injection", "slowly", "found"),
        )
    )
    for problem in found.problems:
        console.print(Styled(problem, "bold red").markup)
    compared = sum(cell.compared for cell in found.cells)
    end = Styled("all as expected", "green") if found.passed else Styled("NOT AS EXPECTED", "bold red")
    console.print(
        f"\n{len(found.days) - 1} defects, {len(found.gates)} gates, "
        f"{compared:,} figures held against slow ones: {end.markup}"
    )


def _gate_rows(found: SelfTestResult) -> Iterator[Sequence[object]]:
    """Each gate with a mark for each day, and its bar."""
    by_place = {(cell.gate, cell.defect): cell for cell in found.cells}
    for gate in found.gates:
        cells = [by_place[gate, day] for day in found.days if (gate, day) in by_place]
        yield gate, *(_mark(cell) for cell in cells), cells[0].bar


def _mark(cell: Cell) -> str | Styled:
    """Mark one gate on one day: F fails, · holds, ! is not as expected."""
    from order_book_platform.cli.display.output import Styled

    if cell.problem:
        return Styled("!", "bold red")
    return "·" if cell.passed else Styled("F", "yellow")


def _expectations(found: SelfTestResult) -> Iterator[Sequence[object]]:
    """Rows of the gates that must fail, of figures that follow from the defect, and of problems."""
    from order_book_platform.cli.display.output import Styled
    from order_book_platform.model.gates import figure

    for cell in found.cells:
        if cell.must == "fail" or cell.injected is not None or cell.problem:
            yield (
                cell.defect,
                cell.gate,
                cell.bar,
                "" if cell.injected is None else figure(cell.injected),
                figure(cell.slow) if cell.compared else "",
                figure(cell.found, cell.bar),
                cell.must,
                Styled("NO", "bold red") if cell.problem else Styled("yes", "green"),
            )
