"""decimal128(38, 18) as arrays: from floats, to and from integers, multiplied and divided; exactly or not at all.

An *unscaled* value is the decimal times 10**18, an integer of up to 127 bits. As numpy it is two words, uint64[n, 2],
low word first, two's complement: the very bytes of an arrow decimal128 column.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from math import gcd, isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.errors import DecimalRangeError
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, EXACT_PIPS

DECIMAL_DIGITS, DECIMALS = 38, 18
DECIMAL = pa.decimal128(DECIMAL_DIGITS, DECIMALS)
"""Arrow type of prices and sizes in partitions with precision `decimal128`."""

CODE_LIMIT = 2**61
"""Encoded prices and quotients are below this limit, so that differences of two of them fit int64 easily."""

DecimalWords = NDArray[np.uint64]
"""Unscaled values as uint64[n, 2]: the low word of each first, two's complement."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_SIGN = np.uint64(1 << 63)
_LEAST, _BEYOND = 10.0**-DECIMALS, 10.0 ** (DECIMAL_DIGITS - DECIMALS)
_FEW = 16
"""Values of which `common_divisor` takes a divisor first; it then checks all others against it at once."""


def float_to_decimal(
    values: NDArray[np.float64], place: Callable[[int], str] = "value {}".format
) -> pa.Array:
    """Return the shortest decimal of each float as a column decimal128(38, 18)[n] without nulls.

    Nearly all prices and sizes are whole numbers of 10**-8 and are converted as integers; the rest goes through text.

    Args:
        values: float64[n], finite.
        place: Says where the value at an index is from, for the error.

    Raises:
        DecimalRangeError: A value has more than 18 decimals or more than 20 digits before the point.
    """
    with np.errstate(over="ignore"):  # a product that becomes infinite does not fit, and is refused below
        pips = np.rint(values * 10.0**DEFAULT_DECIMALS)
    fits = (pips >= 0) & (pips <= EXACT_PIPS) & (pips / 10.0**DEFAULT_DECIMALS == values)
    if fits.all():
        return decimal_array(multiply(pips.astype(np.int64), 10 ** (DECIMALS - DEFAULT_DECIMALS)))
    words = multiply(np.where(fits, pips, 0.0).astype(np.int64), 10 ** (DECIMALS - DEFAULT_DECIMALS))
    words[~fits] = decimal_words(_through_text(values, np.flatnonzero(~fits), place))
    return decimal_array(words)


def _through_text(values: NDArray[np.float64], at: NDArray[np.intp], place: Callable[[int], str]) -> pa.Array:
    """Convert the floats at some indices by way of their shortest text, which arrow reads as a decimal or refuses.

    The range is checked before, because arrow may read a number out of range as another one: pyarrow 26 reads
    6.856847801929392e20 as 5120046351062273073.25…, and 1e-54 as 0.
    """
    chosen = values[at]
    size = np.abs(chosen)
    if ((size >= _LEAST) & (size < _BEYOND)).all():  # false for NaN
        with suppress(pa.ArrowInvalid):  # too many digits
            return pc.cast(pc.cast(pa.array(chosen), pa.string()), DECIMAL)
    row = int(at[unrepresentable(chosen).argmax()])
    raise DecimalRangeError(
        expected=f"a number of at most {DECIMAL_DIGITS - DECIMALS} digits before the point and {DECIMALS} after it",
        found=repr(float(values[row])),
        where=place(row),
        remedy="Check where the value comes from; decimal128 cannot hold it, and nothing is rounded.",
    )


def unrepresentable(values: NDArray[np.float64]) -> BoolArray:
    """Return bool[n]: which of float64[n] have a shortest decimal that decimal128(38, 18) cannot hold.

    It looks at one value after another, so it is meant for batches in which `float_to_decimal` has refused a value.
    """
    return np.array([not _holds(value) for value in values.tolist()], np.bool_)


def _holds(value: float) -> bool:
    if not isfinite(value) or abs(value) >= _BEYOND:
        return False
    exponent = Decimal(repr(value)).as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMALS


def decimal_words(array: pa.Array | pa.ChunkedArray) -> DecimalWords:
    """Return the words uint64[n, 2] of a decimal128(38, 18) column, without a copy; those of nulls are undefined."""
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    if not len(array):
        return np.empty((0, 2), np.uint64)
    words = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)
    return words[array.offset : array.offset + len(array)]


