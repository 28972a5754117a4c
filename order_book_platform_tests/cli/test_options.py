"""Values of options: days, instants, partition keys."""

from __future__ import annotations

import os
import signal
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from order_book_platform.cli import options
from order_book_platform.cli.options import (
    DAY,
    DAYS,
    TIME,
    ParsedType,
    listed_instruments,
    partition_key,
    stopped_by_signals,
    symbols_option,
)
from order_book_platform.errors import SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """One instrument from 2024-08-08 on."""
    return Settings(
        lake_root=tmp_path / "lake",
        data_root=tmp_path / "store",
        first_day=date(2024, 8, 8),
        instruments=({"symbol": "A:B"},),
    )


def test_days_and_times() -> None:
    """Text becomes a day or an instant in ns; values that are already so pass."""
    assert DAY("2024-08-08") == DAY(date(2024, 8, 8)) == date(2024, 8, 8)
    both = date(2024, 8, 8), date(2024, 8, 9)
    assert DAYS("2024-08-08..2024-08-09") == DAYS(both) == both
    assert TIME("1970-01-01T00:00:01.5Z") == TIME(1_500_000_000) == 1_500_000_000


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DAY, "2024-02-30"),
        (TIME, "tomorrow"),
        (DAYS, "2024-08-08"),
        (DAYS, "2024-08-08..2024-08-07"),
        (DAYS, "..2024-08-07"),
    ],
)
def test_malformed_values_are_usage_errors(kind: ParsedType, text: str) -> None:
    """Click shows what is expected and exits 2."""
    with pytest.raises(click.BadParameter):
        kind(text)


def test_partition_key_has_to_be_in_the_settings(settings: Settings) -> None:
    """Listed symbols from first_day on are partitions; others are refused."""
    assert partition_key(settings, "A:B", date(2024, 8, 8)) == PartitionKey.parse("A:B", "2024-08-08")
    with pytest.raises(SettingsError, match="expected one of A:B, found A:C"):
        partition_key(settings, "A:C", date(2024, 8, 8))
    with pytest.raises(SettingsError, match=r"--day: expected a day from 2024-08-08 \(first_day\) on"):
        partition_key(settings, "A:B", date(2024, 8, 7))


def test_listed_instruments_come_once(settings: Settings) -> None:
    """A symbol that is given twice counts once; one that is malformed or not listed is refused."""
    assert [each.key for each in listed_instruments(settings, ["A:B", "A:B"])] == ["A:B"]
    assert listed_instruments(settings, []) == []
    for symbol in ("A:C", "AB"):
        with pytest.raises(SettingsError):
            listed_instruments(settings, ["A:B", symbol])


@pytest.mark.parametrize(("required", "code"), [(True, 2), (False, 0)])
def test_symbols_may_be_given_several_times(required: bool, code: int) -> None:
    """All symbols reach the command in order; without any only a command that does not need one runs."""

    @click.command()
    @symbols_option(required=required)
    def show(symbols: tuple[str, ...]) -> None:
        click.echo(" ".join(symbols))

    runner = CliRunner()
    assert runner.invoke(show, ["--symbol", "A:B", "--symbol", "C:D"]).stdout == "A:B C:D\n"
    assert runner.invoke(show, []).exit_code == code


def test_the_second_signal_interrupts() -> None:
    """Handlers are as before when the block is left."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopped_by_signals() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        stopped.clear()
        stopped.wait(10)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60.0), ("0.2", 0.2), ("90s", 90.0), ("5m", 300.0), ("1ms", 0.001)]
)
def test_seconds(text: str, seconds: float) -> None:
    """A time is given in seconds or with a unit, by every command that takes one."""
    assert options.SecondsType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "5 parsecs", "s"])
def test_no_seconds(text: str) -> None:
    """Anything else is a usage error that shows both forms."""
    with pytest.raises(click.BadParameter, match="90s, 5m or 24h"):
        options.SecondsType().convert(text, None, None)
