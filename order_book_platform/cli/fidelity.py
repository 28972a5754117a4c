"""`obp fidelity`: how exact is a published book, against all references there are and a golden sample?"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from order_book_platform.cli.group import EXIT_FAILED, Invocation
from order_book_platform.cli.options import day_option, json_option, partition_key, symbol_option


@click.command(short_help="Measure a published book against references.")
@symbol_option
@day_option
@click.option(
    "--golden",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DATA_ROOT",
    help="Data root with the books of the same symbol and day from a recording of its own.",
)
@json_option
@click.pass_context
def fidelity(ctx: click.Context, symbol: str, day: date, golden: Path | None, as_json: bool) -> None:
    """Measure a published book and publish its fidelity_report anew. Exits 1 if the book is not faithful.

    With --golden the rows of another data root's book are a reference too, and its tickers where there are none of the
    day's own. A golden sample that was made from the same deltas is refused: it would show nothing. The run is not
    recorded in the Dagster instance.

    \b
    Example:
      obp fidelity --symbol BINANCE:BTC-USDT --day 2024-08-08 --golden /srv/capture/store
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    invocation: Invocation = ctx.obj
    settings = invocation.settings()
    key = partition_key(settings, symbol, day)

    from order_book_platform.cli.output import Styled, gates_table, print_json, progress_bars, stdout
    from order_book_platform.fidelity import FidelityReporter
    from order_book_platform.storage import DataStore

    store = DataStore(settings.data_root)
    with progress_bars() as progress:
        report = FidelityReporter(store, settings).run(
            key, progress, golden=DataStore(golden) if golden else None
        )
    if as_json:
        print_json(store.report("fidelity_report", key))
    else:
        stdout().print(gates_table(str(key), report.gates))
        faithful = Styled("faithful", "green") if report.passed else Styled("NOT FAITHFUL", "bold red")
        stdout().print(faithful.markup)
        stdout().print(str(store.path("fidelity_report", key, "report.html")))
    if not report.passed:
        ctx.exit(EXIT_FAILED)
