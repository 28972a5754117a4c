"""`book` as snapshot batches in the pips of the deltas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.levels import DEPTH, MISSING_PIPS
from order_book_platform.sources.float_decoding import Reading
from order_book_platform.sources.lake_source import BOOK_COLUMNS, LakeFile
from order_book_platform.sources.value_checks import check_nulls, check_times
from order_book_platform.streaming import read_ahead


@dataclass(slots=True)
class SnapshotAudit:
    """What was counted while reading.

    Attributes:
        rows, files: how much there was.
        unsorted_rows: rows whose sequence number is below the previous row's, as the files came.
        unreadable_rows: rows with a hole between levels, or a price or size that is negative, infinite or off the
            grid; kept without levels, so that nothing uses them and everybody can count them.
        first_unreadable: where the first of them was.
        off_delta_tick_rows: readable rows with a price that is no multiple of what divides the deltas' prices.
    """

    rows: int = 0
    files: int = 0
    unsorted_rows: int = 0
    unreadable_rows: int = 0
    first_unreadable: str = ""
    off_delta_tick_rows: int = 0

    def to_dict(self) -> dict[str, int | str]:
        """JSON-ready form."""
        return asdict(self)


@dataclass(slots=True)
class SnapshotReader:
    """Streams the snapshots of one symbol and day.

    Attributes:
        files: in order.
        day: the partition's; times far from it are refused.
        reading: what floats are read as, as the deltas are.
        delta_tick_pips: what divides the deltas' prices; held against the prices here.
        batch_rows: rows decoded at a time; a row has 80 numbers.
        audit: complete once `batches` is used up.
        readable_rows: rows with any level.
        tick_pips: the largest step that divides every readable price so far; 0 before the first.
    """

    files: list[LakeFile]
    day: date
    reading: Reading
    delta_tick_pips: int
    batch_rows: int
    audit: SnapshotAudit = field(default_factory=SnapshotAudit)
    readable_rows: int = 0
    tick_pips: int = 0

    def batches(self) -> Iterator[SnapshotBatch]:
        """Snapshots ascending by sequence number.

        Raises:
            SourceError: a file cannot be read or lacks a time or a sequence number.
        """
        self.audit = SnapshotAudit(files=len(self.files), unsorted_rows=self._count_unsorted())
        self.readable_rows = self.tick_pips = 0
        if not self.audit.unsorted_rows:
            yield from self._streamed()
            return
        parts = list(self._streamed())
        order = np.argsort(np.concatenate([part.sequence_number for part in parts]), kind="stable")
        yield SnapshotBatch(
            *(
                np.concatenate([getattr(part, name) for part in parts])[order]
                for name in (
                    "origin_time",
                    "received_time",
                    "sequence_number",
                    "encoded_price",
                    "encoded_size",
                )
            )
        )

    def _streamed(self) -> Iterator[SnapshotBatch]:
        for file in self.files:
            for row, batch in read_ahead(file.batches(list(BOOK_COLUMNS), self.batch_rows)):
                yield self._convert(file, row, batch)

    def _count_unsorted(self) -> int:
        count, last = 0, None
        for file in self.files:
            for row, batch in file.batches(["sequence_number"], self.batch_rows):
                check_nulls(file, row, batch)
                sequence = batch.column(0).to_numpy()
                if len(sequence):
                    count += int((sequence[1:] < sequence[:-1]).sum()) + int(
                        last is not None and sequence[0] < last
                    )
                    last = sequence[-1]
        return count

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> SnapshotBatch:
        check_nulls(file, row, batch.select(["timestamp", "receipt_timestamp", "sequence_number"]))
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
        self._observe(prices)
        return SnapshotBatch(
            batch.column("timestamp").to_numpy(),
            batch.column("receipt_timestamp").to_numpy(),
            batch.column("sequence_number").to_numpy(),
            prices,
            sizes,
        )

    def _observe(self, prices: NDArray[np.int64]) -> None:
        """Add int64[n, 2, DEPTH] prices in pips to what shows the tick."""
        present = prices != MISSING_PIPS
        off = present & ~self.reading.multiples(prices, self.delta_tick_pips)
        self.readable_rows += int(present.any(axis=(1, 2)).sum())
        self.audit.off_delta_tick_rows += int(off.any(axis=(1, 2)).sum())
        self.tick_pips = self.reading.divisor(prices[present], self.tick_pips)

    def _levels(self, batch: pa.RecordBatch, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """int64[n, 2, DEPTH], null and NaN as MISSING_PIPS, and bool[n]: a value that cannot be a level's."""
        floats = np.empty((batch.num_rows, 2, DEPTH))
        for index, side in enumerate(("bid", "ask")):
            for level in range(DEPTH):
                column = batch.column(f"{side}_{level}_{name}")
                floats[:, index, level] = column.to_numpy(zero_copy_only=column.null_count == 0)
        values, bad = self.reading.levels(name, floats)
        return values, np.asarray(bad.any(axis=(1, 2)))
