"""Instruments (an exchange and a symbol) and partition keys (an instrument and a day)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from order_book_platform.clock import parse_day
from order_book_platform.errors import SettingsError

_SYMBOL_KEY = re.compile(r"([A-Z0-9_]+):([^|,\[\]/\\:*?\s\x00-\x1f\x7f]{1,200})")


@dataclass(frozen=True, slots=True, order=True)
class Instrument:
    """An exchange in upper case, such as `BINANCE_FUTURES`, and a symbol in Crypto Lake's spelling."""

    exchange: str
    symbol: str

    @classmethod
    def parse(cls, key: str) -> Instrument:
        """Make the instrument of a key `EXCHANGE:SYMBOL`.

        Raises:
            SettingsError: The key has another form, or a character that Dagster or the file layout reserves.
        """
        match = _SYMBOL_KEY.fullmatch(key)
        if match is None:
            raise SettingsError(
                expected="EXCHANGE:SYMBOL, the exchange in capitals, without any of | , [ ] / \\ : * ? or blanks",
                found=repr(key),
                where="symbol",
                remedy="Write it as in BINANCE_FUTURES:BTC-USDT-PERP.",
            )
        return cls(match[1], match[2])

    @property
    def key(self) -> str:
        """`EXCHANGE:SYMBOL`, which is the static partition key in Dagster."""
        return f"{self.exchange}:{self.symbol}"

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, order=True)
class PartitionKey:
    """One instrument on one UTC day of arrival."""

    instrument: Instrument
    day: date

    @classmethod
    def parse(cls, symbol: str, day: str) -> PartitionKey:
        """Make the key of `EXCHANGE:SYMBOL` and `YYYY-MM-DD`, or raise a SettingsError."""
        return cls(Instrument.parse(symbol), parse_day(day))

    @property
    def path(self) -> str:
        """`exchange=E/symbol=S/dt=D`, relative to the folder of a dataset or of a table of the lake."""
        return (
            f"exchange={self.instrument.exchange}/symbol={self.instrument.symbol}/dt={self.day.isoformat()}"
        )

    def __str__(self) -> str:
        return f"{self.instrument.key} {self.day.isoformat()}"
