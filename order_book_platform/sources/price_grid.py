"""The grid of a day's prices and sizes: the decimals they need and how they are held, and their tick and lot.

Tick and lot are what the prices and sizes show, held against what the settings say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import gcd
from typing import TypeVar

import numpy as np

from order_book_platform.errors import (
    DecimalRangeError,
    FixedPointError,
    FixedPointRangeError,
    OffGridError,
    SettingsError,
)
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import DEPTH
from order_book_platform.model.decimal128 import CODE_LIMIT, DECIMAL_DIGITS, DECIMALS
from order_book_platform.model.decimal_encoding import unit_fits
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, EXACT_PIPS, MAX_DECIMALS, decimals_for
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.float_decoding import DecimalDecoder, FloatDecoder
from order_book_platform.sources.lake_source import LakeFile

Files = Mapping[str, Sequence[LakeFile]]
"""Opened files of one symbol and day by table."""
T = TypeVar("T")


def read_exactly(
    instrument: InstrumentSettings, files: Files, batch_rows: int, read: Callable[[FloatDecoder, str], T]
) -> T:
    """Read a day as int64 pips if they hold every value exactly, else as decimals.

    Trying costs a day nothing if it fits pips, as nearly all do. `read` reads the day with a decoder, and is told why
    with this one; its result is returned. A file without statistics is decoded, `batch_rows` at a time.

    A value that neither the pips nor the decimals that the settings allow hold is a `FixedPointError`.
    """
    if instrument.precision == "decimal128":
        return read(DecimalDecoder(), "precision is set to decimal128")
    try:
        return _read_as_pips(instrument, files, batch_rows, read)
    except FixedPointError as error:
        if instrument.precision == "int64" or instrument.has_decimals:
            raise
        why = f"as int64 pips: expected {error.expected}, found {error.found}"
        try:
            return read(DecimalDecoder(), why)
        except FixedPointError as second:
            error.remedy += f" decimal128 does not hold the day either: {second}"
            raise type(error)(**vars(error)) from second


def _read_as_pips(
    instrument: InstrumentSettings, files: Files, batch_rows: int, read: Callable[[FloatDecoder, str], T]
) -> T:
    """Read as pips of the configured decimals, else of 8 or fewer.

    If a value has more decimals than these, the day is read again with as many as the values leave room for.
    """
    pips = FloatDecoder(choose_decimals(instrument, files, batch_rows))
    try:
        return read(pips, "int64 pips hold every value exactly")
    except OffGridError as error:
        try:
            finest = choose_decimals(instrument, files, batch_rows, pips.off_grid)
        except FixedPointRangeError:  # of a snapshot's value, which is no reason to refuse a day
            raise error from None
        if finest == pips.scale:
            raise
        why = f"int64 pips of more decimals hold every value exactly; of fewer: {error.found}"
        try:
            return read(FloatDecoder(finest), why)
        except OffGridError:
            raise error from None


def choose_decimals(
    instrument: InstrumentSettings, files: Files, batch_rows: int, finest: Collection[str] = ()
) -> FixedPoint:
    """Choose decimals at which every price and size of deltas and trades fits int64 pips; tick and lot are 1 pip.

    They are the configured ones, else 8 or fewer. Those of `finest`, `price` or `size`, get as many as their largest
    value leaves room for, up to 18; snapshots have to fit these, too. A value that does not fit with the configured
    decimals, or not even without decimals, is a `FixedPointRangeError`.
    """
    levels = [
        (file, f"{side}_{level}_")
        for file in (files["book"] if finest else ())
        for side in ("bid", "ask")
        for level in range(DEPTH)
    ]

    def chosen(what: str, name_in_trades: str) -> int:
        columns = [(file, what) for file in files["book_delta_v2"]]
        columns += [(file, name_in_trades) for file in files["trades"]]
        columns += [(file, level + what) for file, level in levels]
        return _decimals(instrument, f"{what}_decimals", columns, batch_rows, finest=what in finest)

    return FixedPoint(chosen("price", "price"), chosen("size", "amount"))


def _decimals(
    instrument: InstrumentSettings,
    setting: str,
    columns: list[tuple[LakeFile, str]],
    batch_rows: int,
    *,
    finest: bool,
) -> int:
    wanted: int | None = getattr(instrument, setting)
    largest, where = 0.0, ""
    for file, column in columns:
        value = max(abs(limit) for limit in file.extreme(column, batch_rows))
        # A value that is not finite is refused with its row when it is read.
        if np.isfinite(value) and value >= largest:
            largest, where = value, f"{file.path}: column {column}"
    start = (MAX_DECIMALS if finest else DEFAULT_DECIMALS) if wanted is None else wanted
    fitting = decimals_for(largest, default=start, where=where)
    if wanted is not None and fitting < wanted:
        raise FixedPointRangeError(
            expected=f"values of at most {EXACT_PIPS:,} (2**51) pips with {setting} = {wanted}",
            found=repr(largest),
            where=f"{where}, setting {setting} of {instrument.symbol}",
            remedy=f"Set {setting} to {fitting} or less, or leave it out to have it chosen.",
        )
    return fitting


def configured_text(instrument: InstrumentSettings) -> dict[str, str | None]:
    """Return the configured `tick` and `lot` as text; None for one that is not configured."""
    increments = {"tick": instrument.tick, "lot": instrument.lot}
    return {name: None if value is None else str(value) for name, value in increments.items()}


def configured_pips(instrument: InstrumentSettings, scale: FixedPoint) -> dict[str, int | None]:
    """Return the configured `tick` and `lot` in pips of a scale, None for one that is not configured.

    One that is no whole number of pips, or too large to be one, is a `SettingsError`.
    """
    found: dict[str, int | None] = {}
    for setting, decimals in (("tick", scale.price_decimals), ("lot", scale.size_decimals)):
        value: Decimal | None = getattr(instrument, setting)
        pips = None if value is None else value.scaleb(decimals)
        largest = 10**DECIMAL_DIGITS if decimals == DECIMALS else EXACT_PIPS
        if pips is not None and (pips != pips.to_integral_value() or pips > largest):
            raise SettingsError(
                expected=f"a multiple of {Decimal(1).scaleb(-decimals):f}, at most {largest:,} times that, "
                f"as the data are held with {decimals} decimals",
                found=str(value),
                where=f"setting {setting} of {instrument.symbol}",
                remedy=f"Correct {setting}, set more decimals, or leave it out to have it detected.",
            )
        found[setting] = None if pips is None else int(pips)
    return found


def settled_increments(
    scale: FixedPoint, configured: Mapping[str, int | None], tick_pips: int, lot_pips: int
) -> tuple[FixedPoint, list[str]]:
    """Decide which increments are used: the configured ones, unless the data contradict them.

    The divisors of the prices and sizes that were seen are 0 if there were none. The result is decimals, tick and lot
    in use, and which of `tick` and `lot` are configured and contradicted.
    """
    used, contradicted = [], []
    for name, detected in (("tick", tick_pips), ("lot", lot_pips)):
        pips = configured[name]
        if pips is None or detected % pips:
            used.append(detected or 1)
            contradicted += [] if pips is None else [name]
        else:
            used.append(pips)
    return replace(scale, tick_pips=used[0], lot_pips=used[1]), contradicted


def detected_tick(deltas: int, snapshots: int, off_tick_rows: int, rows: int, largest: int) -> int:
    """Return the tick that a day's prices show, in pips: what divides the deltas' prices, unless these are too coarse.

    `deltas` and `snapshots` are the greatest common divisors of the prices of deltas and of `rows` readable snapshots,
    0 if there are none; `deltas` does not divide some price of `off_tick_rows` of these. The tick divides both if more
    than half of the snapshots say so and it can count prices up to the `largest`: a few bad snapshots do not make it
    finer, nor do many whose prices are noise.
    """
    both = gcd(deltas, snapshots)
    return both if 2 * off_tick_rows > rows and unit_fits(largest, both) else deltas


def price_unit(deltas: int, snapshots: int, largest: int, where: object) -> int:
    """Return the unit in which decimal prices are replayed, which divides them all; unscaled.

    It divides tick and prices of the deltas and the readable snapshots' prices; 0 stands for none of these. If a bad
    snapshot would make the unit too small to count prices in, it is that of the deltas alone. That snapshot's prices
    then cannot be encoded, and it is left out. More units than encoded prices can count are a `DecimalRangeError`.
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
