"""`obp book` shows the full book of any instant, replayed from the deltas."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from order_book_platform.cli.options import (
    TIME,
    Invocation,
    day_option,
    json_option,
    partition_key,
    symbol_option,
)
from order_book_platform.cli.output import print_json, stderr, stdout, table
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns

if TYPE_CHECKING:
    from order_book_platform.model import FixedPoint
    from order_book_platform.reconstruct import BookSide


@click.command(short_help="Show the full book at an instant.")
@symbol_option
@day_option
@click.option(
    "--at",
    "at_ns",
    type=TIME,
    help="After the last message up to this origin time (ISO 8601 UTC, or ns).",
)
@click.option(
    "--sequence",
    "sequence_number",
    type=click.IntRange(min=0),
    help="After the last message up to this sequence number.",
)
@click.option("--depth", type=click.IntRange(min=1), default=20, show_default=True, help="Levels a side.")
@json_option
@click.pass_obj
def book(
    invocation: Invocation,
    symbol: str,
    day: date,
    at_ns: int | None,
    sequence_number: int | None,
    depth: int,
    as_json: bool,
) -> None:
    """Show the full book at an instant, replayed from the deltas.

    Levels marked ? lie outside the price range the book knows: there may be others between them.

    \b
    Example:
      obp book --symbol BINANCE:BTC-USDT --day 2024-08-08 --at 2024-08-08T23:55:00.5Z --depth 5
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    if (at_ns is None) == (sequence_number is None):
        raise click.UsageError("expected either --at TIME or --sequence N")
    settings = invocation.settings()
    key = partition_key(settings, symbol, day)

    from order_book_platform.model import BookFlag
    from order_book_platform.reconstruct import Reconstructor
    from order_book_platform.storage import DataStore

    with stderr().status("Replaying …"):
        reconstructor = Reconstructor(DataStore(settings.data_root), settings)
        state = reconstructor.book_at(key, at_ns=at_ns, sequence_number=sequence_number)
    bids, asks = (_levels(side, state.fixed_point, depth) for side in (state.bids, state.asks))
    document = {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "sequence_number": state.sequence_number,
        "origin_time": iso_from_ns(state.origin_time),
        "origin_time_ns": state.origin_time,
        "received_time": iso_from_ns(state.received_time),
        "received_time_ns": state.received_time,
        "flags": [str(flag.name) for flag in BookFlag if state.flags & flag],
        "levels": {"bids": len(state.bids.price_pips), "asks": len(state.asks.price_pips)},
        "bids": bids,
        "asks": asks,
    }
    if as_json:
        print_json(document)
    else:
        _show(document, BookFlag.describe(state.flags), at_ns)


def _show(book: dict[str, Any], flags: str, at_ns: int | None) -> None:
    """Print the message the book stands at, its times and flags, and the best levels side by side."""
    # The data may end long before the instant asked for, so the age of the book is shown.
    asked = ""
    if at_ns is not None:
        age_s = (at_ns - book["origin_time_ns"]) / NS_PER_SECOND
        asked = f"asked     {iso_from_ns(at_ns)}, {age_s:,.3f} s after this message\n"
    stdout().print(
        f"[bold]{book['symbol']} {book['day']}[/] after message {book['sequence_number']}\n"
        f"{asked}"
        f"origin    {book['origin_time']}\n"
        f"received  {book['received_time']}\n"
        f"flags     {flags}\n"
        f"levels    {book['levels']['bids']:,} bids, {book['levels']['asks']:,} asks\n"
    )
    rows = [
        (number, *reversed(_cells(bid)), *_cells(ask))
        for number, (bid, ask) in enumerate(zip_longest(book["bids"], book["asks"]))
    ]
    columns = ("level", "bid size", "bid", "ask", "ask size")
    stdout().print(table("", columns, rows, right=columns))


def _levels(levels: BookSide, fixed_point: FixedPoint, depth: int) -> list[dict[str, object]]:
    """List levels, best first, with prices and sizes as exact decimal text of at least the digits of tick and lot."""
    columns = zip(levels.price_pips[:depth], levels.size_pips[:depth], levels.known[:depth], strict=True)
    return [
        {
            "price": _text(fixed_point.price(int(price)), fixed_point.tick),
            "size": _text(fixed_point.size(int(size)), fixed_point.lot),
            "known": bool(known),
        }
        for price, size, known in columns
    ]


def _text(number: Decimal, increment: Decimal) -> str:
    """Write every digit of a number, and zeros up to the digits of the increment, which may be fewer or more."""
    whole, _, places = f"{number:f}".partition(".")
    least = len(f"{increment.normalize():f}".partition(".")[2])
    places = places.rstrip("0").ljust(least, "0")
    return f"{whole}.{places}" if places else whole


def _cells(level: dict[str, object] | None) -> tuple[object, object]:
    """Return price and size of a level as cells of the table; an unknown one is marked, a missing one is empty."""
    if level is None:
        return "", ""
    if level["known"]:
        return level["price"], level["size"]
    return Text(f"? {level['price']}", "dim"), Text(str(level["size"]), "dim")
