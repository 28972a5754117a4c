"""`obp simulate` writes Crypto Lake files of a simulated market, with the truth beside them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from order_book_platform.cli.options import DAY, json_option, seed_option
from order_book_platform.cli.output import print_json, progress_bars, stdout, table
from order_book_platform.clock import iso_from_ns

PROFILES = (("-USD-PERP", "coinm"), ("-PERP", "btc-perp"), ("", "btc-spot"))
"""Ending of a symbol, and the profile that such a symbol gets by default; the first ending that fits counts."""


@click.command(short_help="Write a simulated day, with the truth.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the lake."
)
@click.option("--symbol", required=True, metavar="EXCHANGE:SYMBOL", help="Such as SIMULATED:BTC-USDT-PERP.")
@click.option("--day", required=True, type=DAY, help="UTC day to simulate.")
@click.option("--messages", required=True, type=click.IntRange(min=1), help="Depth messages of the market.")
@seed_option
@click.option("--fault", "faults", default="", metavar="FAULT,…", help="What goes wrong; see below.")
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME",
    help="btc-perp, btc-spot or coinm: the recording it resembles.  [default: by the symbol's ending]",
)
@json_option
def simulate(
    out: Path,
    symbol: str,
    day: date,
    messages: int,
    seed: int,
    faults: str,
    profile_name: str | None,
    as_json: bool,
) -> None:
    """Write book_delta_v2, book and trades of a simulated day, and under truth/ what really happened.

    The same arguments give the same bytes. Needs no settings file.

    \b
    Faults, joined by commas (COUNT 1, 2, …; MESSAGE: where it starts; TIME 100ms, 1.27s, 5m):
      drop=COUNT[@MESSAGE]            consecutive messages never arrive
      silence=COUNT[xTIME][@MESSAGE]  intervals without messages
      crossed=COUNT[xTIME][@MESSAGE]  levels that cross the book and stay
      ghost=COUNT                     removals near the best price never arrive
      bad_snapshots=COUNT             book rows that are wrong
      duplicates=COUNT                rows that come twice
      unsorted=COUNT                  rows swapped between neighbouring messages
      clock_skew=[-]TIME              the recorder's clock is that far ahead (or behind)

    \b
    Example:
      obp simulate --out data/lake --symbol SIMULATED:BTC-USDT-PERP --day 2024-08-08 --messages 20000
      obp simulate --out data/lake --symbol SIMULATED:ETH-USDT --day 2024-08-08 --messages 20000 --fault drop=16
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.model import Instrument, PartitionKey
    from order_book_platform.simulate import Faults, MarketSimulator, profile

    key = PartitionKey(Instrument.parse(symbol), day)
    ordered_faults = Faults.parse(faults)
    simulator = MarketSimulator(profile(profile_name or profile_of(symbol)), seed)
    with progress_bars() as progress:
        report = simulator.write(out, key, messages, ordered_faults, progress)
    first, last = iso_from_ns(report.first_timestamp), iso_from_ns(report.last_timestamp)
    if as_json:
        document = {
            "symbol": report.key.instrument.key,
            "day": report.key.day.isoformat(),
            "profile": simulator.profile.name,
            "seed": seed,
            "faults": str(ordered_faults),
            "messages": report.messages,
            "rows": report.rows,
            "first_time": first,
            "last_time": last,
            "injected": list(report.injected),
            "files": {table: str(path) for table, path in report.files.items()},
        }
        print_json(document)
        return
    console = stdout()
    what = f"profile {simulator.profile.name}: {report.messages:,} messages"
    console.print(f"[bold]{report.key}[/], {what}, {first} to {last}")
    files = report.files.items()
    rows = ((name, f"{report.rows[name]:,}" if name in report.rows else "", path) for name, path in files)
    console.print(table("", ("table", "rows", "file"), rows, right=("rows",)))
    if report.injected:
        found = ", ".join(sorted({str(each.get("fault", each.get("kind", "?"))) for each in report.injected}))
        console.print(f"{len(report.injected):,} faults injected: {found}")


def profile_of(symbol: str) -> str:
    """Choose the profile by the symbol's ending."""
    return next(name for ending, name in PROFILES if symbol.endswith(ending))
