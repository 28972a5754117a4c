"""`obp follow` rebuilds the books of a live capture while the capture grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from order_book_platform.cli.options import (
    Invocation,
    json_option,
    listed_instruments,
    stopped_by_signals,
    symbol_option,
)
from order_book_platform.cli.output import StageBars, live_progress, print_json, stdout, table

if TYPE_CHECKING:
    from order_book_platform.observability import StreamMetrics

LOOK_AGAIN_S = 0.002
"""Seconds until the capture is looked at again when there was nothing new."""
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Books of a live capture, as it grows.")
@symbol_option
@click.option("--in", "capture", required=True, type=FOLDER, help="Folder of the capture's logs.")
@click.option("--out", "output", required=True, type=FOLDER, help="Folder of the books.")
@click.option("--once", is_flag=True, help="Stop when all that is there has been followed.")
@json_option
@click.pass_obj
def follow(
    invocation: Invocation, symbol: str, capture: Path, output: Path, once: bool, as_json: bool
) -> None:
    """Follow a live capture: a row of the book for each message, appended to a log some milliseconds later.

    Ctrl-C ends it, also while it is behind; so does a kill. The next call goes on, and every row is there once.
    docs/formats/live.md says what lies in both folders.

    \b
    Example:
      obp follow --symbol BINANCE_FUTURES:BTC-USDT-PERP --in captures/btc --out live/btc
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()

    from order_book_platform.reconstruct import Reconstructor
    from order_book_platform.storage import DataStore

    (instrument,) = listed_instruments(settings, [symbol])
    with live_progress() as progress, stopped_by_signals() as stopped:
        bars = StageBars(progress)

        def observe(metrics: StreamMetrics) -> None:
            for stage in metrics.stages:
                bars(stage.stage, stage.rows, 0)

        def wait() -> bool:
            return not once and not stopped.wait(LOOK_AGAIN_S)

        found = Reconstructor(DataStore(settings.data_root), settings).follow(
            instrument, capture, output, wait, observe, stopped.is_set
        )
    names = ("rows", "rows_again", "messages", "deltas", "resumed_from")
    figures = {name: getattr(found, name) for name in names}
    checkpoints = {name: getattr(found, name) for name in ("checkpoints_written", "checkpoints_refused")}
    counts = dict(found.counts)
    if as_json:
        facts = {**figures, "tally": counts, **checkpoints, "replay_hash": found.replay_hash}
        print_json({"symbol": instrument.key, **facts})
    else:
        printed = (figures | checkpoints | counts).items()
        rows = [(name.replace("_", " "), f"{value:,}") for name, value in printed]
        stdout().print(table(f"{symbol}: followed", ("", "count"), rows, right=("count",)))
