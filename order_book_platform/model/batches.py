"""Canonical batches: columns as numpy arrays, the shape in which rows travel between rooms."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.model import schemas

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def _column(table: pa.Table | pa.RecordBatch, name: str) -> Int64Array:
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    array: Int64Array = column.to_numpy(zero_copy_only=False)
    return array


def _optional(table: pa.Table | pa.RecordBatch, name: str) -> Int64Array | None:
    return None if table.column(name).null_count else _column(table, name)


@dataclass(frozen=True, slots=True)
class DeltaBatch:
    """Level changes in replay order; holds whole messages only.

    A message is a run of rows with one `sequence_number`. All arrays have n rows.

    Attributes:
        origin_time: int64[n], ns, exchange event time.
        received_time: int64[n], ns, local arrival.
        sequence_number: int64[n], the message's final update id.
        is_bid: bool[n].
        price_pips: int64[n].
        size_pips: int64[n], absolute; 0 removes the level.
        transaction_time: int64[n], ns, or None where the source lacks it.
        first_update_id: int64[n] or None.
        prev_final_update_id: int64[n] or None.
    """

    origin_time: Int64Array
    received_time: Int64Array
    sequence_number: Int64Array
    is_bid: BoolArray
    price_pips: Int64Array
    size_pips: Int64Array
    transaction_time: Int64Array | None = None
    first_update_id: Int64Array | None = None
    prev_final_update_id: Int64Array | None = None

    def __post_init__(self) -> None:
        n = len(self.sequence_number)
        for field in fields(self):
            array = getattr(self, field.name)
            if array is None:
                continue
            dtype = np.bool_ if field.name == "is_bid" else np.int64
            if array.dtype != dtype or array.shape != (n,):
                raise BatchError(
                    expected=f"{np.dtype(dtype)}[{n}]",
                    found=f"{array.dtype}{list(array.shape)}",
                    where=f"DeltaBatch.{field.name}",
                    remedy="Build batches with DeltaBatch.from_arrow or convert the array first.",
                )

    def __len__(self) -> int:
        return len(self.sequence_number)

    @classmethod
    def from_arrow(cls, table: pa.Table | pa.RecordBatch) -> DeltaBatch:
        """Batch of an arrow table with the `raw_deltas` columns; copies only what arrow has to."""
        return cls(
            **{
                name: _column(table, name)
                for name in ("origin_time", "received_time", "sequence_number", "is_bid", "price_pips", "size_pips")
            },
            **{
                name: _optional(table, name)
                for name in ("transaction_time", "first_update_id", "prev_final_update_id")
            },
        )

    def to_arrow(self) -> pa.Table:
        """Arrow table with schema `RAW_DELTAS`."""
        columns = [
            pa.nulls(len(self), field.type)
            if getattr(self, field.name) is None
            else pa.array(getattr(self, field.name), field.type)
            for field in schemas.RAW_DELTAS
        ]
        return pa.table(columns, schema=schemas.RAW_DELTAS)

    def slice(self, start: int, stop: int) -> DeltaBatch:
        """Rows start … stop − 1, as views."""
        return DeltaBatch(
            **{
                field.name: None if getattr(self, field.name) is None else getattr(self, field.name)[start:stop]
                for field in fields(self)
            }
        )

    @staticmethod
    def concat(batches: list[DeltaBatch]) -> DeltaBatch:
        """One batch of several, in order."""
        if len(batches) == 1:
            return batches[0]
        return DeltaBatch(
            **{
                field.name: None
                if getattr(batches[0], field.name) is None
                else np.concatenate([getattr(batch, field.name) for batch in batches])
                for field in fields(DeltaBatch)
            }
        )


@dataclass(frozen=True, slots=True)
class SnapshotBatch:
    """Depth snapshots with up to K levels a side; level 0 is best.

    Missing levels have price `MISSING_PIPS` and size 0 and stand at the end of their side. n snapshots.

    Attributes:
        origin_time: int64[n], ns.
        received_time: int64[n], ns.
        sequence_number: int64[n]: the book after that message.
        price_pips: int64[n, 2, K]; [:, 0] bids from the best down, [:, 1] asks from the best up.
        size_pips: int64[n, 2, K].
    """

    origin_time: Int64Array
    received_time: Int64Array
    sequence_number: Int64Array
    price_pips: Int64Array
    size_pips: Int64Array

    def __post_init__(self) -> None:
        n = len(self.sequence_number)
        shape = (n, 2, self.price_pips.shape[-1])
        for field in fields(self):
            array = getattr(self, field.name)
            wanted = shape if field.name.endswith("_pips") else (n,)
            if array.dtype != np.int64 or array.shape != wanted:
                raise BatchError(
                    expected=f"int64{list(wanted)}",
                    found=f"{array.dtype}{list(array.shape)}",
                    where=f"SnapshotBatch.{field.name}",
                    remedy="Convert the array first.",
                )

    def __len__(self) -> int:
        return len(self.sequence_number)

    @property
    def depth(self) -> int:
        """Levels a side that the arrays have room for."""
        return int(self.price_pips.shape[-1])

    def take(self, rows: NDArray[np.intp] | BoolArray | slice) -> SnapshotBatch:
        """The chosen snapshots."""
        return SnapshotBatch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to_arrow(self) -> pa.Table:
        """Arrow table with schema `SNAPSHOTS`; missing levels are left out of the lists."""
        columns: list[pa.Array] = [
            pa.array(self.origin_time),
            pa.array(self.received_time),
            pa.array(self.sequence_number),
        ]
        for side in (0, 1):
            present = self.price_pips[:, side, :] != schemas.MISSING_PIPS
            offsets = np.zeros(len(self) + 1, dtype=np.int32)
            np.cumsum(present.sum(axis=1), out=offsets[1:])
            kind = schemas.SNAPSHOTS.field("bid_price_pips").type
            for values in (self.price_pips, self.size_pips):
                columns.append(pa.ListArray.from_arrays(pa.array(offsets), values[:, side, :][present], type=kind))
        return pa.table(columns, schema=schemas.SNAPSHOTS)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> SnapshotBatch:
        """Inverse of `to_arrow`; K is the longest list, at least 1."""
        sides = {name: table.column(name).combine_chunks() for name in table.column_names if name.endswith("_pips")}
        lengths = {
            side: np.diff(sides[f"{side}_price_pips"].offsets.to_numpy().astype(np.int64)) for side in ("bid", "ask")
        }
        depth = max(1, *(int(counts.max(initial=0)) for counts in lengths.values()))
        prices = np.full((table.num_rows, 2, depth), schemas.MISSING_PIPS, dtype=np.int64)
        sizes = np.zeros((table.num_rows, 2, depth), dtype=np.int64)
        for index, side in enumerate(("bid", "ask")):
            present = np.arange(depth) < lengths[side][:, None]
            prices[:, index, :][present] = sides[f"{side}_price_pips"].flatten().to_numpy()
            sizes[:, index, :][present] = sides[f"{side}_size_pips"].flatten().to_numpy()
        return cls(
            _column(table, "origin_time"),
            _column(table, "received_time"),
            _column(table, "sequence_number"),
            prices,
            sizes,
        )
