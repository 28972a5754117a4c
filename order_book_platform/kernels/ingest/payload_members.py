"""Finding the members of Binance's messages: where the values of the known keys begin, and which kind a message has."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.ingest.payload_bytes import (
    AT,
    CLOSE,
    COLON,
    COMMA,
    OPEN,
    OPEN_LIST,
    QUOTE,
    is_word,
    skip_blanks,
    skip_list,
    skip_string,
    skip_value,
)

_U1_IN = types.Array(types.uint8, 1, "C", readonly=True)
_I8 = types.int64[::1]
_PAIR = types.UniTuple(types.int64, 2)
_I = types.int64

ODD, DEPTH, TICKER, TRADE, AGGREGATE = range(5)
"""Kinds of a message; an odd one is left to the slow parser."""

_KEYS = b"eETsUubaBAtpqXm"
F_EVENT, F_E, F_T, F_S, F_FIRST, F_U, F_B, F_A, F_BS, F_AS, F_ID, F_P, F_Q, F_X, F_M, F_PU = range(16)
FIELDS = 16
"""Places of the values of known keys: those of one letter in the order of `_KEYS`, then `pu`."""
_DEPTH_WORD, _TICKER_WORD, _TRADE_WORD, _AGGREGATE_WORD = (
    b"depthUpdate",
    b"bookTicker",
    b"trade",
    b"aggTrade",
)
_STREAM_WORD, _DATA_WORD, _DIFF_WORD = b"stream", b"data", b"@depth"


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def known_field(data, start, end):  # type: ignore[no-untyped-def]
    """Return the place of a key of which the bytes are `start` … `end` − 1; −1 for an unknown key."""
    if end - start == 1:
        for k in range(len(_KEYS)):
            if data[start] == _KEYS[k]:
                return k
    elif end - start == 2 and data[start] == 112 and data[start + 1] == 117:  # pu
        return F_PU
    return -1


@kernel(_I(_U1_IN, _I, _I, _I8), forceinline=True)
def find_members(data, i, end, places):  # type: ignore[no-untyped-def]
    """Note where the values of known keys of an object begin.

    Args:
        data: uint8[m].
        i: position behind the opening brace.
        end: end of the message.
        places: int64[FIELDS], −1 where a key has not been met; changed.

    Returns:
        The position behind the closing brace; −1 if anything is odd, −2 at a key `stream` or `data`.
    """
    i = skip_blanks(data, i, end)
    if i < end and data[i] == CLOSE:
        return i + 1
    while i < end and data[i] == QUOTE:
        start = i + 1
        i = skip_string(data, i, end)
        if i < 0:
            return -1
        stop = i - 1
        field = known_field(data, start, stop)
        i = skip_blanks(data, i, end)
        if i >= end or data[i] != COLON:
            return -1
        i = skip_blanks(data, i + 1, end)
        if field >= 0:
            if places[field] >= 0:  # of a key that stands twice JSON libraries take the last, or refuse both
                return -1
            places[field] = i
        elif is_word(data, start, stop, _STREAM_WORD) or is_word(data, start, stop, _DATA_WORD):
            return -2
        # Only the levels of a depth message may be nested; they are counted here and read once the kind is known.
        is_list = field in (F_B, F_A) and i < end and data[i] == OPEN_LIST
        i = skip_list(data, i, end) if is_list else skip_value(data, i, end)
        if i < 0:
            return -1
        i = skip_blanks(data, i, end)
        if i < end and data[i] == CLOSE:
            return i + 1
        if i >= end or data[i] != COMMA:
            return -1
        i = skip_blanks(data, i + 1, end)
    return -1


@kernel(_PAIR(_U1_IN, _I, _I, _I8))
def unwrap(data, i, end, places):  # type: ignore[no-untyped-def]
    """Note the members of `data` in a wrapper whose opening brace is before `i`; its other members are ignored.

    Returns:
        The position behind the closing brace, −1 if anything is odd, and that of the text of the stream.
    """
    stream, has_data = 0, False
    i = skip_blanks(data, i, end)
    while i < end and data[i] == QUOTE:
        start = i + 1
        i = skip_string(data, i, end)
        if i < 0:
            return -1, 0
        stop = i - 1
        i = skip_blanks(data, i, end)
        if i >= end or data[i] != COLON:
            return -1, 0
        i = skip_blanks(data, i + 1, end)
        if is_word(data, start, stop, _DATA_WORD):
            if has_data or i >= end or data[i] != OPEN:
                return -1, 0
            has_data = True
            i = find_members(data, i + 1, end, places)
        elif is_word(data, start, stop, _STREAM_WORD):
            if stream > 0 or i >= end or data[i] != QUOTE:
                return -1, 0
            stream = i
            i = skip_string(data, i, end)
        else:
            i = skip_value(data, i, end)
        if i < 0:
            return -1, 0
        i = skip_blanks(data, i, end)
        if i < end and data[i] == CLOSE:
            if has_data and stream > 0:
                return i + 1, stream
            return -1, 0
        if i >= end or data[i] != COMMA:
            return -1, 0
        i = skip_blanks(data, i + 1, end)
    return -1, 0


@kernel(_PAIR(_U1_IN, _I, _I, _I8))
def find_payload(data, i, end, places):  # type: ignore[no-untyped-def]
    """Note the members of a message, raw or inside `{"stream": …, "data": …}`.

    The arguments are those of `find_members`, `i` that of the message's first byte.

    Returns:
        Whether the message was understood to its last byte (1 or −1), and the position of the text of its stream, 0
        where it has none.
    """
    places[:] = -1
    i = skip_blanks(data, i, end)
    if i >= end or data[i] != OPEN:
        return -1, 0
    behind, stream = find_members(data, i + 1, end, places), 0
    # Which of the two forms it is shows at the first key of the wrapper; what was noted before that is forgotten.
    if behind == -2:
        places[:] = -1
        behind, stream = unwrap(data, i + 1, end, places)
    if behind < 0 or skip_blanks(data, behind, end) != end:
        return -1, 0
    return 1, stream


@kernel(_I(_U1_IN, _I))
def is_diff_depth(data, stream):  # type: ignore[no-untyped-def]
    """Tell whether a stream, whose opening quote is at `stream`, is `<symbol>@depth`, with or without a speed."""
    # The streams `@depth5`, `@depth10` and `@depth20` carry whole books under the same keys.
    i = stream + 1
    while data[i] != AT and data[i] != QUOTE:
        i += 1
    for k in range(len(_DIFF_WORD)):  # ends at the quote at the latest
        if data[i + k] != _DIFF_WORD[k]:
            return 0
    byte = data[i + len(_DIFF_WORD)]
    return 1 if byte in (QUOTE, AT) else 0


@kernel(_I(_U1_IN, _I8, _I), forceinline=True)
def kind_of(data, places, end):  # type: ignore[no-untyped-def]
    """Return the kind of a message by `e`; one without `e` is a ticker if it has all members of one."""
    i = places[F_EVENT]
    if i < 0:  # tickers of the spot market
        for field in (F_U, F_S, F_B, F_BS, F_A, F_AS):
            if places[field] < 0:
                return ODD
        return TICKER
    if data[i] != QUOTE:
        return ODD
    stop = skip_string(data, i, end) - 1
    if is_word(data, i + 1, stop, _DEPTH_WORD):
        return DEPTH
    if is_word(data, i + 1, stop, _TICKER_WORD):
        return TICKER
    if is_word(data, i + 1, stop, _TRADE_WORD):
        return TRADE
    return AGGREGATE if is_word(data, i + 1, stop, _AGGREGATE_WORD) else ODD
