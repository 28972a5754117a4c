"""`obp import-recording` turns files of recorded messages into a capture."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from order_book_platform.cli.options import Invocation, json_option, symbol_option


class IncrementType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """Type of a tick or lot: a decimal above 0."""

    name = "DECIMAL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Parse the decimal; anything else is a usage error."""
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal(0)
        if not number.is_finite() or number <= 0:
            self.fail(f"expected a decimal above 0, found {value!r}", param, ctx)
        return number


@click.command(name="import-recording", short_help="Recorded messages become a capture.")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--market", required=True, type=click.Choice(["usdm", "coinm", "spot"]), help="Binance's market."
)
@symbol_option
@click.option(
    "--unit", type=click.Choice(["ns", "us"]), default="ns", help="Unit of the arrivals; ns by default."
)
@click.option("--tick", type=IncrementType(), help="Increment of prices; by default what divides them all.")
@click.option("--lot", type=IncrementType(), help="Increment of sizes; by default what divides them all.")
@click.option("--name", help="Name of the capture; by default that of the market.")
@json_option
@click.pass_obj
def import_recording(
    invocation: Invocation,
    files: tuple[Path, ...],
    market: str,
    symbol: str,
    unit: str,
    tick: Decimal | None,
    lot: Decimal | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Import files of lines `<arrival> <message>`, plain or gzip, in order of time, and decode them.

    They become the raw log of a capture below capture_root, as if it had been recorded by one connection, and the live
    logs beside it. `obp materialize` then takes their days where lake_root has none.

    \b
    Example:
      obp import-recording btcusdt_20240808.gz --market usdm --symbol BINANCE_FUTURES:BTC-USDT-PERP
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()

    from order_book_platform.cli.output import print_json, stdout, table
    from order_book_platform.model import Instrument
    from order_book_platform.sources.binance.live_decoding import LiveDecoding
    from order_book_platform.sources.binance.market import market_named
    from order_book_platform.sources.binance.recording_import import (
        Recording,
    )
    from order_book_platform.sources.binance.recording_import import (
        import_recording as write_raw_log,
    )
    from order_book_platform.storage.master_keys import load_master_keys

    recording = Recording(market_named(market), Instrument.parse(symbol), files, unit)
    if tick is None or lot is None:
        found = recording.increments()
        tick, lot = tick or found.tick, lot or found.lot
    capture = settings.capture_root / (name or market)
    keys = load_master_keys(settings.capture.key_file)
    rows = write_raw_log(recording, capture / "raw", tick, lot, keys=keys)
    decoded = LiveDecoding(capture / "raw", capture / "live", keys=keys).run(lambda: False)
    facts: dict[str, Any] = {
        "capture": str(capture),
        "rows": rows,
        "tick": str(tick),
        "lot": str(lot),
        "live": [str(folder) for folder in decoded.folders],
        **decoded.report,
    }
    if as_json:
        print_json(facts)
        return
    counts = {**decoded.report["instruments"].get(symbol, {}), **decoded.report["counts"]}
    shown = [(each.replace("_", " "), f"{count:,}") for each, count in counts.items()]
    stdout().print(
        table(f"{capture}: {rows:,} rows, tick {tick}, lot {lot}", ("", "count"), shown, right=("count",))
    )
