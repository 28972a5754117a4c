"""`obp exchange` serves a local exchange that speaks Binance's protocol."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.cli.options import SecondsType
from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    from order_book_platform.exchange import ExchangeServer, LocalExchange
    from order_book_platform.exchange.feeds.feed_event import Feed

MARKETS = ("usdm", "coinm", "spot")
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="A local exchange, for tests and demos.")
@click.option(
    "--simulate",
    "simulated",
    multiple=True,
    metavar="MARKET:SYMBOL,…",
    help="Symbols to simulate, such as usdm:BTCUSDT,ETHUSDT.",
)
@click.option(
    "--recording",
    "recorded",
    multiple=True,
    metavar="MARKET:FILE,…",
    help="Recording of one symbol; files that continue the first one follow it.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=1000.0,
    show_default=True,
    help="Level changes a second of all simulated symbols of a market together.",
)
@click.option(
    "--speed", default="1", show_default=True, help="Pace of recordings: a multiple, or `unlimited`."
)
@click.option(
    "--start",
    type=click.Choice(["at_once", "subscribed"]),
    help="When feeds start.  [default: subscribed with a recording, else at_once]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_533),
    default=0,
    help="Port of the first market.  [default: free ones]",
)
@click.option("--tls", is_flag=True, help="Speak TLS, with a certificate made for loopback.")
@click.option(
    "--certificate-folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the certificate is written.",
)
@click.option(
    "--grouping",
    type=click.Choice(["shared", "own"]),
    default="shared",
    show_default=True,
    help="Depth messages: the same for all connections, or grouped differently on each.",
)
@click.option("--fault", "faults", multiple=True, metavar="FAULT,…", help="What goes wrong; see below.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of faults, groupings, markets."
)
@click.option("--life", default="24h", show_default=True, help="Age at which a connection is closed.")
@click.option(
    "--trade-route",
    type=click.Choice(["public", "market", "both"]),
    default="public",
    show_default=True,
    help="Route of futures that delivers @trade.",
)
@click.option("--coinm-routed", is_flag=True, help="COIN-M's unrouted path delivers only what /public has.")
@click.option(
    "--as-recorded", is_flag=True, help="Payloads of recordings to the byte, without the keys st and ps."
)
@click.option("--ledger", "ledger_file", type=FILE, help="List of everything sent: .parquet, else NDJSON.")
@click.option(
    "--duration",
    type=SecondsType(),
    help="Stop after so many seconds, or a time such as 5m.  [default: until Ctrl-C]",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Addresses as one line of JSON, and at the end the figures as a document.",
)
def exchange(as_json: bool, **given: Any) -> None:
    """Serve USD-M, COIN-M and spot on loopback, a port for each market, websockets and REST on the same one.

    Prints the addresses, and serves until Ctrl-C, a kill or the end of --duration; then it prints what it has sent.
    A stream of another kind than depth, bookTicker and trade is acknowledged and stays silent.

    \b
    Faults: KIND[=PROBABILITY][@N[+N…]][~TIME][/VALUE][xMOST][:STREAM], joined by commas; without a probability, a
    number or a time: at each opportunity.
      drop duplicate reorder malformed binary bad_frame wrong_pu[/OFFSET]     of a message, counted by connection
      silence disconnect close[/CODE] server_shutdown[/LEAD] clock_jump[/TIME]  at a message
      silent_ack                                                              of a subscription
      wrong_route refuse[/STATUS]                                             of a connection
      slow_snapshot[/TIME] stale_snapshot[/TIME]                              of a REST depth
      429[/RETRY_AFTER] 418[/RETRY_AFTER] 403 503                             of a REST request

    \b
    Example:
      obp exchange --simulate usdm:BTCUSDT,ETHUSDT --rate 5000 --port 9000
      obp exchange --recording usdm:btcusdt_20240808.gz --speed unlimited --ledger sent.parquet
      obp exchange --simulate spot:BTCUSDT --tls --grouping own --fault disconnect~60s,drop=0.0001:depth
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.cli.output import print_json
    from order_book_platform.clock import Clock

    served = _made(given)
    with tempfile.TemporaryDirectory(prefix="obp-exchange-") as temporary:
        tls = None
        if given["tls"]:
            from order_book_platform.exchange.shell.self_signed_certificate import (
                server_context,
                write_certificate,
            )

            folder = given["certificate_folder"] or Path(temporary)
            files = write_certificate(folder, Clock().now_ns())
            given["certificate"] = files[0]
            tls = server_context(*files)
        asyncio.run(_serve(served, given, tls, given["duration"], as_json))
    summary = _summary(served)
    if as_json:
        print_json(summary)
    else:
        click.echo("  ".join(f"{name.replace('_', ' ')}: {value}" for name, value in summary.items()))


