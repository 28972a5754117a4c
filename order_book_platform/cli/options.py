"""Options that several commands share, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import click

from order_book_platform.clock import ns_from_iso, parse_day
from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    from order_book_platform.model import PartitionKey
    from order_book_platform.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class DayType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """A UTC day `YYYY-MM-DD`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The day, or a usage error."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(value)
        except SettingsError as error:
            self.fail(f"expected {error.expected}, found {error.found}", param, ctx)


class DaysType(click.ParamType):  # type: ignore[type-arg]
    """A range of UTC days `FIRST..LAST`, both included."""

    name = "FIRST..LAST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[date, date]:
        """First and last day, or a usage error."""
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
    """An instant: ISO 8601 in UTC with up to nine fraction digits, or integer ns since the epoch."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The instant in ns since the epoch, or a usage error."""
        if isinstance(value, int):
            return value
        try:
            return ns_from_iso(value)
        except ValueError as error:
            self.fail(f"{error}; write it as in 2024-08-08T23:55:00.123Z", param, ctx)


def symbol_option(command: Command) -> Command:
    """`--symbol EXCHANGE:SYMBOL`, required."""
    return click.option(
        "--symbol", required=True, metavar="EXCHANGE:SYMBOL", help="As listed in the settings."
    )(command)


def day_option(command: Command) -> Command:
    """`--day YYYY-MM-DD`, required."""
    return click.option("--day", required=True, type=DayType(), help="UTC day of arrival.")(command)


def json_option(command: Command) -> Command:
    """`--json`: one JSON document on stdout instead of tables."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there."
    )(command)


def partition_key(settings: Settings, symbol: str, day: date) -> PartitionKey:
    """The key of a symbol the settings list.

    Raises:
        SettingsError: the symbol is malformed or not listed, or the day lies before the first one.
    """
    from order_book_platform.model import Instrument, PartitionKey

    instrument = Instrument.parse(symbol)
    settings.instrument(instrument)
    if day < settings.first_day:
        raise SettingsError(
            expected=f"a day from {settings.first_day} (first_day) on",
            found=str(day),
            where="--day",
            remedy="Choose a later day or set first_day in the settings file.",
        )
    return PartitionKey(instrument, day)
