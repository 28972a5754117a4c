"""Canonical rows of one instrument as the decoder of a raw log gives them, and how they are made of messages."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TRADES_SCHEMA
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.binance.depth_merge import DepthGap
from order_book_platform.sources.binance.payload_parser import DepthResponse, Levels


@dataclass(frozen=True, slots=True)
class Numbering:
    """A stretch of a capture in which an instrument has one fixed point and one numbering of its updates.

    Attributes:
        symbol: Symbol as Binance spells it.
        instrument: Our instrument.
        point: Fixed point; the tick divides every price of the stretch's deltas and snapshots.
        from_row: Row of the raw log that the stretch begins with.
    """

    symbol: str
    instrument: Instrument
    point: FixedPoint
    from_row: int


@dataclass(slots=True)
class DecodedRows:
    """Rows of one instrument that the decoder has made of one batch of the raw log.

    Attributes:
        numbering: Stretch that they belong to.
        snapshots, deltas, tickers, trades: Rows of the datasets, each in its order.
        gaps: Holes of the depth stream, in order.
    """

    numbering: Numbering
    snapshots: list[pa.Table] = field(default_factory=list)
    deltas: list[DeltaBatch] = field(default_factory=list)
    tickers: list[pa.Table] = field(default_factory=list)
    trades: list[pa.Table] = field(default_factory=list)
    gaps: list[DepthGap] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing, not even a gap."""
        return not (self.snapshots or self.deltas or self.tickers or self.trades or self.gaps)


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """Messages with their levels, cut out of batches of the raw log.

    Attributes:
        records: int64[n, COLUMNS] of `payload_scan`; their levels are rows of `prices` and `sizes`.
        received_ns: int64[n], arrival by the wall clock, ns.
        prices: int64[L], pips.
        sizes: int64[L], pips.
    """

    records: Int64Array
    received_ns: Int64Array
    prices: Int64Array
    sizes: Int64Array

    def message(self, place: int) -> MessageBlock:
        """Return one depth message in arrays of its own, so that it does not keep the batch in memory."""
        record = self.records[place : place + 1].copy()
        start, end = int(record[0, scan.BIDS_START]), int(record[0, scan.ASKS_END])
        record[0, scan.BIDS_START : scan.ASKS_END + 1] -= start
        return MessageBlock(
            record,
            self.received_ns[place : place + 1].copy(),
            self.prices[start:end].copy(),
            self.sizes[start:end].copy(),
        )

    def deltas(self, places: Int64Array, *, is_futures: bool) -> DeltaBatch:
        """Return the rows of the depth messages at `places` int64[m]: bids, then asks, in the order of each message."""
        records = self.records[places]
        starts = records[:, scan.BIDS_START]
        counts = records[:, scan.ASKS_END] - starts
        owners = np.repeat(np.arange(len(places)), counts)
        ends = np.cumsum(counts)
        rows = np.arange(len(owners)) + np.repeat(starts - (ends - counts), counts)

        def spread(column: int) -> Int64Array:
            return np.asarray(records[owners, column], np.int64)

        return DeltaBatch(
            origin_time=spread(scan.EVENT_NS),
            received_time=self.received_ns[places][owners],
            sequence_number=spread(scan.FINAL_ID),
            is_bid=rows < records[owners, scan.BIDS_END],
            encoded_price=self.prices[rows],
            encoded_size=self.sizes[rows],
            transaction_time=spread(scan.TRANSACTION_NS) if is_futures else None,
            first_update_id=spread(scan.FIRST_ID),
            prev_final_update_id=spread(scan.PREV_ID) if is_futures else None,
        )

    def tickers(self, places: Int64Array) -> pa.Table:
        """Return a row of `tickers` for each of the messages at `places` int64[m]."""
        records = self.records[places]
        columns = [
            _nullable(records[:, scan.EVENT_NS]),
            _nullable(records[:, scan.TRANSACTION_NS]),
            pa.array(self.received_ns[places]),
            *(
                pa.array(records[:, each])
                for each in (scan.FINAL_ID, scan.BID_PRICE, scan.BID_SIZE, scan.ASK_PRICE, scan.ASK_SIZE)
            ),
        ]
        return pa.table(columns, schema=TICKERS_SCHEMA)

    def trades(self, places: Int64Array) -> pa.Table:
        """Return a row of `trades` for each of the messages at `places` int64[m]."""
        records = self.records[places]
        columns = [
            pa.array(records[:, scan.EVENT_NS]),
            pa.array(self.received_ns[places]),
            pa.array(records[:, scan.FINAL_ID]),
            pa.array(records[:, scan.IS_BUY] == 1),
            pa.array(records[:, scan.BID_PRICE]),
            pa.array(records[:, scan.BID_SIZE]),
        ]
        return pa.table(columns, schema=TRADES_SCHEMA)


def snapshot_row(response: DepthResponse, received_ns: int) -> pa.Table:
    """Return the row of `snapshots` of a response; without an event time its arrival stands for it."""

    def lists(levels: Levels, part: int) -> list[list[int]]:
        return [[level[part] for level in levels]]

    columns = [
        [received_ns if response.event_ns is None else response.event_ns],
        [received_ns],
        [response.last_update_id],
        *(lists(levels, part) for levels in (response.bids, response.asks) for part in (0, 1)),
    ]
    arrays = [pa.array(each, kind) for each, kind in zip(columns, SNAPSHOTS_SCHEMA.types, strict=True)]
    return pa.table(arrays, schema=SNAPSHOTS_SCHEMA)


def _nullable(values: Int64Array) -> pa.Array:
    return pa.array(values, mask=values == scan.MISSING)