def _duration(convert: Any, text: str) -> int:
    try:
        return int(convert(text))
    except ValueError as error:
        raise SettingsError(
            expected="a duration such as 30s, 5m or 24h",
            found=repr(text),
            where="--life",
            remedy="Write a number and a unit.",
        ) from error


def _made(given: dict[str, Any]) -> LocalExchange:
    """Make the exchange that the options describe."""
    from order_book_platform.clock import Clock, duration_ns
    from order_book_platform.exchange import (
        ExchangeOptions,
        LocalExchange,
        Pace,
        SentLedger,
        Start,
        VenueOptions,
        parse_faults,
    )

    unlimited = given["speed"] == "unlimited"
    try:
        speed = None if unlimited else float(given["speed"])
    except ValueError as error:
        raise click.BadParameter("expected a number or `unlimited`.", param_hint="'--speed'") from error
    start = given["start"] or ("subscribed" if given["recorded"] else "at_once")
    options = ExchangeOptions(
        pace=Pace(speed, Start(start), hold_for_snapshot=unlimited),
        own_groupings=given["grouping"] == "own",
        faults=tuple(order for text in given["faults"] for order in parse_faults(text)),
        seed=given["seed"],
        venue=VenueOptions(
            given["trade_route"], not given["coinm_routed"], life_ns=_duration(duration_ns, given["life"])
        ),
    )
    ledger = SentLedger(given["ledger_file"])
    return LocalExchange(_feeds(given, options.venue), options, Clock().now_ns(), ledger)


def _feeds(given: dict[str, Any], options: Any) -> dict[str, list[Feed]]:
    from order_book_platform.exchange import RecordedFeed, SimulatedFeed, venue

    feeds: dict[str, list[Feed]] = {}
    for text in given["recorded"]:
        market, files = _split(text, "--recording")
        paths = tuple(Path(file).expanduser() for file in files)
        feeds.setdefault(market, []).append(
            RecordedFeed(paths, venue(market, options), not given["as_recorded"])
        )
    for text in given["simulated"]:
        market, symbols = _split(text, "--simulate")
        rate = given["rate"] / len(symbols)
        feeds.setdefault(market, []).extend(
            SimulatedFeed(symbol, venue(market, options), rate, given["seed"]) for symbol in symbols
        )
    if not feeds:
        raise click.UsageError("Nothing to serve: give --simulate or --recording.")
    return feeds


def _split(text: str, option: str) -> tuple[str, list[str]]:
    market, colon, rest = text.partition(":")
    values = [each for each in rest.split(",") if each]
    if market not in MARKETS or not colon or not values:
        raise click.BadParameter(f"{text!r} is not {'|'.join(MARKETS)}:….", param_hint=f"'{option}'")
    return market, values


async def _serve(
    served: LocalExchange, given: dict[str, Any], tls: Any, duration_s: float | None, as_json: bool
) -> None:
    """Serve until a signal, or the end of the time."""
    import gc

    from order_book_platform.exchange import ExchangeServer

    # What is loaded by now stays; looking through all of it for garbage would stop everything for 100 ms at times.
    gc.collect()
    gc.freeze()
    ports = (
        {name: given["port"] + index for index, name in enumerate(served.markets)} if given["port"] else None
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with ExchangeServer(served, ports, tls) as server:
        _announce(server, given, as_json)
        try:
            await asyncio.wait_for(stopped.wait(), duration_s)
        except TimeoutError:
            return


def _announce(server: ExchangeServer, given: dict[str, Any], as_json: bool) -> None:
    """Print the addresses; as JSON in one line, so that a program can read it while the exchange runs."""
    import json

    addresses = {
        name: {
            "websocket": server.websocket_url(name),
            "rest": server.rest_url(name),
            "symbols": list(market.books),
        }
        for name, market in server.exchange.markets.items()
    }
    certificate = given.get("certificate")
    if as_json:
        click.echo(json.dumps({"markets": addresses, "certificate": certificate and str(certificate)}))
        return
    for name, each in addresses.items():
        click.echo(f"{name:<6} {each['websocket']}  {each['rest']}  {', '.join(each['symbols'])}")
    if certificate:
        click.echo(f"certificate to trust: {certificate}")


def _summary(served: LocalExchange) -> dict[str, object]:
    """Return figures of the run: events, connections, rows of the ledger, weight."""
    return {
        "events": served.events_played,
        "connections": served.connections_opened,
        "ledger_rows": served.ledger.rows,
        "most_weight_in_a_minute": served.most_weight(),
    }
