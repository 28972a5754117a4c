"""Reads `book_delta_v2` of the lake as batches of whole messages in replay order, audited for changes of the tick, too.

An exchange may make its tick finer or coarser at any time. One divisor of all prices does not show that; the divisors
of the pieces of a day do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import accumulate
from math import gcd
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, whole_messages
from order_book_platform.kernels.ingest import raw_columns as loops
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import DELTA_COLUMNS, LakeFile
from order_book_platform.sources.row_checks import (
    GridAudit,
    check_grid,
    check_nulls,
    check_times,
    check_values,
)
from order_book_platform.sources.table_reader import TableReader

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
