"""Readers of Crypto Lake's tables, which stream files batch by batch and sort them only if needed.

Deltas are audited for changes of the tick, too: an exchange may make it finer or coarser at any time. One divisor of
all prices does not show that; the divisors of the pieces of a day do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from itertools import accumulate
from math import gcd
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.raw_deltas import DeltaBatch, whole_messages
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.kernels.ingest import raw_columns as loops
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import (
    BOOK_COLUMNS,
    DELTA_COLUMNS,
    TRADE_COLUMNS,
    GridAudit,
    LakeFile,
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

    A day that is in order is never held as a whole. The order is looked at first, by one narrow column. `files` are
    ordered by their first sequence number or time; times more than a day away from the UTC day are refused. The counts
    in `audit` are complete once all rows have been read.
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

    Unreadable rows have a hole between levels, or a price or size that is negative, infinite or off the grid. They are
    kept without levels, so that nothing uses them and everybody can count them; `first_unreadable` has file and row.
    `off_delta_tick_rows` are readable and have a price that is no multiple of the largest step of the deltas' prices.
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


PIECE_ROWS = 16_384
"""Rows of a piece, whose prices are taken together: enough that they do not share a coarser step by chance."""


@dataclass(slots=True)
class DeltaAudit(GridAudit):
    """Counts of the deltas of a day, as `raw_columns.audit_messages` keeps them and in the order of its array.

    `duplicate_rows` equal an earlier row of their message in every column; `repeated_levels` set a level of their
    message again, to another size. `longest_message` is in rows, `deletions` are rows of size 0, and `origin_time_back`
    counts messages with an earlier origin time than the message before. Times are in ns; only origin times above 0 are
    known, and 0 stands for none.
    """

    messages: int = 0
    longest_message: int = 0
    deletions: int = 0
    duplicate_rows: int = 0
    repeated_levels: int = 0
    origin_time_back: int = 0
    first_origin_time: int = 0
    last_origin_time: int = 0
    first_received_time: int = 0
    last_received_time: int = 0
    smallest_price_pips: int = 0
    largest_price_pips: int = 0
    largest_size_pips: int = 0


class TickChange(NamedTuple):
    """A change of the step of prices, at the first row of the first piece of `PIECE_ROWS` with the new step.

    `origin_time` is in ns. Steps in pips of 18 decimals may be longer than 64 bits.
    """

    origin_time: int
    sequence_number: int
    from_pips: int
    to_pips: int


@dataclass(slots=True)
class TickChangeDetector:
    """Follows the step of prices, `tick_pips` (0 before the first), of deltas in order, cut in any way."""

    decoder: FloatDecoder
    tick_pips: int = 0
    _pieces: list[tuple[int, int, int]] = field(default_factory=list)
    _filled: int = 0

    def feed(self, batch: DeltaBatch) -> None:
        """Add the prices of a batch."""
        row = 0
        while row < len(batch):
            end = min(row + PIECE_ROWS - self._filled, len(batch))
            divisor = self.decoder.common_divisor(batch.encoded_price[row:end], 0)
            if self._filled:
                origin, sequence, before = self._pieces[-1]
                self._pieces[-1] = origin, sequence, gcd(before, divisor)
            else:
                self._pieces.append((int(batch.origin_time[row]), int(batch.sequence_number[row]), divisor))
            self.tick_pips = gcd(self.tick_pips, divisor)
            self._filled = (self._filled + end - row) % PIECE_ROWS
            row = end

    def changes(self) -> list[TickChange]:
        """Return the places at which the step became another one and stayed so.

        A finer step takes one piece before and two after to be seen, a coarser one two before and one after. A single
        price off the step changes nothing, since the pieces on both sides of its own have the same step.
        """
        pieces = self._pieces[: len(self._pieces) - bool(self._filled)]
        steps = [step for _, _, step in pieces]
        before = list(accumulate(steps, gcd))
        after = list(accumulate(reversed(steps), gcd))[::-1]
        found = []
        for i in range(1, len(steps)):
            finer = before[i] != before[i - 1] and i + 1 < len(steps) and after[i + 1] % before[i - 1]
            coarser = after[i] != after[i - 1] and i > 1 and before[i - 2] % after[i]
            if finer or coarser:
                old, new = (before[i - 1], before[i]) if finer else (after[i - 1], after[i])
                found.append(TickChange(pieces[i][0], pieces[i][1], old, new))
        return found


def _hash_table(slots: int) -> tuple[Int64Array, Int64Array]:
    """Return an empty hash table for `audit_messages`: slots int64[k], and their owners int64[k], −1 for none."""
    return np.zeros(slots, np.int64), np.full(slots, -1, np.int64)


@dataclass(slots=True)
class DeltaReader(TableReader[DeltaBatch]):
    """Streams the deltas of one symbol and day.

    Off-grid values up to `max_off_grid_rows` are taken as the nearest pip. The largest steps that divide every price
    and size so far are `tick_pips` and `lot_pips`; 0 before the first. `tick_changes` is complete once `batches` is
    used up.
    """

    max_off_grid_rows: int
    audit: DeltaAudit = field(init=False, default_factory=DeltaAudit)
    tick_pips: int = 0
    lot_pips: int = 0
    tick_changes: list[TickChange] = field(default_factory=list)
    _counts: Int64Array = field(default_factory=lambda: np.zeros(loops.AUDIT_COUNTS, np.int64))
    _table: tuple[Int64Array, Int64Array] = field(default_factory=lambda: _hash_table(1024))

    columns = DELTA_COLUMNS
    order_column = "sequence_number"

    def batches(self) -> Iterator[DeltaBatch]:
        """Read batches of whole messages in replay order; more off-grid values than accepted are an `OffGridError`."""
        detector = TickChangeDetector(self.decoder)
        for batch in whole_messages(self._in_order()):
            self._observe(batch, detector)
            yield batch
        self.tick_changes = detector.changes()
        check_grid(self.audit, self.decoder.scale, self.files, self.max_off_grid_rows)

    @property
    def largest_price(self) -> int:
        """Largest price in pips of the decoder's scale."""
        return self.decoder.to_pips(self.audit.largest_price_pips)

    def _sorted(self, parts: list[DeltaBatch]) -> Iterator[DeltaBatch]:
        """Sort all rows stably by sequence number and origin time.

        Where sequence numbers and times agree this is the order by time and number too; where the exchange's clock
        went back, the sequence number decides.
        """
        frame = pl.from_arrow(DeltaBatch.concat(parts).to_arrow())
        assert isinstance(frame, pl.DataFrame)
        parts.clear()  # three copies of a day need not be held at once
        for part in frame.sort("sequence_number", "origin_time", maintain_order=True).iter_slices(
            self.batch_rows
        ):
            yield DeltaBatch.from_arrow(part.to_arrow())

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> DeltaBatch:
        check_nulls(file, row, batch)
        check_times(file, row, batch, self.day)
        price, size = batch.column("price").to_numpy(), batch.column("size").to_numpy()
        check_values(file, row, "price", price, price > 0, "a finite price above 0")
        check_values(file, row, "size", size, size >= 0, "a finite size of 0 or more")
        return DeltaBatch(
            origin_time=batch.column("timestamp").to_numpy(),
            received_time=batch.column("receipt_timestamp").to_numpy(),
            sequence_number=batch.column("sequence_number").to_numpy(),
            is_bid=batch.column("side_is_bid").to_numpy(zero_copy_only=False),
            encoded_price=self.decoder.decode_column(self.audit, file, row, "price", price),
            encoded_size=self.decoder.decode_column(self.audit, file, row, "size", size),
        )

    def _observe(self, batch: DeltaBatch, detector: TickChangeDetector) -> None:
        """Add a batch of whole messages to the audit; the loop stops at a message too long for the hash table."""
        keys, row = self.decoder.hash_keys(batch.encoded_price), 0
        times = batch.origin_time, batch.received_time
        columns = *times, batch.sequence_number, batch.is_bid, batch.encoded_price
        while row < len(batch):
            row = loops.audit_messages(*columns, keys, batch.encoded_size, row, *self._table, self._counts)
            if row < len(batch):
                self._table = _hash_table(4 * len(self._table[0]))
        self._table[1].fill(-1)  # owners are row numbers, which begin at 0 again in the next batch
        detector.feed(batch)
        self.tick_pips = detector.tick_pips
        self.lot_pips = self.decoder.common_divisor(batch.encoded_size, self.lot_pips)
        self.decoder.count_sizes(batch.encoded_size)
        self.audit.rows += len(batch)
        own = fields(DeltaAudit)[len(fields(GridAudit)) :]
        for count, value in zip(
            own, self._counts.tolist(), strict=False
        ):  # the last of its numbers is its own
            setattr(self.audit, count.name, value)
