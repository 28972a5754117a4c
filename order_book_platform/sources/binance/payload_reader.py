"""Reads a batch of messages as integers: the scanner takes nearly all of them, the slow parser the odd ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.binance.market import Market
from order_book_platform.sources.binance.payload_parser import (
    DepthMessage,
    OtherMessage,
    PayloadParser,
    Refusal,
    TickerMessage,
    TradeMessage,
)

OTHER, REFUSED = 5, 6
"""Kinds of a message beside those of the scanner: no market data of ours, and not understood."""
_BYTES_PER_LEVEL = 10
"""Fewest bytes that a level takes, `["1","1"],`."""


@dataclass(frozen=True, slots=True)
class PayloadBatch:
    """Messages of a batch as integers, and what could not be read.

    Attributes:
        records: int64[n, COLUMNS] of `payload_scan`; `SYMBOL` is a place in the reader's `symbols`. Times are in ns,
            prices and sizes in pips, `MISSING` stands for what a message does not have.
        prices: int64[L] of levels, in pips.
        sizes: int64[L] of levels, in pips.
        refusals: Reason by message, of kind `REFUSED`.
        others: Counts of messages of kind `OTHER` by what they are.
        slow: Number of messages that the slow parser was asked about.
    """

    records: Int64Array
    prices: Int64Array
    sizes: Int64Array
    refusals: dict[int, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    slow: int = 0


class PayloadReader:
    """Reads messages of one market.

    Args:
        market: Market of the messages.
        points: Fixed point of each symbol as Binance spells it.

    Attributes:
        symbols: The symbols, ascending by their bytes.
    """

    def __init__(self, market: Market, points: Mapping[str, FixedPoint]) -> None:
        self.symbols = sorted(points, key=str.encode)
        self._places = {symbol: place for place, symbol in enumerate(self.symbols)}
        self._parser = PayloadParser(market, points)
        self._is_futures = market.has_pu
        names = [symbol.encode() for symbol in self.symbols]
        self._names = np.frombuffer(b"".join(names) + b"\0", np.uint8)
        self._name_offsets = np.cumsum([0, *map(len, names)], dtype=np.int32)
        decimals = [(points[each].price_decimals, points[each].size_decimals) for each in self.symbols]
        self._decimals = np.array(decimals, np.int64).reshape(-1, 2)
        self._workspace = np.empty(members.FIELDS, np.int64)

    def read(self, payloads: pa.BinaryArray) -> PayloadBatch:
        """Read messages, none of them null."""
        count = len(payloads)
        records = np.empty((count, scan.COLUMNS), np.int64)
        if not count:
            return PayloadBatch(records, np.empty(0, np.int64), np.empty(0, np.int64))
        _, offsets, values = payloads.buffers()
        bounds = np.frombuffer(offsets, np.int32)[payloads.offset : payloads.offset + count + 1]
        data = np.frombuffer(values, np.uint8) if values is not None else np.empty(0, np.uint8)
        room = (int(bounds[-1]) - int(bounds[0])) // _BYTES_PER_LEVEL + 1
        prices, sizes = np.empty(room, np.int64), np.empty(room, np.int64)
        scan.scan_payloads(
            data,
            bounds,
            self._names,
            self._name_offsets,
            self._decimals,
            self._is_futures,
            self._workspace,
            records,
            prices,
            sizes,
        )
        depth = records[:, scan.KIND] == members.DEPTH
        used = int(records[depth, scan.ASKS_END].max(initial=0))
        prices, sizes = prices[:used], sizes[:used]
        odd = np.flatnonzero(records[:, scan.KIND] == members.ODD).tolist()
        return self._parsed(payloads, odd, PayloadBatch(records, prices, sizes, slow=len(odd)))

    def _parsed(self, payloads: pa.BinaryArray, odd: list[int], batch: PayloadBatch) -> PayloadBatch:
        """Fill in the messages that the scanner left to the slow parser."""
        levels: list[tuple[int, int]] = []
        for row in odd:
            record = batch.records[row]
            record[:] = scan.MISSING
            match self._parser.parse(payloads[row].as_py()):
                case Refusal(reason):
                    record[scan.KIND] = REFUSED
                    batch.refusals[row] = reason
                case OtherMessage(what):
                    record[scan.KIND] = OTHER
                    batch.others[what] += 1
                case DepthMessage() as message:
                    self._fill_depth(record, message, len(batch.prices) + len(levels))
                    levels += message.bids + message.asks
                case TickerMessage() as message:
                    self._fill_ticker(record, message)
                case TradeMessage() as message:
                    self._fill_trade(record, message)
        if not levels:
            return batch
        more = np.array(levels, np.int64)
        return PayloadBatch(
            batch.records,
            np.concatenate([batch.prices, more[:, 0]]),
            np.concatenate([batch.sizes, more[:, 1]]),
            batch.refusals,
            batch.others,
            batch.slow,
        )

    def _fill_depth(self, record: Int64Array, message: DepthMessage, start: int) -> None:
        record[scan.KIND], record[scan.SYMBOL] = members.DEPTH, self._places[message.symbol]
        record[scan.EVENT_NS] = message.event_ns
        record[scan.TRANSACTION_NS] = _or_missing(message.transaction_ns)
        record[scan.FIRST_ID], record[scan.FINAL_ID] = message.first_update_id, message.final_update_id
        record[scan.PREV_ID] = _or_missing(message.prev_final_update_id)
        middle = start + len(message.bids)
        record[scan.BIDS_START], record[scan.BIDS_END] = start, middle
        record[scan.ASKS_START], record[scan.ASKS_END] = middle, middle + len(message.asks)

    def _fill_ticker(self, record: Int64Array, message: TickerMessage) -> None:
        record[scan.KIND], record[scan.SYMBOL] = members.TICKER, self._places[message.symbol]
        record[scan.EVENT_NS] = _or_missing(message.event_ns)
        record[scan.TRANSACTION_NS] = _or_missing(message.transaction_ns)
        record[scan.FINAL_ID] = message.update_id
        record[scan.BID_PRICE], record[scan.BID_SIZE] = message.bid
        record[scan.ASK_PRICE], record[scan.ASK_SIZE] = message.ask

    def _fill_trade(self, record: Int64Array, message: TradeMessage) -> None:
        record[scan.KIND] = members.AGGREGATE if message.is_aggregate else members.TRADE
        record[scan.SYMBOL] = self._places[message.symbol]
        record[scan.EVENT_NS], record[scan.FINAL_ID] = message.event_ns, message.trade_id
        record[scan.BID_PRICE], record[scan.BID_SIZE] = message.level
        record[scan.IS_BUY], record[scan.IS_MARKET] = int(message.is_buy), int(message.is_market)


def _or_missing(number: int | None) -> int:
    return scan.MISSING if number is None else number
