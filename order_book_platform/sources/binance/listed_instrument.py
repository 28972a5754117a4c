"""An instrument as an entry of `exchangeInfo` lists it: its names, and how its prices and sizes are held in pips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from order_book_platform.errors import SourceSchemaError
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, EXACT_PIPS, MAX_DECIMALS
from order_book_platform.sources.binance.market import Market


@dataclass(frozen=True, slots=True)
class ListedInstrument:
    """The names and increments of an instrument, of which the exchange calls the latter rules.

    Attributes:
        symbol: Symbol as Binance spells it.
        instrument: Our instrument.
        point: Decimals, tick and lot.
    """

    symbol: str
    instrument: Instrument
    point: FixedPoint

    @classmethod
    def of_entry(cls, market: Market, payload: bytes) -> ListedInstrument:
        """Read the entry of a symbol.

        Raises:
            SourceSchemaError: It is no JSON object, or has no names, tick or step that can be used.
        """
        try:
            entry = json.loads(payload)
            filters = {each["filterType"]: each for each in entry["filters"]}
            price, tick = _increment(filters["PRICE_FILTER"], "tickSize", "maxPrice")
            size, lot = _increment(filters["LOT_SIZE"], "stepSize", "maxQty")
        except (ValueError, KeyError, TypeError, InvalidOperation) as error:
            raise SourceSchemaError(
                expected="an entry of `symbols` with `tickSize` and `stepSize` above 0",
                found=f"{payload[:200]!r} ({type(error).__name__}: {error})",
                where=f"rules of an instrument of {market.name}",
                remedy="Record the entry as the exchange sends it.",
            ) from error
        return cls(entry["symbol"], market.instrument(entry), FixedPoint(price, size, tick, lot))


def _increment(limits: Mapping[str, Any], step: str, largest: str) -> tuple[int, int]:
    """Return the decimals for prices or sizes, and their increment in pips.

    There are 8 decimals, more where the increment needs them, and fewer where the largest value would be more than
    `EXACT_PIPS` otherwise, but never fewer than the increment needs.
    """
    increment, most = Decimal(limits[step]).normalize(), Decimal(limits.get(largest, "0"))
    exponent = increment.as_tuple().exponent
    if not increment.is_finite() or increment <= 0 or not isinstance(exponent, int):
        raise ValueError(f"{step} is {limits[step]}")
    needed = max(0, -exponent)
    if needed > MAX_DECIMALS:
        raise ValueError(f"{step} has {needed} decimals")
    decimals = max(needed, DEFAULT_DECIMALS)
    while decimals > needed and most.scaleb(decimals) > EXACT_PIPS:
        decimals -= 1
    return decimals, int(increment.scaleb(decimals))
