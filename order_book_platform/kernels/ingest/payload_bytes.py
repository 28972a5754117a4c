"""Reading JSON in an array of bytes: strings, numbers and exact decimals, each from a position on.

Positions are bytes in `data`, uint8[m]; −1 stands for "odd": wrong, or so unusual that the slow parser has to see it
(escapes, exponents, bytes beyond ASCII, nested values, digits other than 0 behind the decimals wanted, numbers of more
than 18 digits).
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

_U1_IN = types.Array(types.uint8, 1, "C", readonly=True)
_WORD = types.Bytes(types.uint8, 1, "C", readonly=True)
_PAIR = types.UniTuple(types.int64, 2)
_I = types.int64

_MOST_DIGITS = 18
"""Every number of so many digits is below 2**63, so that no sum below wraps around."""
_TRUE, _FALSE, _NULL = b"true", b"false", b"null"
QUOTE, COMMA, COLON, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = b'",:{}[]'
MINUS, POINT, ZERO, NINE, BACKSLASH, AT = b"-.09\\@"
"""Bytes of JSON and of decimals."""


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def skip_blanks(data, i, end):  # type: ignore[no-untyped-def]
    """Return the first position from `i` on that is no blank, tab or line break."""
    while i < end and (data[i] == 32 or 9 <= data[i] <= 10 or data[i] == 13):
        i += 1
    return i


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def skip_string(data, i, end):  # type: ignore[no-untyped-def]
    """Return the position behind a string that begins with the quote at `i`; −1 with escapes or beyond ASCII."""
    i += 1
    while i < end:
        byte = data[i]
        if byte == QUOTE:
            return i + 1
        # Escapes would have to be decoded, and bytes beyond ASCII to be proven UTF-8, before strings could be compared.
        if byte == BACKSLASH or byte < 32 or byte > 127:
            return -1
        i += 1
    return -1


@kernel(types.boolean(_U1_IN, _I, _I, _WORD), forceinline=True)
def is_word(data, start, end, word):  # type: ignore[no-untyped-def]
    """Tell whether the bytes `start` … `end` − 1 are those of a word."""
    if end - start != len(word):
        return False
    for k in range(len(word)):  # noqa: SIM110 - no generator in a loop without numba's runtime
        if data[start + k] != word[k]:
            return False
    return True


@kernel(_PAIR(_U1_IN, _I, _I), forceinline=True)
def read_integer(data, i, end):  # type: ignore[no-untyped-def]
    """Read an integer of at most 18 digits without a sign; return the position behind it, and its value."""
    start, value = i, 0
    while i < end and ZERO <= data[i] <= NINE:
        value = value * 10 + (int(data[i]) - ZERO)
        i += 1
        if i - start > _MOST_DIGITS:
            return -1, 0
    if i == start or (data[start] == ZERO and i - start > 1):  # JSON knows no leading zeros
        return -1, 0
    return i, value


@kernel(_PAIR(_U1_IN, _I, _I, _I), forceinline=True)
def read_decimal(data, i, end, decimals):  # type: ignore[no-untyped-def]
    """Read a decimal in quotes as pips of so many decimals; return the position behind it, and its value."""
    if i >= end or data[i] != QUOTE:
        return -1, 0
    i += 1
    start, value = i, 0
    while i < end and ZERO <= data[i] <= NINE:
        # The places behind the point count from the start: the value is multiplied up to them in any case.
        if i - start + decimals >= _MOST_DIGITS:
            return -1, 0
        value = value * 10 + (int(data[i]) - ZERO)
        i += 1
    if i == start or i >= end:
        return -1, 0
    left = decimals
    if data[i] == POINT:
        i += 1
        start = i
        while i < end and ZERO <= data[i] <= NINE:
            if left > 0:
                value = value * 10 + (int(data[i]) - ZERO)
                left -= 1
            elif data[i] != ZERO:  # zeros, with which spot fills up its 8 decimals, change nothing
                return -1, 0
            i += 1
        if i == start or i >= end:
            return -1, 0
    if data[i] != QUOTE:
        return -1, 0
    for _ in range(left):
        value *= 10
    return i + 1, value


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def skip_number(data, i, end):  # type: ignore[no-untyped-def]
    """Return the position behind a number without exponent; −1 for one that is none, or is long."""
    limit = min(end, i + 2 * _MOST_DIGITS)
    if i < limit and data[i] == MINUS:
        i += 1
    start = i
    while i < limit and ZERO <= data[i] <= NINE:
        i += 1
    if i == start or (data[start] == ZERO and i - start > 1):
        return -1
    if i < limit and data[i] == POINT:
        i += 1
        start = i
        while i < limit and ZERO <= data[i] <= NINE:
            i += 1
        if i == start:
            return -1
    return i  # an exponent, or more digits, is no comma and no brace for the caller


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def skip_list(data, i, end):  # type: ignore[no-untyped-def]
    """Return the position behind a list, without a look at what is in it beyond brackets and strings."""
    depth = 0
    while i < end:
        byte = data[i]
        if byte == QUOTE:  # brackets in a string are text
            i = skip_string(data, i, end)
            if i < 0:
                return -1
            continue
        if byte == OPEN_LIST:
            depth += 1
        elif byte == CLOSE_LIST:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return -1


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def skip_value(data, i, end):  # type: ignore[no-untyped-def]
    """Return the position behind a text, a number, true, false or null at `i`; −1 for a nested value."""
    if i >= end:
        return -1
    byte = data[i]
    if byte == QUOTE:
        return skip_string(data, i, end)
    if byte == MINUS or ZERO <= byte <= NINE:
        return skip_number(data, i, end)
    if is_word(data, i, min(i + 4, end), _TRUE) or is_word(data, i, min(i + 4, end), _NULL):
        return i + 4
    if is_word(data, i, min(i + 5, end), _FALSE):
        return i + 5
    return -1
