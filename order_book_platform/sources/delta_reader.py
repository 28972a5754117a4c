"""`book_delta_v2` as canonical batches: exact pips, whole messages, replay order, and an audit of what was odd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, whole_messages
from order_book_platform.kernels.ingest import delta_audit as loops
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.float_decoding import Reading
from order_book_platform.sources.lake_source import DELTA_COLUMNS, LakeFile
from order_book_platform.sources.price_grid import check_grid
from order_book_platform.sources.tick_changes import TickChange, TickTrail
from order_book_platform.sources.value_checks import check_nulls, check_times, check_values
from order_book_platform.streaming import read_ahead


@dataclass(slots=True)
class DeltaAudit:
    """What was counted while reading; goes into the manifest's metadata.

    Attributes:
        rows, files, messages: how much there was.
        deletions: rows of size 0.
        unsorted_rows: rows whose sequence number is below the previous row's, as the files came.
        duplicate_rows: rows equal in every column to an earlier one of their message.
        repeated_levels: further rows of a message for a level it had already set, with another size.
        origin_time_back: messages with an earlier origin_time than the message before.
        off_grid_prices, off_grid_sizes: floats that are no decimal with that many places.
        first_off_grid: where the first of them was.
        longest_message: rows.
        first_origin_time, last_origin_time: ns, of those that are known, that is, above 0; 0 if none is.
        first_received_time, last_received_time: ns.
        smallest_price_pips … largest_size_pips: extremes.
    """

    rows: int = 0
    files: int = 0
    messages: int = 0
    deletions: int = 0
    unsorted_rows: int = 0
    duplicate_rows: int = 0
    repeated_levels: int = 0
    origin_time_back: int = 0
    off_grid_prices: int = 0
    off_grid_sizes: int = 0
    first_off_grid: str = ""
    longest_message: int = 0
    first_origin_time: int = 0
    last_origin_time: int = 0
    first_received_time: int = 0
    last_received_time: int = 0
    smallest_price_pips: int = 0
    largest_price_pips: int = 0
    largest_size_pips: int = 0

    def to_dict(self) -> dict[str, int | str]:
        """JSON-ready form."""
        return asdict(self)


@dataclass(slots=True)
class DeltaReader:
    """Streams the deltas of one symbol and day.

    Attributes:
        files: in replay order.
        day: the partition's; times far from it are refused.
        reading: what floats are read as.
        max_off_grid_rows: how many off-grid rows are accepted (counted, nearest pip).
        batch_rows: rows decoded at a time.
        audit: complete once `batches` is used up.
        tick_pips, lot_pips: the largest steps that divide every price and every size so far; 0 before the first.
        tick_changes: where the former became another one; complete once `batches` is used up.
    """

    files: list[LakeFile]
    day: date
    reading: Reading
    max_off_grid_rows: int
    batch_rows: int
    audit: DeltaAudit = field(default_factory=DeltaAudit)
    tick_pips: int = 0
    lot_pips: int = 0
    tick_changes: list[TickChange] = field(default_factory=list)
    _counts: Int64Array = field(default_factory=lambda: np.zeros(loops.AUDIT_COUNTS, np.int64))
    _table: tuple[Int64Array, Int64Array] = field(default_factory=lambda: _table(1024))

    def batches(self) -> Iterator[DeltaBatch]:
        """Batches of whole messages in replay order.

        Raises:
            SourceError: a file cannot be read or holds an impossible value.
            OffGridError: more off-grid rows than accepted.
            FixedPointRangeError: a value is too large for the decimals.
        """
        self.audit = DeltaAudit(files=len(self.files), unsorted_rows=self._count_unsorted())
        self.tick_pips = self.lot_pips = 0
        self._counts, self._table = np.zeros(loops.AUDIT_COUNTS, np.int64), _table(1024)
        trail = TickTrail(self.reading)
        for batch in whole_messages(self._sorted() if self.audit.unsorted_rows else self._streamed()):
            self._observe(batch, trail)
            yield batch
        self.tick_changes = trail.changes()
        check_grid(self.audit, self.reading.scale, self.files, self.max_off_grid_rows)

    @property
    def largest_price(self) -> int:
        """In pips, or unscaled."""
        return self.reading.pips(self.audit.largest_price_pips)

    def _streamed(self) -> Iterator[DeltaBatch]:
        for file in self.files:
            for row, batch in read_ahead(file.batches(list(DELTA_COLUMNS), self.batch_rows)):
                yield self._convert(file, row, batch)

    def _sorted(self) -> Iterator[DeltaBatch]:
        """All rows at once, sorted stably by (sequence number, origin time).

        Where sequence numbers and times agree this is the order by (origin time, sequence number) too; where the
        exchange's clock went back, the sequence number decides.
        """
        whole = DeltaBatch.concat(list(self._streamed()))
        frame = pl.from_arrow(whole.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        frame = frame.sort("sequence_number", "origin_time", maintain_order=True)
        for part in frame.iter_slices(self.batch_rows):
            yield DeltaBatch.from_arrow(part.to_arrow())

    def _count_unsorted(self) -> int:
        """Rows whose sequence number is below the one before, over all files; reads that column only."""
        count, last = 0, None
        for file in self.files:
            for _, batch in file.batches(["sequence_number"], self.batch_rows):
                column = batch.column(0)
                sequence = (column.drop_null() if column.null_count else column).to_numpy()
                if len(sequence):
                    count += int((sequence[1:] < sequence[:-1]).sum()) + int(
                        last is not None and sequence[0] < last
                    )
                    last = sequence[-1]
        return count

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> DeltaBatch:
        check_nulls(file, row, batch)
        check_times(file, row, batch, self.day)
        price = batch.column("price").to_numpy()
        size = batch.column("size").to_numpy()
        check_values(file, row, "price", price, price > 0, "a finite price above 0")
        check_values(file, row, "size", size, size >= 0, "a finite size of 0 or more")
        return DeltaBatch(
            origin_time=batch.column("timestamp").to_numpy(),
            received_time=batch.column("receipt_timestamp").to_numpy(),
            sequence_number=batch.column("sequence_number").to_numpy(),
            is_bid=batch.column("side_is_bid").to_numpy(zero_copy_only=False),
            encoded_price=self.reading.column(self.audit, file, row, "price", price),
            encoded_size=self.reading.column(self.audit, file, row, "size", size),
        )

    def _observe(self, batch: DeltaBatch, trail: TickTrail) -> None:
        """Add a batch of whole messages to the audit."""
        keys, row = self.reading.spread(batch.encoded_price), 0
        while row < len(batch):
            row = loops.audit_messages(
                batch.origin_time,
                batch.received_time,
                batch.sequence_number,
                batch.is_bid,
                batch.encoded_price,
                keys,
                batch.encoded_size,
                row,
                *self._table,
                self._counts,
            )
            if row < len(batch):
                self._table = _table(4 * len(self._table[0]))
        self._table[1].fill(-1)  # rows of the next batch have the same numbers
        trail.feed(batch)
        self.tick_pips = trail.tick_pips
        self.lot_pips = self.reading.divisor(batch.encoded_size, self.lot_pips)
        self.reading.count_sizes(batch.encoded_size)
        self.audit.rows += len(batch)
        for name, count in _AUDITED.items():
            setattr(self.audit, name, int(self._counts[count]))


_AUDITED = {
    "messages": loops.MESSAGES,
    "deletions": loops.DELETIONS,
    "duplicate_rows": loops.DUPLICATES,
    "repeated_levels": loops.REPEATED_LEVELS,
    "origin_time_back": loops.ORIGIN_BACK,
    "longest_message": loops.LONGEST,
    "first_origin_time": loops.FIRST_ORIGIN,
    "last_origin_time": loops.LAST_ORIGIN,
    "first_received_time": loops.FIRST_RECEIVED,
    "last_received_time": loops.LAST_RECEIVED,
    "smallest_price_pips": loops.SMALLEST_PRICE,
    "largest_price_pips": loops.LARGEST_PRICE,
    "largest_size_pips": loops.LARGEST_SIZE,
}
"""Attributes of `DeltaAudit` that the loop keeps, and their places there."""


def _table(slots: int) -> tuple[Int64Array, Int64Array]:
    """A hash table for `audit_messages`: slots and their owners."""
    return np.zeros(slots, np.int64), np.full(slots, -1, np.int64)
