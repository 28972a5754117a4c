"""Scanning the bytes of Binance's messages: depth, ticker and trade payloads of a batch to integers, in one pass.

The scanner takes a message only if it understands it to the last byte. Anything else, be it wrong or only unusual
(escapes, exponents, bytes beyond ASCII, nested values of unknown keys, keys that stand twice, digits other than 0
behind the decimals of the instrument, numbers of more than 18 digits), it leaves to `sources.binance.payload_parser`,
which gives the same result for every message that the scanner takes.

Positions are bytes in `data`, uint8[m]; −1 stands for "odd".
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.ingest.payload_bytes import (
    CLOSE_LIST,
    COMMA,
    OPEN_LIST,
    POINT,
    QUOTE,
    is_word,
    read_decimal,
    read_integer,
    skip_blanks,
    skip_string,
)
from order_book_platform.kernels.ingest.payload_members import (
    AGGREGATE,
    DEPTH,
    F_A,
    F_AS,
    F_B,
    F_BS,
    F_E,
    F_FIRST,
    F_ID,
    F_M,
    F_P,
    F_PU,
    F_Q,
    F_S,
    F_T,
    F_U,
    F_X,
    ODD,
    TICKER,
    find_payload,
    is_diff_depth,
    kind_of,
)

_U1_IN = types.Array(types.uint8, 1, "C", readonly=True)
_I4_IN = types.Array(types.int32, 1, "C", readonly=True)
_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_I8_IN2 = types.Array(types.int64, 2, "C", readonly=True)
_I8 = types.int64[::1]
_PAIR = types.UniTuple(types.int64, 2)
_I = types.int64

(
    KIND,
    SYMBOL,
    EVENT_NS,
    TRANSACTION_NS,
    FIRST_ID,
    FINAL_ID,
    PREV_ID,
    BID_PRICE,
    BID_SIZE,
    ASK_PRICE,
    ASK_SIZE,
    IS_BUY,
    IS_MARKET,
    BIDS_START,
    BIDS_END,
    ASKS_START,
    ASKS_END,
) = range(17)
"""Columns of a message. `FINAL_ID` is `u`, of a trade its id; price and size of a trade stand in those of the bid; a
depth message's levels are rows `BIDS_START` … `BIDS_END` − 1 and `ASKS_START` … `ASKS_END` − 1 of the level arrays."""
COLUMNS = 17

MISSING = -(2**63)
"""Stands for a number that a message does not have."""

LAST_MS = (2**63 - 1) // 1_000_000
FIRST_US = 100_000_000_000_000
LAST_US = (2**63 - 1) // 1_000
"""Times up to `LAST_MS` are milliseconds, those from `FIRST_US` to `LAST_US` microseconds: as ns either fits an int64,
and no time of this century can be taken for the other."""
_MARKET_WORD, _TRUE, _FALSE = b"MARKET", b"true", b"false"


@kernel(_I(_U1_IN, _I, _I, _U1_IN, _I4_IN))
def find_symbol(data, i, end, names, offsets):  # type: ignore[no-untyped-def]
    """Return the place of the symbol whose opening quote is at `i` among ascending names; −1 if it is none of them.

    Args:
        data: uint8[m].
        i: position of the quote.
        end: end of the message.
        names: uint8[…], the names one after another, ascending by their bytes.
        offsets: int32[s + 1], where each name begins.
    """
    if i >= end or data[i] != QUOTE:
        return -1
    start = i + 1
    length = skip_string(data, i, end) - 1 - start
    # Bisection by bytes: a text or a dictionary would be an object of Python.
    low, high = 0, offsets.shape[0] - 2
    while low <= high:
        middle = (low + high) // 2
        first, own = offsets[middle], offsets[middle + 1] - offsets[middle]
        order = 0
        for k in range(min(length, own)):
            if data[start + k] != names[first + k]:
                order = 1 if data[start + k] > names[first + k] else -1
                break
        if order == 0:
            if length == own:
                return middle
            order = 1 if length > own else -1
        if order > 0:
            low = middle + 1
        else:
            high = middle - 1
    return -1