def decimal_array(words: DecimalWords, missing: BoolArray | None = None) -> pa.Array:
    """Return a decimal128(38, 18) column of words uint64[n, 2], with nulls where bool[n] `missing` is true."""
    valid = None
    if missing is not None and missing.any():
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(DECIMAL, len(words), [valid, pa.py_buffer(np.ascontiguousarray(words))])


def unscaled_integers(words: DecimalWords) -> list[int]:
    """Return the unscaled values of words uint64[n, 2] as Python integers."""
    low, high = words[:, 0].tolist(), words[:, 1].view(np.int64).tolist()
    return [(top << 64) | bottom for bottom, top in zip(low, high, strict=True)]


def float_pips(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column of decimals without nulls in units of 10**-8 as the nearest float64[n], as of int64 pips.

    They are meant for statistics, which compare days of pips with days of decimals.
    """
    words, pip = decimal_words(column), 10 ** (DECIMALS - DEFAULT_DECIMALS)
    pips, exact = divide(words, pip)
    floats = pips.astype(np.float64)
    floats[~exact] = [value / pip for value in unscaled_integers(words[~exact])]
    return floats


def multiply(codes: Int64Array, unit: int) -> DecimalWords:
    """Return `codes · unit` modulo 2**128 as words uint64[n, 2], of int64[n] ≥ 0 and a unit from 1 to below 2**127.

    It is long multiplication by 32-bit digits, since numpy has no 128-bit integers.
    """
    factor = codes.view(np.uint64)
    bottom, top = np.uint64(unit & (2**64 - 1)), np.uint64(unit >> 64)
    a, b = factor & _LOW, factor >> _HALF
    c, d = bottom & _LOW, bottom >> _HALF
    first, cross = a * c, b * c
    middle = a * d + (first >> _HALF) + (cross & _LOW)
    words = np.empty((len(codes), 2), np.uint64)
    words[:, 0] = (middle << _HALF) | (first & _LOW)
    words[:, 1] = b * d + (cross >> _HALF) + (middle >> _HALF) + factor * top
    return words


def divide(words: DecimalWords, unit: int) -> tuple[Int64Array, BoolArray]:
    """Divide unscaled values uint64[n, 2] by a unit from 1 to below 2**127, and say which of them are multiples.

    An odd number has an inverse modulo 2**64; times that, the low words of exact multiples give their quotients.

    Returns:
        Quotients int64[n], and bool[n]: true where the value is `quotient · unit` and 0 ≤ quotient < 2**61. Elsewhere
        the quotient is undefined.
    """
    twos = (unit & -unit).bit_length() - 1
    inverse = np.uint64(pow(unit >> twos, -1, 2**64))
    low, high = words[:, 0], words[:, 1]
    if twos >= 64:
        shifted = high >> np.uint64(twos - 64)
    elif twos:
        shifted = (low >> np.uint64(twos)) | (high << np.uint64(64 - twos))
    else:
        shifted = low
    quotients = (shifted * inverse).view(np.int64)
    back = multiply(quotients, unit)
    exact = (quotients >= 0) & (quotients < CODE_LIMIT) & (back[:, 0] == low) & (back[:, 1] == high)
    exact &= high < _SIGN
    if CODE_LIMIT * unit > 2**128:
        # The product modulo 2**128 could have the same words by chance; its size as a float tells.
        size = high.astype(np.float64) * 2.0**64 + low.astype(np.float64)
        exact &= np.abs(quotients.astype(np.float64) * float(unit) - size) <= 1e-6 * size
    return quotients, exact


def common_divisor(words: DecimalWords, start: int) -> int:
    """Return the greatest common divisor of `start` and all unscaled values, none negative; 0 if everything is 0."""
    divisor, rest = start, words[(words != 0).any(axis=1)]
    while len(rest):
        divisor = gcd(divisor, *unscaled_integers(rest[:_FEW]))
        exact = divide(rest[_FEW:], divisor)[1]
        rest = rest[_FEW:][~exact]
        if len(rest) > len(words) // 2:  # quotients beyond 2**61 are never exact: take the values one by one
            return gcd(divisor, *unscaled_integers(np.unique(rest, axis=0)))
    return divisor
