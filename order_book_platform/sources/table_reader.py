"""Base class of the readers of Crypto Lake's tables: files are streamed batch by batch, and sorted only if needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Generic, TypeVar

import pyarrow as pa

from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import LakeFile
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
    """

    files: Sequence[LakeFile]
    day: date
    decoder: FloatDecoder
    batch_rows: int

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

    def _in_order(self, unsorted_rows: int) -> Iterator[Rows]:
        return self._sorted(list(self._streamed())) if unsorted_rows else self._streamed()

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
                    count += int((values[1:] < values[:-1]).sum()) + int(
                        last is not None and values[0] < last
                    )
                    last = values[-1]
        return count
