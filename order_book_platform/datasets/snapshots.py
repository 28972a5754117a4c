"""`snapshots`: depth snapshots of a symbol and day, which seed, extend and repair books, or serve as evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.columns import ReferenceRows, as_numpy, required
from order_book_platform.errors import BatchError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.model.encoding import VERBATIM, Encoding, PartitionEncoding, whole
from order_book_platform.storage import DataStore, ParquetRows
from order_book_platform.storage.parquet_sink import Packing

_LEVELS = pa.list_(pa.field("element", pa.int64(), nullable=False))

SNAPSHOTS_SCHEMA = pa.schema(
    [
        required("origin_time", pa.int64()),
        required("received_time", pa.int64()),
        required("sequence_number", pa.int64()),
        required("bid_price_pips", _LEVELS),
        required("bid_size_pips", _LEVELS),
        required("ask_price_pips", _LEVELS),
        required("ask_size_pips", _LEVELS),
    ]
)

SNAPSHOT_GROUP_ROWS = 16_384
"""Rows of a row group."""

SNAPSHOT_ROWS = 4_096
"""Snapshots that are read at a time for the replay: 2.6 MB of 20 levels a side."""

REFERENCE_ROWS = 8_192
"""Snapshots of 20 levels a side that are read at a time as references: 5 MB. Twice as many take 40 MB more in all and
no less time."""


def snapshot_packing(schema: pa.Schema) -> dict[str, Packing]:
    """Return how columns are encoded: levels recur from snapshot to snapshot, 1.1 bytes a number instead of 2.0."""
    return {name: "dictionary" for name in schema.names if name.startswith(("bid_", "ask_"))}


@dataclass(frozen=True, slots=True)
class SideLists:
    """One side of n snapshots, list after list.

    Attributes:
        prices: int64[v], encoded.
        sizes: int64[v], encoded.
        lengths: int64[n], levels of each snapshot.
        unreadable: bool[n], snapshots with a price that cannot be encoded.
    """

    prices: Int64Array
    sizes: Int64Array
    lengths: Int64Array
    unreadable: BoolArray

    @classmethod
    def of(cls, table: pa.Table | pa.RecordBatch, side: str, encoding: PartitionEncoding) -> SideLists:
        """Read one side of rows of `snapshots`.

        Args:
            table: Rows in the precision of the encoding.
            side: `bid` or `ask`.
            encoding: Encoding of the partition.

        Raises:
            BatchError: A snapshot has more prices than sizes, or fewer.
        """
        prices, sizes = (whole(table.column(f"{side}_{what}{encoding.ending}")) for what in ("price", "size"))
        lengths = _same_lengths(prices, sizes, side)
        encoded, exact = encoding.encode_prices(prices.flatten())
        unreadable = np.zeros(len(lengths), dtype=np.bool_)
        if not exact.all():
            rows = np.searchsorted(np.cumsum(lengths), np.flatnonzero(~exact), side="right")
            unreadable[rows] = True
        return cls(encoded, encoding.encode_sizes(sizes.flatten()), lengths, unreadable)

    @property
    def longest(self) -> int:
        """Levels of the deepest snapshot; 0 where there are none."""
        return int(self.lengths.max(initial=0))


def _same_lengths(prices: pa.ListArray, sizes: pa.ListArray, side: str) -> Int64Array:
    """Return the levels of each snapshot on one side, int64[n]."""
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


def deepened(levels: Int64Array, depth: int, filler: int) -> Int64Array:
    """Return levels int64[n, 2, K] with places for `depth` ≥ K of them; new places hold `filler`."""
    if depth == levels.shape[2]:
        return levels
    return np.concatenate([levels, np.full((*levels.shape[:2], depth - levels.shape[2]), filler)], axis=2)


@dataclass(frozen=True, slots=True)
class SnapshotBatch:
    """Depth snapshots with up to K levels a side; level 0 is best. n snapshots.

    Missing levels have price `MISSING_PIPS` and size 0 and stand at the end of their side.

    Attributes:
        origin_time: int64[n], ns, event time of the exchange.
        received_time: int64[n], ns, local arrival.
        sequence_number: int64[n], final update id of the message after which the snapshot shows the book.
        encoded_price: int64[n, 2, K], encoded; [:, 0] bids from the best down, [:, 1] asks from the best up.
        encoded_size: int64[n, 2, K], encoded.
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
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    @property
    def depth(self) -> int:
        """Levels a side that the arrays have places for."""
        return int(self.encoded_price.shape[-1])

    @classmethod
    def nothing(cls) -> SnapshotBatch:
        """Return a batch without snapshots."""
        none, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(none, none, none, levels, levels)

    @staticmethod
    def concat(batches: Sequence[SnapshotBatch]) -> SnapshotBatch:
        """Join several batches, or none, in order, with places for the levels of the deepest."""
        depth = max((batch.depth for batch in batches), default=1)
        joined: dict[str, Any] = {}
        for field in fields(SnapshotBatch):
            filled = [batch for batch in batches if len(batch)] or [SnapshotBatch.nothing()]
            arrays = [getattr(batch, field.name) for batch in filled]
            if field.name.startswith("encoded_"):
                filler = MISSING_PIPS if field.name == "encoded_price" else 0
                arrays = [deepened(array, depth, filler) for array in arrays]
            joined[field.name] = np.concatenate(arrays)
        return SnapshotBatch(**joined)

    def take(self, rows: NDArray[np.intp] | BoolArray | slice) -> SnapshotBatch:
        """Return the chosen snapshots."""
        return SnapshotBatch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to_arrow(self, encoding: Encoding = VERBATIM) -> pa.Table:
        """Return a table with schema `SNAPSHOTS_SCHEMA` in the precision of the encoding, without missing levels."""
        schema = encoding.schema(SNAPSHOTS_SCHEMA)
        columns: list[pa.Array] = [
            pa.array(self.origin_time),
            pa.array(self.received_time),
            pa.array(self.sequence_number),
        ]
        for side in (0, 1):
            present = self.encoded_price[:, side, :] != MISSING_PIPS
            offsets = np.zeros(len(self) + 1, dtype=np.int32)
            np.cumsum(present.sum(axis=1), out=offsets[1:])
            for numbers, decode in (
                (self.encoded_price, encoding.price_array),
                (self.encoded_size, encoding.size_array),
            ):
                levels = decode(numbers[:, side, :][present])
                columns.append(pa.ListArray.from_arrays(pa.array(offsets), levels, type=schema.types[-1]))
        return pa.table(columns, schema=schema)

    @classmethod
    def from_arrow(
        cls, table: pa.Table | pa.RecordBatch, encoding: PartitionEncoding = VERBATIM
    ) -> SnapshotBatch:
        """Make a batch of rows of `snapshots`; K is the longest list, at least 1.

        Args:
            table: Rows in the precision of the encoding.
            encoding: Encoding of the partition; by default int64 pips. A snapshot with a price that cannot be encoded
                keeps no level, like one that could not be read.

        Raises:
            BatchError: A snapshot has more prices than sizes on a side, or fewer.
        """
        return cls(
            as_numpy(table, "origin_time"),
            as_numpy(table, "received_time"),
            as_numpy(table, "sequence_number"),
            *_levels(table, encoding, 1),
        )