@kernel(_PAIR(_U1_IN, _I, _I, _I8_IN2, _I, _I8, _I8, _I))
def read_levels(data, i, end, decimals, symbol, prices, sizes, row):  # type: ignore[no-untyped-def]
    """Read a list of `["price", "size"]` to rows of the level arrays.

    Args:
        data: uint8[m].
        i: position of the opening bracket.
        end: end of the message.
        decimals: int64[s, 2], of prices and of sizes of each symbol.
        symbol: place of the symbol.
        prices: int64[L]; written.
        sizes: int64[L]; written.
        row: first row to write.

    Returns:
        1, or −1 if anything is odd, and the row behind the last one written.
    """
    if i < 0 or i >= end or data[i] != OPEN_LIST:
        return -1, row
    i = skip_blanks(data, i + 1, end)
    if i < end and data[i] == CLOSE_LIST:
        return 1, row
    while i < end and data[i] == OPEN_LIST:
        i, price = read_decimal(data, skip_blanks(data, i + 1, end), end, decimals[symbol, 0])
        if i < 0 or price == 0 or row >= prices.shape[0]:
            return -1, row
        i = skip_blanks(data, i, end)
        if i >= end or data[i] != COMMA:
            return -1, row
        i, size = read_decimal(data, skip_blanks(data, i + 1, end), end, decimals[symbol, 1])
        if i < 0:
            return -1, row
        i = skip_blanks(data, i, end)
        if i >= end or data[i] != CLOSE_LIST:
            return -1, row
        prices[row], sizes[row] = price, size
        row += 1
        i = skip_blanks(data, i + 1, end)
        if i < end and data[i] == CLOSE_LIST:
            return 1, row
        if i >= end or data[i] != COMMA:
            return -1, row
        i = skip_blanks(data, i + 1, end)
    return -1, row


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def member_integer(data, i, end):  # type: ignore[no-untyped-def]
    """Return the integer at `i`; −1 where there is none, or one that has a fraction or an exponent."""
    if i < 0:
        return -1
    i, value = read_integer(data, i, end)
    if i < 0 or i >= end or data[i] == POINT:
        return -1
    return value


@kernel(_I(_U1_IN, _I, _I), forceinline=True)
def member_time(data, i, end):  # type: ignore[no-untyped-def]
    """Return the time at `i` in ns; −1 where there is none that is in milliseconds or microseconds."""
    value = member_integer(data, i, end)
    if value < 0 or value > LAST_US or LAST_MS < value < FIRST_US:
        return -1
    return value * 1_000_000 if value <= LAST_MS else value * 1_000


@kernel(_PAIR(_U1_IN, _I, _I, _I), forceinline=True)
def member_decimal(data, i, end, decimals):  # type: ignore[no-untyped-def]
    """Read the decimal at `i`; the first number is −1 where there is none."""
    if i < 0:
        return -1, 0
    return read_decimal(data, i, end, decimals)


@kernel(types.boolean(_U1_IN, _I8, _I, _I8_IN2, types.boolean, _I8, _I8, _I8))
def read_depth(data, places, end, decimals, is_futures, prices, sizes, record):  # type: ignore[no-untyped-def]
    """Read the members of a depth message; see `scan_payloads`. `record[BIDS_START]` says where levels begin."""
    symbol, row = record[SYMBOL], record[BIDS_START]
    record[EVENT_NS] = member_time(data, places[F_E], end)
    record[FIRST_ID] = member_integer(data, places[F_FIRST], end)
    record[FINAL_ID] = member_integer(data, places[F_U], end)
    if record[EVENT_NS] < 0 or record[FIRST_ID] < 0 or record[FINAL_ID] < 0:
        return False
    if is_futures:
        record[TRANSACTION_NS] = member_time(data, places[F_T], end)
        record[PREV_ID] = member_integer(data, places[F_PU], end)
        if record[TRANSACTION_NS] < 0 or record[PREV_ID] < 0:
            return False
    sound, row = read_levels(data, places[F_B], end, decimals, symbol, prices, sizes, row)
    if sound < 0:
        return False
    record[BIDS_END] = record[ASKS_START] = row
    sound, row = read_levels(data, places[F_A], end, decimals, symbol, prices, sizes, row)
    record[ASKS_END] = row
    return sound > 0


@kernel(types.boolean(_U1_IN, _I8, _I, _I8_IN2, _I8))
def read_ticker(data, places, end, decimals, record):  # type: ignore[no-untyped-def]
    """Read the members of a ticker; see `scan_payloads`."""
    symbol = record[SYMBOL]
    record[FINAL_ID] = member_integer(data, places[F_U], end)
    if record[FINAL_ID] < 0:
        return False
    if places[F_E] >= 0:
        record[EVENT_NS] = member_time(data, places[F_E], end)
        if record[EVENT_NS] < 0:
            return False
    if places[F_T] >= 0:
        record[TRANSACTION_NS] = member_time(data, places[F_T], end)
        if record[TRANSACTION_NS] < 0:
            return False
    i, record[BID_PRICE] = member_decimal(data, places[F_B], end, decimals[symbol, 0])
    j, record[BID_SIZE] = member_decimal(data, places[F_BS], end, decimals[symbol, 1])
    k, record[ASK_PRICE] = member_decimal(data, places[F_A], end, decimals[symbol, 0])
    m, record[ASK_SIZE] = member_decimal(data, places[F_AS], end, decimals[symbol, 1])
    return min(i, j, k, m) > 0 and record[BID_PRICE] > 0 and record[ASK_PRICE] > 0


