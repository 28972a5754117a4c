"""Files of recorded messages, `<arrival> <json>` a line, become the raw log of a capture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.raw_capture import RowKind, raw_capture_schema
from order_book_platform.errors import SourceValueError
from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.observability import Progress, silent
from order_book_platform.sources.binance.market import Market
from order_book_platform.sources.binance.payload_reader import PayloadReader
from order_book_platform.sources.binance.recorded_lines import read_lines
from order_book_platform.storage import LogWriter
from order_book_platform.storage.master_keys import MasterKeys

BATCH_LINES = 8_192
"""Lines that become one batch of rows."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Files of one instrument, in order of time.

    Attributes:
        market: Market of the messages.
        instrument: Our instrument.
        files: Paths, plain or compressed by gzip.
        unit: Unit of the arrivals, `ns` or `us`.
    """

    market: Market
    instrument: Instrument
    files: Sequence[Path]
    unit: str = "ns"

    def batches(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """Read arrivals in ns and messages, some thousand at a time.

        Raises:
            SourceError: A file is absent, damaged, or has a line of another form.
        """
        times: list[int] = []
        messages: list[bytes] = []
        for line in read_lines(self.files, self.unit):
            times.append(line.arrival_ns)
            messages.append(line.message)
            if len(times) == BATCH_LINES:
                yield times, messages
                times, messages = [], []
        if times:
            yield times, messages

    def increments(self) -> FixedPoint:
        """Return the largest tick and lot that divide every price and size, at 8 decimals.

        Raises:
            SourceError: As `batches`; or no message has a price.
        """
        symbol = self.market.symbol(self.instrument)
        reader = PayloadReader(self.market, {symbol: FixedPoint()})
        tick = lot = 0
        for _, messages in self.batches():
            batch = reader.read(pa.array(messages, pa.binary()))
            kinds = batch.records[:, scan.KIND]
            tickers, trades = kinds == members.TICKER, kinds == members.TRADE
            for rows, columns in (
                (tickers, [scan.BID_PRICE, scan.ASK_PRICE]),
                (trades, [scan.BID_PRICE]),
            ):
                tick = _divisor(batch.records[np.ix_(rows, columns)], tick)
                lot = _divisor(batch.records[np.ix_(rows, [column + 1 for column in columns])], lot)
            tick, lot = _divisor(batch.prices, tick), _divisor(batch.sizes, lot)
        if not tick:
            raise SourceValueError(
                expected=f"messages of {symbol} with prices of at most 8 decimals",
                found="none",
                where=", ".join(map(str, self.files)),
                remedy="Check market and symbol, or name tick and lot.",
            )
        return FixedPoint(tick_pips=tick, lot_pips=lot or 1)

    def entry(self, tick: Decimal, lot: Decimal) -> bytes:
        """Return an entry of `exchangeInfo` with the instrument's names and increments."""
        base, _, rest = self.instrument.symbol.partition("-")
        return json.dumps(
            {
                "symbol": self.market.symbol(self.instrument),
                "baseAsset": base,
                "quoteAsset": rest.partition("-")[0],
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": f"{tick:f}"},
                    {"filterType": "LOT_SIZE", "stepSize": f"{lot:f}"},
                ],
            },
            ensure_ascii=False,
        ).encode()


def import_recording(
    recording: Recording,
    folder: Path,
    tick: Decimal,
    lot: Decimal,
    progress: Progress = silent,
    keys: MasterKeys | None = None,
) -> int:
    """Write a recording to a new raw log as connection 1, and return the number of its rows.

    A message with `lastUpdateId` becomes a response to a request for depth. The monotonic clock is the greatest arrival
    so far, since a recording has none of its own.

    Args:
        recording: The files.
        folder: Folder of the raw log; there must be no rows in it.
        tick: Increment of prices.
        lot: Increment of sizes.
        progress: Told of the rows written.
        keys: Master keys, to encrypt the log.

    Raises:
        SourceError: A file is absent, damaged, or has a line of another form; what was read before is in the log.
        SourceValueError: The log has rows already.
        StorageError: The log cannot be written.
    """
    with LogWriter(folder, raw_capture_schema(recording.market.name), keys=keys) as writer:
        if writer.next_row:
            raise SourceValueError(
                expected="a raw log without rows",
                found=f"{writer.next_row} rows",
                where=str(folder),
                remedy="Choose another name for the capture.",
            )
        latest, is_begun = 0, False
        for times, messages in recording.batches():
            if not is_begun:
                is_begun = True
                writer.append(_head(recording, times[0], recording.entry(tick, lot)))
            monotonic = np.maximum(np.maximum.accumulate(np.array(times)), latest)
            latest = int(monotonic[-1])
            writer.append(_rows(recording, times, monotonic.tolist(), messages))
            progress("raw", writer.next_row, 0)
        if is_begun:
            close = json.dumps({"code": 1000, "reason": "", "by": "recorder"})
            writer.append(_batch(recording, [(latest, latest, 1, "", "close", False, b"", close)]))
        writer.close(seal=True)
        return writer.next_row


def _head(recording: Recording, time_ns: int, entry: bytes) -> pa.RecordBatch:
    symbol = recording.market.symbol(recording.instrument)
    rules = json.dumps({"symbol": symbol, "instrument": recording.instrument.key}, ensure_ascii=False)
    streams = [f"{symbol.lower()}@{kind}" for kind in ("depth", "bookTicker", "trade")]
    names = [str(file.name) for file in recording.files]
    connect = json.dumps(
        {"url": "file:" + ",".join(names), "streams": streams, "why": "start"}, ensure_ascii=False
    )
    rows: list[tuple[Any, ...]] = [
        (time_ns, time_ns, 0, "", RowKind.RULES.value, False, entry, rules),
        (time_ns, time_ns, 1, "", RowKind.CONNECT.value, False, b"", connect),
    ]
    return _batch(recording, rows)


def _rows(
    recording: Recording, times: list[int], monotonic: list[int], messages: list[bytes]
) -> pa.RecordBatch:
    symbol = recording.market.symbol(recording.instrument)
    path = recording.market.depth_path(symbol)
    answer = json.dumps(
        {"status": 200, "sent_monotonic_ns": None, "used_weight": None, "retry_after_s": None}
    )
    rows: list[tuple[Any, ...]] = []
    for time_ns, monotonic_ns, message in zip(times, monotonic, messages, strict=True):
        if b'"lastUpdateId"' in message[:64]:
            rows.append((time_ns, monotonic_ns, 0, path, RowKind.REST.value, False, message, answer))
        else:
            rows.append((time_ns, monotonic_ns, 1, "", RowKind.MESSAGE.value, False, message, None))
    return _batch(recording, rows)


def _batch(recording: Recording, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    schema = raw_capture_schema(recording.market.name)
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _divisor(values: Any, start: int) -> int:
    return int(np.gcd.reduce(np.ravel(values), initial=start))
