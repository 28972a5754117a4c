"""Reads `trades` of the lake as rows of the dataset `trades`, in the precision of the deltas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.trades import TRADES_SCHEMA
from order_book_platform.sources.lake_source import TRADE_COLUMNS, LakeFile
from order_book_platform.sources.price_grid import check_grid
from order_book_platform.sources.read_audit import GridAudit
from order_book_platform.sources.table_reader import TableReader
from order_book_platform.sources.value_checks import check_nulls, check_times, check_values


@dataclass(slots=True)
class TradeReader(TableReader[pa.Table]):
    """Streams the trades of one symbol and day.

    Attributes:
        max_off_grid_rows: Off-grid values that are accepted: counted, and taken as the nearest pip.
        audit: Counts, complete once `tables` is used up.
        lot_pips: Largest step that divides every size so far; 0 before the first.
    """

    max_off_grid_rows: int
    audit: GridAudit = field(default_factory=GridAudit)
    lot_pips: int = 0

    columns = TRADE_COLUMNS
    order_column = "timestamp"

    def tables(self) -> Iterator[pa.Table]:
        """Read tables with schema `TRADES_SCHEMA`, by origin time; stably sorted where the files were not.

        Raises:
            SourceError: A file cannot be read or holds an impossible value.
            OffGridError: There are more off-grid values than accepted.
            FixedPointRangeError: A value is too large for the decimals.
        """
        self.audit.files, self.audit.unsorted_rows = len(self.files), self._count_unsorted()
        yield from self._in_order(self.audit.unsorted_rows)
        check_grid(self.audit, self.decoder.scale, self.files, self.max_off_grid_rows)

    def _sorted(self, parts: list[pa.Table]) -> Iterator[pa.Table]:
        whole = pa.concat_tables(parts)
        yield whole.take(np.argsort(whole.column("origin_time").to_numpy(), kind="stable"))

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
