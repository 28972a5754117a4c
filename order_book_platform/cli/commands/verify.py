"""`obp verify` replays a published day again and compares the hashes."""

from __future__ import annotations

from datetime import date

import click
from rich.text import Text

from order_book_platform.cli.options import Invocation, day_option, json_option, partition_key, symbol_option
from order_book_platform.cli.output import print_json, progress_bars, stdout, table


@click.command(short_help="Replay a published day and compare.")
@symbol_option
@day_option
@click.option(
    "--batch-rows",
    type=click.IntRange(min=1),
    help="Rows decoded at a time; another number must not change the result.  [default: the settings']",
)
@json_option
@click.pass_obj
def verify(invocation: Invocation, symbol: str, day: date, batch_rows: int | None, as_json: bool) -> bool:
    """Replay a published day again and compare the replay_hash. Exits 1 if it differs.

    Three hashes have to be equal: the one in the manifest, that of the second replay, and that of the rows as
    they stand in the published parts. Inputs that were published anew since the books were made are named, and exit 1
    too: the books are out of date.

    \b
    Example:
      obp verify --symbol BINANCE:BTC-USDT --day 2024-08-08 --batch-rows 10000
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()
    key = partition_key(settings, symbol, day)

    from order_book_platform.reconstruct import Reconstructor
    from order_book_platform.storage import DataStore

    with progress_bars() as progress:
        found = Reconstructor(DataStore(settings.data_root), settings).verify(
            key, batch_rows=batch_rows, progress=progress
        )
    hashes = {name: getattr(found, name) for name in ("published", "replayed", "stored")}
    if as_json:
        names = {"symbol": key.instrument.key, "day": key.day.isoformat()}
        counts = {"matches": found.matches, "rows": found.rows}
        print_json({**names, **counts, **hashes, "changed_inputs": found.changed_inputs})
        return found.matches
    equal = len(set(hashes.values())) == 1
    console = stdout()
    console.print(table(f"{key}: {found.rows:,} rows", ("replay_hash", "SHA-256"), hashes.items()))
    console.print(Text("equal", "green") if equal else Text("DIFFERENT", "bold red"))
    if found.changed_inputs:
        console.print(f"Published anew since the books were made: {', '.join(found.changed_inputs)}")
    return found.matches
