"""Random numbers of the simulated market: a splitmix64 generator, and draws from quantile tables."""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.simulation.market_arrays import U8

SHIFT_0, SHIFT_16, SHIFT_32, SHIFT_48 = (np.uint64(n) for n in (0, 16, 32, 48))
"""Where the four independent numbers of sixteen bits begin that one random number gives; see `bits16`."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31 = (np.uint64(n) for n in (27, 30, 31))
_LOW_16 = np.uint64(0xFFFF)
_KNOT_SHIFT = 9
_KNOT_MASK = 511
"""A probability in 1/65536 is a knot in its upper 7 bits and a place between two knots in its lower 9."""


@kernel(f"uint64({U8})")
def next_random(rng):  # type: ignore[no-untyped-def]
    """Give 64 random bits by splitmix64, whose multiplications wrap around on purpose.

    Args:
        rng: uint64[1], the caller's: the state of the generator; changed.

    Source:
        Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    rng[0] += _GOLDEN
    mixed = rng[0]
    mixed = (mixed ^ (mixed >> _U30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _U27)) * _MIX_2
    return mixed ^ (mixed >> _U31)


@kernel("int64(uint64, uint64)")
def bits16(word, shift):  # type: ignore[no-untyped-def]
    """Give sixteen of 64 bits, from bit `shift` on, as an int64 in 0 … 65535."""
    return np.int64((word >> shift) & _LOW_16)


@kernel("int64(int64[:, ::1], int64, int64)")
def draw(tables, table, u16):  # type: ignore[no-untyped-def]
    """Give the value of a quantile table at a probability, linear between two knots.

    Args:
        tables: int64[TABLES + n, TABLE_COLUMNS].
        table: row of the table.
        u16: probability in 1/65536, 0 … 65535.
    """
    index = u16 >> _KNOT_SHIFT
    low = tables[table, index]
    return low + (((tables[table, index + 1] - low) * (u16 & _KNOT_MASK)) >> _KNOT_SHIFT)
