"""What is traded where, and the partition key built from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from order_book_platform.clock import parse_day
from order_book_platform.errors import SettingsError

_SYMBOL_KEY = re.compile(r"([A-Z0-9_]+):([^|,\[\]/\\:*?\s\x00-\x1f\x7f]{1,200})")


@dataclass(frozen=True, slots=True, order=True)
class Instrument:
    """An exchange and a symbol in Crypto Lake's spelling.

    Attributes:
        exchange: upper case, such as `BINANCE_FUTURES`.
        symbol: such as `BTC-USDT-PERP`.
    """

    exchange: str
    symbol: str

    @classmethod
    def parse(cls, key: str) -> Instrument:
        """Instrument of a key `EXCHANGE:SYMBOL`.

        Raises:
            SettingsError: the key has another form, or a character Dagster or the file layout reserves.
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
        """`EXCHANGE:SYMBOL`, the static partition key."""
        return f"{self.exchange}:{self.symbol}"

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, order=True)
class PartitionKey:
    """One instrument on one UTC day (of arrival).

    Attributes:
        instrument: what is traded where.
        day: the UTC day.
    """

    instrument: Instrument
    day: date

    @classmethod
    def parse(cls, symbol: str, day: str) -> PartitionKey:
        """Key of `EXCHANGE:SYMBOL` and `YYYY-MM-DD`.

        Raises:
            SettingsError: either has another form.
        """
        return cls(Instrument.parse(symbol), parse_day(day))

    @property
    def path(self) -> str:
        """`exchange=E/symbol=S/dt=D`, relative to a dataset's or a table's folder."""
        return (
            f"exchange={self.instrument.exchange}/symbol={self.instrument.symbol}/dt={self.day.isoformat()}"
        )

    def __str__(self) -> str:
        return f"{self.instrument.key} {self.day.isoformat()}"
