"""Reads `book` of the lake as snapshot batches, in the precision of the deltas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.levels import DEPTH, MISSING_PIPS
from order_book_platform.sources.lake_source import BOOK_COLUMNS, LakeFile
from order_book_platform.sources.read_audit import ReadAudit
from order_book_platform.sources.table_reader import TableReader
from order_book_platform.sources.value_checks import check_nulls, check_times


@dataclass(slots=True)
class SnapshotAudit(ReadAudit):
    """Counts of the snapshots of a day.

    Attributes:
        unreadable_rows: Rows with a hole between levels, or a price or size that is negative, infinite or off the
            grid. They are kept without levels, so that nothing uses them and everybody can count them.
        first_unreadable: File and row of the first of them; empty if there is none.
        off_delta_tick_rows: Readable rows with a price that is no multiple of the largest step of the deltas' prices.
    """

    unreadable_rows: int = 0
    first_unreadable: str = ""
    off_delta_tick_rows: int = 0


@dataclass(slots=True)
class SnapshotReader(TableReader[SnapshotBatch]):
    """Streams the snapshots of one symbol and day. A row has 80 numbers, so batches should be small.

    Attributes:
        delta_tick_pips: Largest step that divides the deltas' prices; held against the prices here.
        audit: Counts, complete once `batches` is used up.
        readable_rows: Rows with any level.
        tick_pips: Largest step that divides every readable price so far; 0 before the first.
    """

    delta_tick_pips: int
    audit: SnapshotAudit = field(default_factory=SnapshotAudit)
    readable_rows: int = 0
    tick_pips: int = 0

    columns = BOOK_COLUMNS
    order_column = "sequence_number"

    def batches(self) -> Iterator[SnapshotBatch]:
        """Read snapshots in ascending order of sequence number.

        Raises:
            SourceError: A file cannot be read or lacks a time or a sequence number.
        """
        self.audit.files, self.audit.unsorted_rows = len(self.files), self._count_unsorted()
        yield from self._in_order(self.audit.unsorted_rows)

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
        self._observe_steps(prices)
        origin, received, sequence = (batch.column(name).to_numpy() for name in numbers)
        return SnapshotBatch(origin, received, sequence, prices, sizes)

    def _observe_steps(self, prices: Int64Array) -> None:
        """Hold decoded prices int64[n, 2, DEPTH] against the deltas' step, and find the step of their own."""
        present = prices != MISSING_PIPS
        off = present & ~self.decoder.are_multiples(prices, self.delta_tick_pips)
        self.readable_rows += int(present.any(axis=(1, 2)).sum())
        self.audit.off_delta_tick_rows += int(off.any(axis=(1, 2)).sum())
        self.tick_pips = self.decoder.common_divisor(prices[present], self.tick_pips)

    def _levels(self, batch: pa.RecordBatch, field: str) -> tuple[Int64Array, BoolArray]:
        """Decode the levels of a batch.

        Args:
            batch: Rows of `book`.
            field: `price` or `size`.

        Returns:
            int64[n, 2, DEPTH], `MISSING_PIPS` for null and NaN; and bool[n], rows with a value that cannot be that of
            a level.
        """
        floats = np.empty((batch.num_rows, 2, DEPTH))
        for index, side in enumerate(("bid", "ask")):
            for level in range(DEPTH):
                column = batch.column(f"{side}_{level}_{field}")
                floats[:, index, level] = column.to_numpy(zero_copy_only=column.null_count == 0)
        values, bad = self.decoder.decode_levels(field, floats)
        return values, np.asarray(bad.any(axis=(1, 2)))
