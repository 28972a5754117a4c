"""Tick and lot of a day: what the prices and sizes show, held against what the settings say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from math import gcd

from order_book_platform.errors import DecimalRangeError, SettingsError
from order_book_platform.model import FixedPoint
from order_book_platform.model.decimal128 import CODE_LIMIT, DECIMAL_DIGITS, DECIMALS
from order_book_platform.model.encoding import unit_fits
from order_book_platform.model.fixed_point import EXACT_PIPS
from order_book_platform.settings import InstrumentSettings


def configured_text(instrument: InstrumentSettings) -> dict[str, str | None]:
    """Return the configured `tick` and `lot` as text; None for one that is not configured."""
    increments = {"tick": instrument.tick, "lot": instrument.lot}
    return {name: None if value is None else str(value) for name, value in increments.items()}


@dataclass(frozen=True, slots=True)
class ConfiguredIncrements:
    """Tick and lot as an instrument's settings have them.

    Attributes:
        scale: Decimals of a pip.
        tick_pips: Configured tick in pips; None if it is not configured.
        lot_pips: Configured lot in pips; None if it is not configured.
    """

    scale: FixedPoint
    tick_pips: int | None
    lot_pips: int | None

    @classmethod
    def of(cls, instrument: InstrumentSettings, scale: FixedPoint) -> ConfiguredIncrements:
        """Read the settings of an instrument.

        Raises:
            SettingsError: An increment is no whole number of pips, or too large to be one.
        """
        return cls(
            scale,
            _configured_pips(instrument, "tick", instrument.tick, scale.price_decimals),
            _configured_pips(instrument, "lot", instrument.lot, scale.size_decimals),
        )

    def settle(self, tick_pips: int, lot_pips: int) -> tuple[FixedPoint, list[str]]:
        """Decide which increments are used: the configured ones, unless the data contradict them.

        Args:
            tick_pips: Greatest common divisor of the prices that were seen; 0 if there were none.
            lot_pips: The same of the sizes.

        Returns:
            Decimals, tick and lot in use; and which of `tick` and `lot` are configured and contradicted.
        """
        tick, wrong_tick = _settled(tick_pips, self.tick_pips)
        lot, wrong_lot = _settled(lot_pips, self.lot_pips)
        contradicted = [name for name, wrong in (("tick", wrong_tick), ("lot", wrong_lot)) if wrong]
        return replace(self.scale, tick_pips=tick, lot_pips=lot), contradicted


def _configured_pips(
    instrument: InstrumentSettings, setting: str, value: Decimal | None, decimals: int
) -> int | None:
    if value is None:
        return None
    pips = value.scaleb(decimals)
    largest = 10**DECIMAL_DIGITS if decimals == DECIMALS else EXACT_PIPS
    if pips != pips.to_integral_value() or pips > largest:
        raise SettingsError(
            expected=f"a multiple of {Decimal(1).scaleb(-decimals):f}, at most {largest:,} times that, "
            f"as the data are held with {decimals} decimals",
            found=str(value),
            where=f"setting {setting} of {instrument.symbol}",
            remedy=f"Correct {setting}, set more decimals, or leave it out to have it detected.",
        )
    return int(pips)


def _settled(detected: int, configured: int | None) -> tuple[int, bool]:
    """Return the increment in use, and whether the data contradict the configured one."""
    if configured is None:
        return detected or 1, False
    if detected % configured:
        return detected, True
    return configured, False


def detected_tick(deltas: int, snapshots: int, off_tick_rows: int, rows: int, largest: int) -> int:
    """Return the tick that a day's prices show: what divides the deltas' prices, unless these are too coarse to tell.

    Args:
        deltas: Greatest common divisor of the deltas' prices, in pips.
        snapshots: The same of the readable snapshots' prices; 0 if there are none.
        off_tick_rows: Readable snapshots with a price that `deltas` does not divide.
        rows: Readable snapshots.
        largest: Largest of the deltas' prices, in pips.

    Returns:
        The divisor of both if more than half of the snapshots say so and it can count the prices. A few bad snapshots
        do not make the tick finer, nor do many whose prices are noise.
    """
    both = gcd(deltas, snapshots)
    return both if 2 * off_tick_rows > rows and unit_fits(largest, both) else deltas


def price_unit(deltas: int, snapshots: int, largest: int, where: object) -> int:
    """Return the unit in which decimal prices are replayed, which divides them all; unscaled.

    Args:
        deltas: Divisor of the tick and the deltas' prices.
        snapshots: Greatest common divisor of the readable snapshots' prices; 0 if there are none.
        largest: Largest of the deltas' prices.
        where: Partition that the error names.

    Returns:
        The divisor of both; that of the deltas alone if a bad snapshot would make the unit too small to count prices
        in. That snapshot's prices then cannot be encoded, and it is left out.

    Raises:
        DecimalRangeError: The deltas' prices span more units than encoded prices can count.
    """
    unit = gcd(deltas, snapshots)
    if unit_fits(16 * largest, unit):
        return unit
    if unit_fits(largest, deltas):
        return deltas
    raise DecimalRangeError(
        expected=f"prices of less than {CODE_LIMIT:,} (2**61) units, the greatest common divisor of them all",
        found=f"{largest / deltas:.3g} units of {Decimal(deltas).scaleb(-DECIMALS)}",
        where=str(where),
        remedy="Check the prices, and the tick if one is configured: no market has so many digits.",
    )
