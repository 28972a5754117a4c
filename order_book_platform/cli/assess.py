"""`obp assess`: can a faithful book be made from these data, and how?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.cli.group import EXIT_FAILED, Invocation
from order_book_platform.cli.options import DayType, json_option, partition_key, symbol_option

if TYPE_CHECKING:
    from order_book_platform.model import PartitionKey
    from order_book_platform.settings import Settings

ASSETS = ("sequence_gap_report", "data_assessment")


@click.command(short_help="Judge a symbol's data: go or no-go, and why.")
@symbol_option
@click.option(
    "--day",
    "days",
    multiple=True,
    type=DayType(),
    help="UTC day of arrival; may be given several times.  [default: every day there are files of]",
)
@json_option
@click.pass_context
def assess(ctx: click.Context, symbol: str, days: tuple[date, ...], as_json: bool) -> None:
    """Judge the data of a symbol: availability, gaps, clocks, precision, cost; go or no-go, and every rule.

    Makes sequence_gap_report and data_assessment anew, and raw_deltas where it is missing or its files have changed;
    the runs are recorded in the Dagster instance. Exits 1 if any day is a no-go.

    \b
    Example:
      obp assess --symbol BINANCE_FUTURES:BTC-USDT-PERP --day 2024-08-08
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    invocation: Invocation = ctx.obj
    settings = invocation.settings()
    reports = []
    for key in _keys(settings, symbol, days):
        reports.append(_assess(invocation, settings, key))
        if not as_json:
            _show(reports[-1])
    if as_json:
        from order_book_platform.cli.output import print_json

        print_json(reports)
    if any(report["verdict"] == "no-go" for report in reports):
        ctx.exit(EXIT_FAILED)


def _keys(settings: Settings, symbol: str, days: Sequence[date]) -> list[PartitionKey]:
    """The partitions to judge, in the order of time.

    Raises:
        SettingsError: the symbol or a day cannot be a partition.
        SourceMissingError: no day was named and there are no files.
    """
    from order_book_platform.clock import parse_day
    from order_book_platform.errors import SourceMissingError
    from order_book_platform.model import Instrument
    from order_book_platform.sources import LakeSource

    instrument = Instrument.parse(symbol)
    settings.instrument(instrument)
    if not days:
        found = map(parse_day, LakeSource(settings.lake_root).days("book_delta_v2", instrument))
        days = [day for day in found if day >= settings.first_day]
    if not days:
        raise SourceMissingError(
            expected=f"files of book_delta_v2 for {symbol} from {settings.first_day} on",
            found="none",
            where=str(settings.lake_root),
            remedy="Check lake_root, first_day and the symbol's spelling; obp doctor lists what there is.",
        )
    return [partition_key(settings, symbol, day) for day in sorted(set(days))]


def _assess(invocation: Invocation, settings: Settings, key: PartitionKey) -> dict[str, Any]:
    from order_book_platform.cli.runner import run_assets
    from order_book_platform.storage import DataStore

    assets = ASSETS if _is_current(settings, key) else ("raw_deltas", *ASSETS)
    run_assets(invocation, settings, key, assets)
    return DataStore(settings.data_root).report("data_assessment", key)


def _is_current(settings: Settings, key: PartitionKey) -> bool:
    """Whether raw_deltas has been published from the files that are there now (or they are gone)."""
    from order_book_platform.sources import LakeSource
    from order_book_platform.storage import DataStore

    store, source = DataStore(settings.data_root), LakeSource(settings.lake_root)
    if not all(store.exists(dataset, key) for dataset in ("raw_deltas", "snapshots", "trades")):
        return False
    if not source.has("book_delta_v2", key):
        return True
    for dataset, table in (("raw_deltas", "book_delta_v2"), ("snapshots", "book"), ("trades", "trades")):
        files = {f"{table}/{name}": digest for name, digest in source.fingerprints(table, key).items()}
        if store.manifest(dataset, key).inputs != files:
            return False
    return True


def _show(report: dict[str, Any]) -> None:
    from order_book_platform.cli.output import Styled, figure, stdout, table, verdict

    console = stdout()
    style = {"go": "bold green", "no-go": "bold red"}.get(report["verdict"], "bold yellow")
    heading = Styled(report["verdict"], style).markup
    console.print(f"\n[bold]{report['symbol']} {report['day']}[/]: {heading}, {report['why']}")
    console.print(
        table(
            "Rules",
            ("rule", "value", "bar", "result", "meaning"),
            (
                (
                    rule["name"],
                    figure(rule["value"]),
                    rule["gate"],
                    verdict(rule["passed"], rule["severity"]),
                    rule["note"],
                )
                for rule in report["rules"]
            ),
            right=("value",),
        )
    )
    console.print()
    console.print(table("What there is", ("what", "found"), _facts(report)))


def _facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """One line per thing worth knowing before a run."""
    from order_book_platform.clock import iso_from_ns

    audit, clocks, precision, gaps = (report[name] for name in ("audit", "clocks", "precision", "gaps"))
    for name, entry in report["availability"].items():
        yield name, f"{entry['rows']:,} rows" if entry["available"] else "not there"
    yield "span", f"{iso_from_ns(audit['first_origin_time'])} to {iso_from_ns(audit['last_origin_time'])}"
    yield "messages", f"{audit['messages']:,}, the longest of {audit['longest_message']:,} rows"
    causes = ", ".join(f"{count:,} {cause}" for cause, count in gaps["by_cause"].items())
    yield f"gaps ({gaps['kind']})", f"{gaps['gaps']:,}" + (f": {causes}" if causes else "")
    yield "longest pause", f"{clocks['longest_pause_ms']:,.1f} ms"
    yield "latency, ms", ", ".join(f"{name} {value:,.2f}" for name, value in clocks["latency_ms"].items())
    yield (
        "precision",
        (
            f"{precision['chosen']}, tick {precision['tick']}, lot {precision['lot']}; "
            f"{precision['price_decimals']} and {precision['size_decimals']} decimals"
        ),
    )
    recommended = report["recommendation"]
    yield (
        "recommended",
        f"strategy {recommended['strategy']}, seeding {recommended['seeding']} ({recommended['rule']})",
    )
    estimate = report["estimate"]
    yield "estimate", f"{estimate['peak_bytes'] / 1e9:.2f} GB, {estimate['seconds']:,.1f} s"
