"""`trades` as canonical rows in the pips of the deltas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.trades import TRADES_SCHEMA
from order_book_platform.sources.float_decoding import Reading
from order_book_platform.sources.lake_source import TRADE_COLUMNS, LakeFile
from order_book_platform.sources.price_grid import check_grid
from order_book_platform.sources.value_checks import check_nulls, check_times, check_values


@dataclass(slots=True)
class TradeAudit:
    """What was counted while reading.

    Attributes:
        rows, files: how much there was.
        unsorted_rows: rows with an earlier origin_time than the row before, as the files came.
        off_grid_prices, off_grid_sizes: floats that are no decimal with the deltas' number of places.
        first_off_grid: where the first of them was.
    """

    rows: int = 0
    files: int = 0
    unsorted_rows: int = 0
    off_grid_prices: int = 0
    off_grid_sizes: int = 0
    first_off_grid: str = ""

    def to_dict(self) -> dict[str, int | str]:
        """JSON-ready form."""
        return asdict(self)


@dataclass(slots=True)
class TradeReader:
    """Streams the trades of one symbol and day.

    Attributes:
        files: in order.
        day: the partition's; times far from it are refused.
        reading: what floats are read as, as the deltas are.
        max_off_grid_rows: how many off-grid values are accepted (counted, nearest pip).
        batch_rows: rows decoded at a time.
        audit: complete once `tables` is used up.
        lot_pips: the largest step that divides every size; 0 before the first.
    """

    files: list[LakeFile]
    day: date
    reading: Reading
    max_off_grid_rows: int
    batch_rows: int
    audit: TradeAudit = field(default_factory=TradeAudit)
    lot_pips: int = 0

    def tables(self) -> Iterator[pa.Table]:
        """Tables with schema `TRADES_SCHEMA`, by origin time; stably sorted where the files were not.

        Raises:
            SourceError: a file cannot be read or holds an impossible value.
            OffGridError: more off-grid values than accepted.
            FixedPointRangeError: a value is too large for the decimals.
        """
        self.audit = TradeAudit(files=len(self.files), unsorted_rows=self._count_unsorted())
        if self.audit.unsorted_rows:
            whole = pa.concat_tables(list(self._streamed()))
            yield whole.take(np.argsort(whole.column("origin_time").to_numpy(), kind="stable"))
        else:
            yield from self._streamed()
        check_grid(self.audit, self.reading.scale, self.files, self.max_off_grid_rows)

    def _streamed(self) -> Iterator[pa.Table]:
        for file in self.files:
            for row, batch in file.batches(list(TRADE_COLUMNS), self.batch_rows):
                yield self._convert(file, row, batch)

    def _count_unsorted(self) -> int:
        """Rows with an earlier origin_time than the row before, over all files; reads that column only."""
        count, last = 0, None
        for file in self.files:
            for _, batch in file.batches(["timestamp"], self.batch_rows):
                times = batch.column(0).drop_null().to_numpy()
                if len(times):
                    count += int((times[1:] < times[:-1]).sum()) + int(last is not None and times[0] < last)
                    last = times[-1]
        return count

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> pa.Table:
        check_nulls(file, row, batch)
        check_times(file, row, batch, self.day)
        price = batch.column("price").to_numpy()
        size = batch.column("amount").to_numpy()
        check_values(file, row, "price", price, price > 0, "a finite price above 0")
        check_values(file, row, "amount", size, size > 0, "a finite amount above 0")
        side = batch.column("side")
        is_buy = pc.equal(side, "buy").to_numpy(zero_copy_only=False)
        wrong = ~(is_buy | pc.equal(side, "sell").to_numpy(zero_copy_only=False))
        if wrong.any():
            at = int(wrong.argmax())
            raise file.value_error("side", row + at, repr(side[at].as_py()), "'buy' or 'sell'")
        prices = self.reading.column(self.audit, file, row, "price", price)
        sizes = self.reading.column(self.audit, file, row, "amount", size)
        self.lot_pips = self.reading.divisor(sizes, self.lot_pips)
        self.audit.rows += batch.num_rows
        columns = [batch.column("timestamp"), batch.column("receipt_timestamp"), batch.column("id")]
        columns += pa.array(is_buy), self.reading.price_array(prices), self.reading.size_array(sizes)
        return pa.table(columns, schema=self.reading.schema(TRADES_SCHEMA))
