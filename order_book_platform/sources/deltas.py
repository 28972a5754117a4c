"""`book_delta_v2` as canonical batches: exact pips, whole messages, replay order, and an audit of what was odd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import OffGridError
from order_book_platform.kernels import audit as loops
from order_book_platform.model import DeltaBatch, FixedPoint, whole_messages
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, decimals_for, float_to_pips
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.lake import DELTA_COLUMNS, LakeFile


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
        first_origin_time … last_received_time: ns.
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
        instrument: settings: decimals, tick, lot, where given.
        max_off_grid_rows: how many off-grid rows are accepted (counted, nearest pip).
        batch_rows: rows decoded at a time.
        audit: complete once `batches` is used up.
        price_decimals, size_decimals: chosen before the first batch.
    """

    files: list[LakeFile]
    instrument: InstrumentSettings
    max_off_grid_rows: int
    batch_rows: int
    audit: DeltaAudit = field(default_factory=DeltaAudit)
    price_decimals: int = DEFAULT_DECIMALS
    size_decimals: int = DEFAULT_DECIMALS
    _tick_pips: int = 0
    _lot_pips: int = 0

    def __post_init__(self) -> None:
        self.price_decimals = self._decimals("price", self.instrument.price_decimals)
        self.size_decimals = self._decimals("size", self.instrument.size_decimals)

    @property
    def fixed_point(self) -> FixedPoint:
        """Decimals, and the tick and lot detected so far: the largest steps that divide every price and every size."""
        return FixedPoint(self.price_decimals, self.size_decimals, self._tick_pips or 1, self._lot_pips or 1)

    def batches(self) -> Iterator[DeltaBatch]:
        """Batches of whole messages in replay order.

        Raises:
            SourceError: a file cannot be read or holds an impossible value.
            OffGridError: more off-grid rows than accepted.
        """
        self.audit = DeltaAudit(files=len(self.files), unsorted_rows=self._count_unsorted())
        self._tick_pips = self._lot_pips = 0
        last_origin = None
        for batch in whole_messages(self._sorted() if self.audit.unsorted_rows else self._streamed()):
            last_origin = self._observe(batch, last_origin)
            yield batch
        self._check_grid()

    def _streamed(self) -> Iterator[DeltaBatch]:
        for file in self.files:
            for row, batch in file.batches(list(DELTA_COLUMNS), self.batch_rows):
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
            for _, batch in file.batches(["sequence_number"], 4 * self.batch_rows):
                sequence = batch.column(0).drop_null().to_numpy()
                if len(sequence):
                    count += int((sequence[1:] < sequence[:-1]).sum()) + int(
                        last is not None and sequence[0] < last
                    )
                    last = sequence[-1]
        return count

    def _decimals(self, column: str, wanted: int | None) -> int:
        largest = max(abs(limit) for file in self.files for limit in file.extreme(column, self.batch_rows))
        if not np.isfinite(largest):
            return wanted if wanted is not None else DEFAULT_DECIMALS  # refused with its row when it is read
        where = f"column {column} of {self.files[0].path.parent}"
        fitting = decimals_for(largest, default=DEFAULT_DECIMALS if wanted is None else wanted, where=where)
        return fitting

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> DeltaBatch:
        check_nulls(file, row, batch)
        price = batch.column("price").to_numpy()
        size = batch.column("size").to_numpy()
        check_values(file, row, "price", price, price > 0, "a finite price above 0")
        check_values(file, row, "size", size, size >= 0, "a finite size of 0 or more")
        price_pips, off_price = float_to_pips(price, self.price_decimals)
        size_pips, off_size = float_to_pips(size, self.size_decimals)
        self._count_off_grid(file, row, price, off_price, "price")
        self._count_off_grid(file, row, size, off_size, "size")
        return DeltaBatch(
            origin_time=batch.column("timestamp").to_numpy(),
            received_time=batch.column("receipt_timestamp").to_numpy(),
            sequence_number=batch.column("sequence_number").to_numpy(),
            is_bid=batch.column("side_is_bid").to_numpy(zero_copy_only=False),
            price_pips=price_pips,
            size_pips=size_pips,
        )

    def _count_off_grid(
        self, file: LakeFile, row: int, values: NDArray[np.float64], off: NDArray[np.bool_], column: str
    ) -> None:
        count = int(off.sum())
        if not count:
            return
        if column == "price":
            self.audit.off_grid_prices += count
        else:
            self.audit.off_grid_sizes += count
        if not self.audit.first_off_grid:
            at = int(off.argmax())
            self.audit.first_off_grid = (
                f"{file.path.name}: column {column}, row {row + at}: {float(values[at])!r}"
            )

    def _observe(self, batch: DeltaBatch, last_origin: int | None) -> int:
        """Add a batch of whole messages to the audit; returns the last message's origin time."""
        audit, sequence = self.audit, batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        longest = int(np.diff(np.append(starts, len(batch))).max())
        counts = np.zeros(loops.AUDIT_COUNTS, np.int64)
        slots = 1 << max(10, (2 * longest).bit_length())
        loops.audit_messages(
            batch.origin_time,
            batch.received_time,
            sequence,
            batch.is_bid,
            batch.price_pips,
            batch.size_pips,
            np.zeros(slots, np.int64),
            np.full(slots, -1, np.int64),
            counts,
        )
        audit.duplicate_rows += int(counts[loops.DUPLICATES])
        audit.repeated_levels += int(counts[loops.REPEATED_LEVELS])
        audit.deletions += int(counts[loops.DELETIONS])
        origins = batch.origin_time[starts]
        audit.origin_time_back += int((origins[1:] < origins[:-1]).sum())
        if last_origin is not None:
            audit.origin_time_back += int(origins[0] < last_origin)
        limits = {
            "first_origin_time": (int(batch.origin_time.min()), min),
            "last_origin_time": (int(batch.origin_time.max()), max),
            "first_received_time": (int(batch.received_time.min()), min),
            "last_received_time": (int(batch.received_time.max()), max),
            "smallest_price_pips": (int(batch.price_pips.min()), min),
            "largest_price_pips": (int(batch.price_pips.max()), max),
            "largest_size_pips": (int(batch.size_pips.max()), max),
        }
        for name, (value, better) in limits.items():
            setattr(audit, name, better(getattr(audit, name), value) if audit.rows else value)
        self._tick_pips = int(loops.common_divisor(batch.price_pips, self._tick_pips))
        self._lot_pips = int(loops.common_divisor(batch.size_pips, self._lot_pips))
        audit.rows += len(batch)
        audit.messages += len(starts)
        audit.longest_message = max(audit.longest_message, longest)
        return int(origins[-1])

    def _check_grid(self) -> None:
        off = self.audit.off_grid_prices + self.audit.off_grid_sizes
        if off > self.max_off_grid_rows:
            raise OffGridError(
                expected=f"at most {self.price_decimals} decimals in prices, {self.size_decimals} in sizes",
                found=f"{off} values off that grid, the first {self.audit.first_off_grid}",
                where=str(self.files[0].path.parent),
                remedy="Set price_decimals or size_decimals of the instrument, or accept them with "
                "sources.max_off_grid_rows; they are then counted and taken as the nearest pip.",
            )


def check_nulls(file: LakeFile, row: int, batch: pa.RecordBatch) -> None:
    """Refuse nulls.

    Raises:
        SourceValueError: with the first one's column and row.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise file.value_error(name, row + at, "null", "a value")


def check_values(
    file: LakeFile,
    row: int,
    column: str,
    values: NDArray[np.float64],
    in_range: NDArray[np.bool_],
    expected: str,
) -> None:
    """Refuse NaN, infinities and values out of range.

    Raises:
        SourceValueError: with the first one's row and value.
    """
    good = in_range & np.isfinite(values)
    if not good.all():
        at = int(np.argmin(good))
        raise file.value_error(column, row + at, repr(float(values[at])), expected)
