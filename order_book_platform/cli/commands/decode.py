"""`obp decode` writes the live logs of a capture from its raw log, as it grows."""

from __future__ import annotations

from typing import Any

import click

from order_book_platform.cli.commands.follow import LOOK_AGAIN_S
from order_book_platform.cli.options import Invocation, json_option, stopped_by_signals


@click.command(short_help="Live logs of a capture, as it grows.")
@click.option(
    "--capture", "name", required=True, metavar="NAME", help="Folder of the capture below capture_root."
)
@click.option("--once", is_flag=True, help="Stop when all that is there has been decoded.")
@json_option
@click.pass_obj
def decode(invocation: Invocation, name: str, once: bool, as_json: bool) -> None:
    """Decode the raw log of a capture: deltas, snapshots, tickers and trades of each instrument, for `obp follow`.

    Ctrl-C ends it; so does a kill. The next call goes on, and every row is there once. docs/formats/raw_log.md says how
    rows are decoded.

    \b
    Example:
      obp decode --capture usdm
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()

    from order_book_platform.cli.output import print_json, stdout, table
    from order_book_platform.sources.binance.live_decoding import LiveDecoding
    from order_book_platform.storage.master_keys import load_master_keys

    folder = settings.capture_root / name
    with stopped_by_signals() as stopped:
        found = LiveDecoding(
            folder / "raw", folder / "live", keys=load_master_keys(settings.capture.key_file)
        ).run(lambda: not once and not stopped.wait(LOOK_AGAIN_S))
    facts: dict[str, Any] = {"resumed_from": found.resumed_from, "next_row": found.next_row, **found.report}
    if as_json:
        print_json(facts)
        return
    counts = dict(found.report.get("counts", {}))
    for symbol, own in found.report.get("instruments", {}).items():
        counts |= {f"{symbol} {each.replace('_', ' ')}": count for each, count in own.items()}
    rows = [(each, f"{count:,}") for each, count in counts.items()]
    title = f"{name}: decoded to row {found.next_row:,}"
    stdout().print(table(title, ("", "count"), rows, right=("count",)))
    for gap in found.report.get("recorder_gaps", ()):
        if gap["why"] == "removed":
            stdout().print(f"Gap: the first {gap['rows']:,} rows have been removed from the log.")
