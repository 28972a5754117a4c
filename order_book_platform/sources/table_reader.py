"""Readers of Crypto Lake's tables: the base class, and the readers of `trades` and `book`.

Files are streamed batch by batch, and sorted only if needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import BOOK_COLUMNS, TRADE_COLUMNS, LakeFile
from order_book_platform.sources.row_checks import (
    GridAudit,
    ReadAudit,
    check_grid,
    check_nulls,
    check_times,
    check_values,
)
from order_book_platform.streaming import read_ahead

Rows = TypeVar("Rows")


@dataclass(slots=True)
class TableReader(ABC, Generic[Rows]):
    """Streams the rows of one table, symbol and day in ascending order; a reader is used once.

    A day that is in order is never held as a whole. The order is looked at first, by one narrow column.

    Attributes:
        files: Files of the table, ordered by their first sequence number or time.
        day: UTC day of the partition; times more than a day away from it are refused.
        decoder: Decoder of float prices and sizes.
        batch_rows: Rows decoded at a time.
        audit: Counts, complete once all rows have been read.
    """

    files: Sequence[LakeFile]
    day: date
    decoder: FloatDecoder
    batch_rows: int
    audit: ReadAudit = field(init=False, default_factory=ReadAudit)

    columns: ClassVar[Iterable[str]]
    """Columns that are read."""
    order_column: ClassVar[str]
    """Column by which rows are to ascend."""

    @abstractmethod
    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> Rows:
        """Check and convert a batch whose first row is number `row` of the file."""

    @abstractmethod
    def _sorted(self, parts: list[Rows]) -> Iterator[Rows]:
        """Return all rows of a day in ascending order; equal ones stay in the order in which they came."""

    def _in_order(self) -> Iterator[Rows]:
        self.audit.files, self.audit.unsorted_rows = len(self.files), self._count_unsorted()
        yield from self._sorted(list(self._streamed())) if self.audit.unsorted_rows else self._streamed()

    def _streamed(self) -> Iterator[Rows]:
        for file in self.files:
            for row, batch in read_ahead(file.batches(list(self.columns), self.batch_rows)):
                yield self._convert(file, row, batch)

    def _count_unsorted(self) -> int:
        """Count the rows below the row before in `order_column`, over all files; nulls are refused later."""
        count, last = 0, None
        for file in self.files:
            for _, batch in file.batches([self.order_column], self.batch_rows):
                values = batch.column(0).drop_null().to_numpy()
                if len(values):
                    steps = np.diff(values, prepend=values[0] if last is None else last)
                    count, last = count + int((steps < 0).sum()), values[-1]
        return count


@dataclass(slots=True)
class TradeReader(TableReader[pa.Table]):
    """Streams the trades of one symbol and day.

    Off-grid values up to `max_off_grid_rows` are taken as the nearest pip. The largest step that divides every size so
    far is `lot_pips`; 0 before the first.
    """

    max_off_grid_rows: int
    audit: GridAudit = field(init=False, default_factory=GridAudit)
    lot_pips: int = 0

    columns = TRADE_COLUMNS
    order_column = "timestamp"

    def tables(self) -> Iterator[pa.Table]:
        """Read tables with schema `TRADES_SCHEMA`, by origin time; stably sorted where the files were not."""
        yield from self._in_order()
        check_grid(self.audit, self.decoder.scale, self.files, self.max_off_grid_rows)

    def _sorted(self, parts: list[pa.Table]) -> Iterator[pa.Table]:
        yield pa.concat_tables(parts).sort_by("origin_time")

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> pa.Table:
        check_nulls(file, row, batch)
        check_times(file, row, batch, self.day)
        price, size = batch.column("price").to_numpy(), batch.column("amount").to_numpy()
        check_values(file, row, "price", price, price > 0, "a finite price above 0")
        check_values(file, row, "amount", size, size > 0, "a finite amount above 0")
        side = batch.column("side")
        is_buy = pc.equal(side, "buy").to_numpy(zero_copy_only=False)
        wrong = ~(is_buy | pc.equal(side, "sell").to_numpy(zero_copy_only=False))
        if wrong.any():
            at = int(wrong.argmax())
            raise file.value_error("side", row + at, repr(side[at].as_py()), "'buy' or 'sell'")
        prices = self.decoder.decode_column(self.audit, file, row, "price", price)
        sizes = self.decoder.decode_column(self.audit, file, row, "amount", size)
        self.lot_pips = self.decoder.common_divisor(sizes, self.lot_pips)
        self.audit.rows += batch.num_rows
        columns = [batch.column("timestamp"), batch.column("receipt_timestamp"), batch.column("id")]
        columns += pa.array(is_buy), self.decoder.price_array(prices), self.decoder.size_array(sizes)
        return pa.table(columns, schema=self.decoder.schema(TRADES_SCHEMA))


@dataclass(slots=True)
class SnapshotAudit(ReadAudit):
    """Counts of the snapshots of a day.

    Attributes:
        unreadable_rows: Rows with a hole between levels, or a price or size that is negative, infinite or off the grid.
            They are kept without levels, so that nothing uses them and everybody can count them.
        first_unreadable: File and row of the first of them; empty if there is none.
        off_delta_tick_rows: Readable rows with a price that is no multiple of the largest step of the deltas' prices.
    """

    unreadable_rows: int = 0
    first_unreadable: str = ""
    off_delta_tick_rows: int = 0


@dataclass(slots=True)
class SnapshotReader(TableReader[SnapshotBatch]):
    """Streams the snapshots of one symbol and day. A row has 80 numbers, so batches should be small.

    Prices are held against `delta_tick_pips`, the largest step that divides the deltas' prices; `tick_pips` is that of
    every readable price so far, 0 before the first. Readable rows have any level.
    """

    delta_tick_pips: int
    audit: SnapshotAudit = field(init=False, default_factory=SnapshotAudit)
    readable_rows: int = 0
    tick_pips: int = 0

    columns = BOOK_COLUMNS
    order_column = "sequence_number"

    def batches(self) -> Iterator[SnapshotBatch]:
        """Read snapshots in ascending order of sequence number."""
        return self._in_order()

    def _sorted(self, parts: list[SnapshotBatch]) -> Iterator[SnapshotBatch]:
        whole = SnapshotBatch.concat(parts)
        yield whole.take(np.argsort(whole.sequence_number, kind="stable"))

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> SnapshotBatch:
        numbers = ["timestamp", "receipt_timestamp", "sequence_number"]
        check_nulls(file, row, batch.select(numbers))
        check_times(file, row, batch, self.day)
        prices, price_bad = self._levels(batch, "price")
        sizes, size_bad = self._levels(batch, "size")
        missing = (prices == MISSING_PIPS) | (sizes == MISSING_PIPS)
        hole = (missing[:, :, :-1] & ~missing[:, :, 1:]).any(axis=(1, 2))
        half = ((prices == MISSING_PIPS) != (sizes == MISSING_PIPS)).any(axis=(1, 2))
        unreadable = price_bad | size_bad | hole | half
        if unreadable.any() and not self.audit.first_unreadable:
            self.audit.first_unreadable = f"{file.path.name}: row {row + int(unreadable.argmax())}"
        self.audit.rows += batch.num_rows
        self.audit.unreadable_rows += int(unreadable.sum())
        prices[unreadable] = MISSING_PIPS
        sizes[prices == MISSING_PIPS] = 0
        present = prices != MISSING_PIPS
        off = present & ~self.decoder.are_multiples(prices, self.delta_tick_pips)
        self.readable_rows += int(present.any(axis=(1, 2)).sum())
        self.audit.off_delta_tick_rows += int(off.any(axis=(1, 2)).sum())
        self.tick_pips = self.decoder.common_divisor(prices[present], self.tick_pips)
        origin, received, sequence = (batch.column(name).to_numpy() for name in numbers)
        return SnapshotBatch(origin, received, sequence, prices, sizes)

    def _levels(self, batch: pa.RecordBatch, what: str) -> tuple[Int64Array, BoolArray]:
        """Decode the `price` or `size` of the levels of a batch: int64[n, 2, DEPTH], `MISSING_PIPS` for null and NaN.

        Also returns bool[n], rows with a value that cannot be that of a level.
        """
        floats = np.empty((batch.num_rows, 2, DEPTH))
        for index, side in enumerate(("bid", "ask")):
            for level in range(DEPTH):
                column = batch.column(f"{side}_{level}_{what}")
                floats[:, index, level] = column.to_numpy(zero_copy_only=column.null_count == 0)
        values, bad = self.decoder.decode_levels(what, floats)
        return values, np.asarray(bad.any(axis=(1, 2)))