def _levels(
    table: pa.Table | pa.RecordBatch, encoding: PartitionEncoding, least: int
) -> tuple[Int64Array, Int64Array]:
    """Return prices and sizes of rows of `snapshots`, int64[n, 2, K]; K is the longest list, or `least`."""
    sides = [SideLists.of(table, side, encoding) for side in ("bid", "ask")]
    depth = max(least, *(side.longest for side in sides))
    prices, sizes = np.empty((2, table.num_rows, 2, depth), dtype=np.int64)
    for index, side in enumerate(sides):
        _fill(prices[:, index], side.prices, side.lengths, MISSING_PIPS)
        _fill(sizes[:, index], side.sizes, side.lengths, 0)
    unreadable = sides[0].unreadable | sides[1].unreadable
    prices[unreadable], sizes[unreadable] = MISSING_PIPS, 0
    return prices, sizes


def _fill(levels: Int64Array, values: Int64Array, lengths: Int64Array, filler: int) -> None:
    """Write lists that lie one after another into the rows of int64[n, K], each from its first column on."""
    depth = levels.shape[1]
    if len(values) == levels.size:  # no list is longer than K, so all of them are as long
        levels[:] = values.reshape(levels.shape)
    else:
        levels[:] = filler
        levels[np.arange(depth) < lengths[:, None]] = values


