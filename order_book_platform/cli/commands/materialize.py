"""`obp materialize` makes the assets of one partition and records the run in the Dagster instance."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from order_book_platform.cli.options import Invocation, day_option, json_option, partition_key, symbol_option
from order_book_platform.cli.output import gates_table, print_json, stdout, table

if TYPE_CHECKING:
    from order_book_platform.cli.asset_run import RunOutcome
    from order_book_platform.storage import DataStore


@click.command(short_help="Make the assets of one symbol and day.")
@symbol_option
@day_option
@click.option("--select", default="", metavar="A,B", help="Only these assets.  [default: all six]")
@json_option
@click.pass_obj
def materialize(invocation: Invocation, symbol: str, day: date, select: str, as_json: bool) -> bool:
    """Make the assets of one symbol and day, from the source files to the features.

    The run is recorded in the Dagster instance ($DAGSTER_HOME, else .dagster beside the settings file), where
    the web UI shows it. Exits 1 if a gate of severity error does not hold; what was published stays, marked
    by its checks.

    \b
    Example:
      obp materialize --symbol BINANCE_FUTURES:BTC-USDT-PERP --day 2024-08-08
      obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-08 --select fidelity_report,rl_features
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()
    key = partition_key(settings, symbol, day)

    from order_book_platform.cli.asset_run import run_assets
    from order_book_platform.storage import DataStore

    names = [name.strip() for name in select.split(",") if name.strip()]
    outcome = run_assets(invocation, settings, key, names)
    store = DataStore(settings.data_root)
    if as_json:
        print_json(_document(outcome, store))
    else:
        _show(outcome, store)
    return outcome.passed


def _document(outcome: RunOutcome, store: DataStore) -> dict[str, object]:
    return {
        "symbol": outcome.key.instrument.key,
        "day": outcome.key.day.isoformat(),
        "run_id": outcome.run_id,
        "passed": outcome.passed,
        "assets": [
            {
                "name": asset.manifest.dataset,
                "path": str(store.folder(asset.manifest.dataset, outcome.key)),
                "rows": asset.manifest.main_rows,
                "files": sorted(asset.manifest.files),
                "fingerprint": asset.manifest.fingerprint,
                "seconds": round(asset.seconds, 3),
                "gates": [gate.to_dict() for gate in asset.gates],
            }
            for asset in outcome.assets
        ],
    }


def _show(outcome: RunOutcome, store: DataStore) -> None:
    """Print the assets, the gates of each, the verdict, and where the reports are."""
    console = stdout()
    folders = [store.folder(asset.manifest.dataset, outcome.key) for asset in outcome.assets]
    rows = []
    for asset, folder in zip(outcome.assets, folders, strict=True):
        count = "" if asset.manifest.main_rows is None else f"{asset.manifest.main_rows:,}"
        rows.append((asset.manifest.dataset, count, f"{asset.seconds:.1f} s", folder))
    console.print(table(str(outcome.key), ("asset", "rows", "time", "where"), rows, right=("rows", "time")))
    for asset in outcome.assets:
        if asset.gates:
            console.print()
            console.print(gates_table(f"Gates of {asset.manifest.dataset}", asset.gates))
    console.print()
    failed = [(dataset, gate) for dataset, gate in outcome.gates if not gate.passed]
    colour = "green" if outcome.passed else "bold red"
    held = f"[{colour}]{len(outcome.gates) - len(failed)} of {len(outcome.gates)} gates hold.[/]"
    console.print(held if outcome.gates else "Done; these assets have no gates.")
    for severity, word in (("error", "[bold red]Failed:[/]"), ("warn", "[yellow]Warnings:[/]")):
        names = [f"{dataset}.{gate.name}" for dataset, gate in failed if gate.severity == severity]
        if names:
            console.print(f"{word} {', '.join(names)}")
    for asset, folder in zip(outcome.assets, folders, strict=True):
        for name in ("report.md", "report.html"):
            if name in asset.manifest.files:
                console.print(f"Report: {folder / name}")
