"""Canonical batches: columns as numpy arrays, the shape in which rows travel between rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets import schemas
from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.encoding import DecimalEncoding, Numbers
from order_book_platform.model.levels import MISSING_PIPS


def _column(table: pa.Table | pa.RecordBatch, name: str) -> Any:
    """A column as numpy, without a copy where arrow can; its dtype is checked by the batch."""
    return _whole(table.column(name)).to_numpy(zero_copy_only=False)


def _whole(column: pa.Array | pa.ChunkedArray) -> Any:
    """A column as one array; arrow's own `combine_chunks` copies even where there is one chunk."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _optional(table: pa.Table | pa.RecordBatch, name: str) -> Int64Array | None:
    """A column that a source has or has not: absent or all null is None, a mixture is refused rather than dropped."""
    if name not in table.schema.names:
        return None
    nulls = table.column(name).null_count
    if nulls and nulls != table.num_rows:
        raise BatchError(
            expected="a column without nulls, or of nothing but nulls",
            found=f"{nulls} nulls in {table.num_rows} rows",
            where=f"DeltaBatch.{name}",
            remedy="Keep rows that carry the id and rows that do not in separate batches.",
        )
    return None if nulls or not table.num_rows else _column(table, name)


_ENCODED = {"price_pips": "encoded_price", "size_pips": "encoded_size"}
_OPTIONAL = ("transaction_time", "first_update_id", "prev_final_update_id")