@kernel(types.boolean(_U1_IN, _I8, _I, _I8_IN2, _I8))
def read_trade(data, places, end, decimals, record):  # type: ignore[no-untyped-def]
    """Read the members of a trade or of an aggregate of trades; see `scan_payloads`."""
    symbol = record[SYMBOL]
    record[EVENT_NS] = member_time(data, places[F_E], end)
    identity = F_A if record[KIND] == AGGREGATE else F_ID
    record[FINAL_ID] = member_integer(data, places[identity], end)
    maker = places[F_M]
    if record[EVENT_NS] < 0 or record[FINAL_ID] < 0 or maker < 0:
        return False
    # `m` says that the buyer was the maker, so the aggressor sold.
    if is_word(data, maker, min(maker + 4, end), _TRUE):
        record[IS_BUY] = 0
    elif is_word(data, maker, min(maker + 5, end), _FALSE):
        record[IS_BUY] = 1
    else:
        return False
    i = places[F_X]
    if i >= 0 and data[i] != QUOTE:
        return False
    # Trades outside the book (INSURANCE_FUND, ADL, NA) are left out later, so their price and size need not make sense.
    record[IS_MARKET] = int(i < 0 or is_word(data, i + 1, skip_string(data, i, end) - 1, _MARKET_WORD))
    if record[IS_MARKET] == 0:
        record[BID_PRICE] = record[BID_SIZE] = 0
        return True
    i, record[BID_PRICE] = member_decimal(data, places[F_P], end, decimals[symbol, 0])
    j, record[BID_SIZE] = member_decimal(data, places[F_Q], end, decimals[symbol, 1])
    return i > 0 and j > 0 and record[BID_PRICE] > 0


@kernel(types.boolean(_U1_IN, _I, _I), forceinline=True)
def is_list(data, i, end):  # type: ignore[no-untyped-def]
    """Tell whether the value at `i`, −1 for none, is a list."""
    return 0 <= i < end and data[i] == OPEN_LIST


@kernel(
    types.void(_U1_IN, _I4_IN, _U1_IN, _I4_IN, _I8_IN2, types.boolean, _I8, types.int64[:, ::1], _I8, _I8)
)
def scan_payloads(  # type: ignore[no-untyped-def]
    data, offsets, names, name_offsets, decimals, is_futures, places, records, prices, sizes
):
    """Scan the messages of a batch.

    Args:
        data: uint8[m], the messages one after another, as in the value buffer of an arrow binary array.
        offsets: int32[n + 1], where each message begins.
        names: uint8[…], symbols as the exchange spells them, ascending by their bytes.
        name_offsets: int32[s + 1], where each symbol begins.
        decimals: int64[s, 2], decimals of prices and of sizes of each symbol.
        is_futures: whether depth messages have `T` and `pu`.
        places: int64[FIELDS], workspace of the caller.
        records: int64[n, COLUMNS], written; of an odd message only `KIND` means anything.
        prices: int64[L], written, level after level; 10 bytes of a message hold one level at most.
        sizes: int64[L], written.
    """
    row = 0
    for n in range(offsets.shape[0] - 1):
        record, end = records[n], offsets[n + 1]
        record[:] = MISSING
        record[KIND] = ODD
        sound, stream = find_payload(data, offsets[n], end, places)
        if sound < 0:
            continue
        kind = kind_of(data, places, end)
        if kind == ODD or (kind == DEPTH and stream > 0 and is_diff_depth(data, stream) == 0):
            continue
        # The brackets of these lists were counted, but nobody has looked at what is in them.
        if kind != DEPTH and (is_list(data, places[F_B], end) or is_list(data, places[F_A], end)):
            continue
        record[SYMBOL] = find_symbol(data, places[F_S], end, names, name_offsets) if places[F_S] >= 0 else -1
        if record[SYMBOL] < 0:
            continue
        record[KIND] = kind
        if kind == DEPTH:
            record[BIDS_START] = row
            sound_members = read_depth(data, places, end, decimals, is_futures, prices, sizes, record)
            # The levels of an odd message are written over by those of the next one.
            row = record[ASKS_END] if sound_members else row
        elif kind == TICKER:
            sound_members = read_ticker(data, places, end, decimals, record)
        else:
            sound_members = read_trade(data, places, end, decimals, record)
        if not sound_members:
            record[KIND] = ODD
