"""Options that several commands share, the types of their values, and their check against the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import click

from order_book_platform.clock import ns_from_iso, parse_day
from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    from order_book_platform.model import Instrument, PartitionKey
    from order_book_platform.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class DayType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """Type of a UTC day `YYYY-MM-DD`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse the day; anything else is a usage error."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(value)
        except SettingsError as error:
            self.fail(f"expected {error.expected}, found {error.found}", param, ctx)


class DaysType(click.ParamType):  # type: ignore[type-arg]
    """Type of a range of UTC days `FIRST..LAST`, both included."""

    name = "FIRST..LAST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[date, date]:
        """Parse first and last day; anything else is a usage error."""
        if isinstance(value, tuple):
            return value
        first_text, dots, last_text = value.partition("..")
        if not dots:
            self.fail(f"{value!r} is no range; write it as in 2024-01-01..2024-12-31", param, ctx)
        first, last = (DayType().convert(text, param, ctx) for text in (first_text, last_text))
        if last < first:
            self.fail(f"the range ends on {last}, before it begins on {first}", param, ctx)
        return first, last


class TimeType(click.ParamType):  # type: ignore[type-arg]
    """Type of an instant: ISO 8601 in UTC with up to nine fraction digits, or integer ns since the epoch."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the instant to ns since the epoch; anything else is a usage error."""
        if isinstance(value, int):
            return value
        try:
            return ns_from_iso(value)
        except ValueError as error:
            self.fail(f"{error}; write it as in 2024-08-08T23:55:00.123Z", param, ctx)


symbol_option = click.option(
    "--symbol", required=True, metavar="EXCHANGE:SYMBOL", help="As listed in the settings."
)
"""Decorator for `--symbol EXCHANGE:SYMBOL`, required."""

day_option = click.option("--day", required=True, type=DayType(), help="UTC day of arrival.")
"""Decorator for `--day YYYY-MM-DD`, required."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there."
)
"""Decorator for `--json`: one JSON document on stdout instead of tables."""


def symbols_option(*, required: bool, default: str = "") -> Callable[[Command], Command]:
    """Give the decorator for `--symbol EXCHANGE:SYMBOL` that may be given several times.

    Args:
        required: Whether it has to be given at least once.
        default: For the help: which symbols are taken where none is given.
    """
    return click.option(
        "--symbol",
        "symbols",
        required=required,
        multiple=True,
        metavar="EXCHANGE:SYMBOL",
        help="As listed in the settings; may be given several times." + default,
    )


def listed_instruments(settings: Settings, symbols: Iterable[str]) -> list[Instrument]:
    """Parse symbols, each once, and check that the settings list them.

    Raises:
        SettingsError: A symbol is malformed or not listed.
    """
    from order_book_platform.model import Instrument

    instruments = [Instrument.parse(symbol) for symbol in dict.fromkeys(symbols)]
    for instrument in instruments:
        settings.instrument(instrument)
    return instruments


def partition_key(settings: Settings, symbol: str, day: date) -> PartitionKey:
    """Make the key of a listed symbol and a day from `first_day` on.

    Raises:
        SettingsError: The symbol is malformed or not listed, or the day lies before the first one.
    """
    from order_book_platform.model import PartitionKey

    (instrument,) = listed_instruments(settings, [symbol])
    if day < settings.first_day:
        raise SettingsError(
            expected=f"a day from {settings.first_day} (first_day) on",
            found=str(day),
            where="--day",
            remedy="Choose a later day or set first_day in the settings file.",
        )
    return PartitionKey(instrument, day)