@dataclass(frozen=True, slots=True)
class DeltaBatch:
    """Level changes in replay order; holds whole messages only.

    A message is a run of rows with one `sequence_number`. All arrays have n rows.

    Attributes:
        origin_time: int64[n], ns, exchange event time.
        received_time: int64[n], ns, local arrival.
        sequence_number: int64[n], the message's final update id.
        is_bid: bool[n].
        encoded_price: int64[n].
        encoded_size: int64[n], absolute; 0 removes the level.
        transaction_time: int64[n], ns, or None where the source lacks it.
        first_update_id: int64[n] or None.
        prev_final_update_id: int64[n] or None.
    """

    origin_time: Int64Array
    received_time: Int64Array
    sequence_number: Int64Array
    is_bid: BoolArray
    encoded_price: Int64Array
    encoded_size: Int64Array
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

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if array is not None)

    @classmethod
    def from_arrow(cls, table: pa.Table | pa.RecordBatch, codes: DecimalEncoding | None = None) -> DeltaBatch:
        """Batch of an arrow table with the `raw_deltas` columns; copies only what arrow has to.

        Args:
            table: of int64 pips, or of decimals; columns that a batch may lack may be absent.
            codes: of the decimals; the batch then holds codes where it says pips.

        Raises:
            BatchError: a price is no multiple of the codes' unit.
        """
        return cls(
            origin_time=_column(table, "origin_time"),
            received_time=_column(table, "received_time"),
            sequence_number=_column(table, "sequence_number"),
            is_bid=_column(table, "is_bid"),
            encoded_price=_column(table, "price_pips")
            if codes is None
            else codes.known_prices(table.column("price"), "DeltaBatch.price"),
            encoded_size=_column(table, "size_pips")
            if codes is None
            else codes.size_codes(table.column("size")),
            transaction_time=_optional(table, "transaction_time"),
            first_update_id=_optional(table, "first_update_id"),
            prev_final_update_id=_optional(table, "prev_final_update_id"),
        )

    def to_arrow(self, numbers: Numbers | None = None) -> pa.Table:
        """Arrow table with schema `RAW_DELTAS`.

        Args:
            numbers: what the batch holds where it says pips; the table then has decimals.
        """
        columns = [
            pa.nulls(len(self), field.type) if column is None else pa.array(column, field.type)
            for field in schemas.RAW_DELTAS
            for column in [getattr(self, _ENCODED.get(field.name, field.name))]
        ]
        if numbers is None:
            return pa.table(columns, schema=schemas.RAW_DELTAS)
        columns[-2:] = numbers.price_array(self.encoded_price), numbers.size_array(self.encoded_size)
        return pa.table(columns, schema=schemas.in_precision(schemas.RAW_DELTAS, "decimal128"))

    def is_like(self, other: DeltaBatch) -> bool:
        """Whether both have the same optional columns, so that they can be one batch."""
        return all((getattr(self, name) is None) == (getattr(other, name) is None) for name in _OPTIONAL)

    def slice(self, start: int, stop: int) -> DeltaBatch:
        """Rows start to stop - 1, as views."""
        cut: dict[str, Any] = {
            field.name: None if getattr(self, field.name) is None else getattr(self, field.name)[start:stop]
            for field in fields(self)
        }
        return DeltaBatch(**cut)

    def copy(self) -> DeltaBatch:
        """The same rows in arrays of their own."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, column in columns.items():
            columns[name] = None if column is None else column.copy()
        return DeltaBatch(**columns)

    @staticmethod
    def concat(batches: list[DeltaBatch]) -> DeltaBatch:
        """One batch of several, in order; empty ones say nothing about which columns there are.

        Raises:
            BatchError: there is none, or one has a column that another lacks.
        """
        if not batches:
            raise BatchError(
                expected="at least one batch",
                found="none",
                where="DeltaBatch.concat",
                remedy="Check for an empty list first.",
            )
        filled = [batch for batch in batches if len(batch)] or batches[:1]
        if len(filled) == 1:
            return filled[0]
        joined: dict[str, Any] = {}
        for field in fields(DeltaBatch):
            arrays = [getattr(batch, field.name) for batch in filled]
            absent = sum(array is None for array in arrays)
            if 0 < absent < len(arrays):
                raise BatchError(
                    expected="a column that all batches have, or none",
                    found=f"{absent} of {len(arrays)} batches without it",
                    where=f"DeltaBatch.{field.name}",
                    remedy="Join batches of one source only.",
                )
            joined[field.name] = None if absent else np.concatenate(arrays)
        return DeltaBatch(**joined)


def _same_lengths(prices: pa.ListArray, sizes: pa.ListArray, side: str) -> Int64Array:
    """Levels of each snapshot on one side, int64[n]."""
    lengths: Int64Array = np.diff(prices.offsets.to_numpy().astype(np.int64))
    other = np.diff(sizes.offsets.to_numpy().astype(np.int64))
    unequal = np.flatnonzero(lengths != other)
    if unequal.size:
        row = int(unequal[0])
        raise BatchError(
            expected=f"as many {side} sizes as prices ({lengths[row]})",
            found=f"{other[row]}",
            where=f"SnapshotBatch.{side}_size_pips, row {row}",
            remedy="Each level needs its price and its size.",
        )
    return lengths


@dataclass(frozen=True, slots=True)
class SideLists:
    """One side of n snapshots, list after list.

    Attributes:
        prices: int64[v] pips, or codes.
        sizes: int64[v].
        lengths: int64[n], levels of each snapshot.
        unreadable: bool[n], snapshots with a price that has no code.
    """

    prices: Int64Array
    sizes: Int64Array
    lengths: Int64Array
    unreadable: BoolArray

    @classmethod
    def of(
        cls, table: pa.Table | pa.RecordBatch, side: str, codes: DecimalEncoding | None = None
    ) -> SideLists:
        """Out of rows with schema `SNAPSHOTS`.

        Args:
            table: of int64 pips, or of decimals.
            side: `bid` or `ask`.
            codes: of the decimals.

        Raises:
            BatchError: a snapshot has more prices than sizes, or fewer.
        """
        ending = "_pips" if codes is None else ""
        prices, sizes = (_whole(table.column(f"{side}_{what}{ending}")) for what in ("price", "size"))
        lengths = _same_lengths(prices, sizes, side)
        unreadable = np.zeros(len(lengths), dtype=np.bool_)
        if codes is None:
            return cls(prices.flatten().to_numpy(), sizes.flatten().to_numpy(), lengths, unreadable)
        found, exact = codes.price_codes(prices.flatten())
        unreadable[np.searchsorted(np.cumsum(lengths), np.flatnonzero(~exact), side="right")] = True
        return cls(found, codes.size_codes(sizes.flatten()), lengths, unreadable)

    @property
    def longest(self) -> int:
        """Levels of the deepest snapshot; 0 where there are none."""
        return int(self.lengths.max(initial=0))


def _fill(levels: Int64Array, values: Int64Array, lengths: Int64Array, filler: int) -> None:
    """Write lists that lie one after another into the rows of int64[n, K], each from its first column on."""
    depth = levels.shape[1]
    if len(values) == levels.size:  # no list is longer than K, so all are as long
        levels[:] = values.reshape(levels.shape)
    else:
        levels[:] = filler
        levels[np.arange(depth) < lengths[:, None]] = values


def deepened(levels: Int64Array, depth: int, filler: int) -> Int64Array:
    """Levels int64[n, 2, K] with room for `depth` ≥ K of them, what is new filled with `filler`."""
    if depth == levels.shape[2]:
        return levels
    return np.concatenate([levels, np.full((*levels.shape[:2], depth - levels.shape[2]), filler)], axis=2)


@dataclass(frozen=True, slots=True)
class SnapshotBatch:
    """Depth snapshots with up to K levels a side; level 0 is best.

    Missing levels have price `MISSING_PIPS` and size 0 and stand at the end of their side. n snapshots.

    Attributes:
        origin_time: int64[n], ns.
        received_time: int64[n], ns.
        sequence_number: int64[n]: the book after that message.
        encoded_price: int64[n, 2, K]; [:, 0] bids from the best down, [:, 1] asks from the best up.
        encoded_size: int64[n, 2, K].
    """

    origin_time: Int64Array
    received_time: Int64Array
    sequence_number: Int64Array
    encoded_price: Int64Array
    encoded_size: Int64Array

    def __post_init__(self) -> None:
        n = len(self.sequence_number)
        shape = (n, 2, self.encoded_price.shape[-1])
        for field in fields(self):
            array = getattr(self, field.name)
            wanted = shape if field.name.startswith("encoded_") else (n,)
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
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if array is not None)

    @property
    def depth(self) -> int:
        """Levels a side that the arrays have room for."""
        return int(self.encoded_price.shape[-1])

    @classmethod
    def nothing(cls) -> SnapshotBatch:
        """No snapshot."""
        none, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(none, none, none, levels, levels)

    @staticmethod
    def concat(batches: Sequence[SnapshotBatch]) -> SnapshotBatch:
        """One batch of several, in order, with room for the levels of the deepest."""
        depth = max((batch.depth for batch in batches), default=1)
        joined: dict[str, Any] = {}
        for field in fields(SnapshotBatch):
            arrays = [getattr(batch, field.name) for batch in batches if len(batch)]
            if field.name.startswith("encoded_"):
                filler = MISSING_PIPS if field.name == "encoded_price" else 0
                arrays = [deepened(array, depth, filler) for array in arrays]
            joined[field.name] = np.concatenate(arrays) if arrays else getattr(batches[0], field.name)
        return SnapshotBatch(**joined)

    def take(self, rows: NDArray[np.intp] | BoolArray | slice) -> SnapshotBatch:
        """The chosen snapshots."""
        return SnapshotBatch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to_arrow(self, numbers: Numbers | None = None) -> pa.Table:
        """Arrow table with schema `SNAPSHOTS`; missing levels are left out of the lists.

        Args:
            numbers: what the batch holds where it says pips; the table then has decimals.
        """
        schema = schemas.in_precision(schemas.SNAPSHOTS, "int64" if numbers is None else "decimal128")
        columns: list[pa.Array] = [
            pa.array(self.origin_time),
            pa.array(self.received_time),
            pa.array(self.sequence_number),
        ]
        for side in (0, 1):
            present = self.encoded_price[:, side, :] != MISSING_PIPS
            offsets = np.zeros(len(self) + 1, dtype=np.int32)
            np.cumsum(present.sum(axis=1), out=offsets[1:])
            arrays = (pa.array, pa.array) if numbers is None else (numbers.price_array, numbers.size_array)
            for values, array in zip((self.encoded_price, self.encoded_size), arrays, strict=True):
                levels = array(values[:, side, :][present])
                columns.append(pa.ListArray.from_arrays(pa.array(offsets), levels, type=schema.types[-1]))
        return pa.table(columns, schema=schema)

    @classmethod
    def from_arrow(cls, table: pa.Table, codes: DecimalEncoding | None = None) -> SnapshotBatch:
        """Inverse of `to_arrow`; K is the longest list, at least 1.

        Args:
            table: of int64 pips, or of decimals.
            codes: of the decimals; the batch then holds codes where it says pips, and a snapshot with a price that has
                no code keeps no level, as one that could not be read.

        Raises:
            BatchError: a snapshot has more prices than sizes on a side, or fewer.
        """
        sides = [SideLists.of(table, side, codes) for side in ("bid", "ask")]
        depth = max(1, *(side.longest for side in sides))
        prices, sizes = np.empty((2, table.num_rows, 2, depth), dtype=np.int64)
        for index, side in enumerate(sides):
            _fill(prices[:, index], side.prices, side.lengths, MISSING_PIPS)
            _fill(sizes[:, index], side.sizes, side.lengths, 0)
        unreadable = sides[0].unreadable | sides[1].unreadable
        prices[unreadable], sizes[unreadable] = MISSING_PIPS, 0
        return cls(
            _column(table, "origin_time"),
            _column(table, "received_time"),
            _column(table, "sequence_number"),
            prices,
            sizes,
        )