def read_snapshots(
    store: DataStore, key: PartitionKey, encoding: PartitionEncoding, from_row: int = 0
) -> Iterator[SnapshotBatch]:
    """Read the published `snapshots` of a symbol and day for the replay, some thousand at a time.

    Args:
        store: Has the partition.
        key: Symbol and day.
        encoding: Encoding of the day's deltas.
        from_row: Row to begin at.

    Raises:
        PartitionMissingError: The partition has not been published.
        PartitionCorruptError: A file cannot be read.
    """
    # The partition is opened here, not when the first batch is asked for: what is read is what was published now.
    records = store.rows("snapshots", key).batches(SNAPSHOT_ROWS, from_row=from_row)
    return (SnapshotBatch.from_arrow(record, encoding) for record in records)


def read_reference_snapshots(
    file: ParquetRows,
    levels: int,
    encoding: PartitionEncoding,
    batch_rows: int = REFERENCE_ROWS,
    admit: Callable[[Int64Array], BoolArray] | None = None,
) -> Iterator[ReferenceRows]:
    """Read snapshots as references, filled up to K levels a side, or to the longest list of a batch.

    Args:
        file: Rows of `snapshots`.
        levels: K.
        encoding: Encoding of the book they are compared with; a snapshot with a price that it cannot hold keeps no
            level.
        batch_rows: Rows at a time if they have up to 20 levels, fewer if more; never changes a result.
        admit: Given sequence numbers int64[n], returns bool[n]: which rows are wanted; by default all.
    """
    prices, sizes = ([name for name in file.schema.names if what in name] for what in ("price", "size"))
    for batch in file.batches(batch_rows, columns=["sequence_number", "origin_time", *prices, *sizes]):
        longest = max(_longest(batch.column(name)) for name in prices)
        step = max(1, batch_rows * DEPTH // max(longest, DEPTH))
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            numbers = as_numpy(piece, "sequence_number")
            rows = np.arange(len(numbers)) if admit is None else np.flatnonzero(admit(numbers))
            price, size = _levels(piece, encoding, levels)
            yield ReferenceRows(numbers[rows], as_numpy(piece, "origin_time")[rows], price[rows], size[rows])


def longest_list(file: ParquetRows, batch_rows: int = REFERENCE_ROWS, enough: int | None = None) -> int:
    """Return the largest number of levels on a side of any snapshot; 0 where there are none.

    Args:
        file: Rows of `snapshots`.
        batch_rows: Rows at a time; never changes a result.
        enough: Read no further than to a list of so many levels.
    """
    longest = 0
    for side in ("bid", "ask"):
        name = next(name for name in file.schema.names if name.startswith(f"{side}_price"))
        for batch in file.batches(batch_rows, columns=[name]):
            longest = max(longest, _longest(batch.column(0)))
            if enough is not None and longest >= enough:
                return longest
    return longest


def _longest(lists: pa.ListArray) -> int:
    return int(np.diff(lists.offsets.to_numpy()).max(initial=0))
