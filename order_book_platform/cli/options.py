"""Parts that commands share: invocation, options with types and checks of their values, and the end by signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from order_book_platform.clock import ns_from_iso, parse_day
from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    from order_book_platform.model import Instrument, PartitionKey
    from order_book_platform.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Invocation:
    """The object that commands get from the group with `click.pass_obj`: the settings file of `--config`, if any."""

    config: Path | None

    @property
    def settings_file(self) -> Path:
        """Absolute path of the settings file in force."""
        from order_book_platform.settings import settings_path

        return settings_path(self.config)

    def settings(self) -> Settings:
        """Read and validate the settings, as `load_settings` does."""
        from order_book_platform.settings import load_settings

        return load_settings(self.config)


class ParsedType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """Type of an option whose text a function parses; a text that it refuses is a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse a text; a value that has been parsed already stays as it is."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except SettingsError as error:
        raise ValueError(f"expected {error.expected}, found {error.found}") from error


def _days(text: str) -> tuple[date, date]:
    first_text, dots, last_text = text.partition("..")
    if not dots:
        raise ValueError(f"{text!r} is no range; write it as in 2024-01-01..2024-12-31")
    first, last = _day(first_text), _day(last_text)
    if last < first:
        raise ValueError(f"the range ends on {last}, before it begins on {first}")
    return first, last


def _time(text: str) -> int:
    try:
        return ns_from_iso(text)
    except ValueError as error:
        raise ValueError(f"{error}; write it as in 2024-08-08T23:55:00.123Z") from error


DAY = ParsedType("YYYY-MM-DD", _day)
"""Type of a UTC day."""
DAYS = ParsedType("FIRST..LAST", _days)
"""Type of a range of UTC days, both included."""
TIME = ParsedType("TIME", _time)
"""Type of an instant, as ns since the epoch: ISO 8601 in UTC with up to nine fraction digits, or integer ns."""

symbol_option = click.option(
    "--symbol", required=True, metavar="EXCHANGE:SYMBOL", help="As listed in the settings."
)

day_option = click.option("--day", required=True, type=DAY, help="UTC day of arrival.")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there."
)

seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which market of many."
)


def symbols_option(*, required: bool, default: str = "") -> Callable[[Command], Command]:
    """Give the decorator for `--symbol` that may be given several times; the help ends with the default."""
    return click.option(
        "--symbol",
        "symbols",
        required=required,
        multiple=True,
        metavar="EXCHANGE:SYMBOL",
        help="As listed in the settings; may be given several times." + default,
    )


def listed_instruments(settings: Settings, symbols: Iterable[str]) -> list[Instrument]:
    """Parse symbols, each once; one that is malformed or not listed in the settings is a `SettingsError`."""
    from order_book_platform.model import Instrument

    instruments = [Instrument.parse(symbol) for symbol in dict.fromkeys(symbols)]
    for instrument in instruments:
        settings.instrument(instrument)
    return instruments


def partition_key(settings: Settings, symbol: str, day: date) -> PartitionKey:
    """Make the key of a listed symbol and a day from `first_day` on; anything else is a `SettingsError`."""
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


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets, for an orderly end; the second one interrupts."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SecondsType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """Type of a time in seconds: a number, or a number with a unit such as `90s`, `5m` or `24h`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; anything else, and a negative number, is a usage error."""
        from order_book_platform.clock import NS_PER_SECOND, duration_ns

        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            ns = duration_ns(f"{text}s" if text[-1:].isdigit() else text)
        except ValueError:
            self.fail(f"expected seconds, or a duration such as 90s, 5m or 24h, found {value!r}", param, ctx)
        return ns / NS_PER_SECOND
