"""`snapshots`: depth snapshots of a symbol and day, which seed, extend and repair books, or serve as evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import (
    Columns,
    ReferenceRows,
    RowChoice,
    as_numpy,
    as_slice,
    required,
)
from order_book_platform.errors import BatchError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.model.pip_encoding import VERBATIM, Encoding, PartitionEncoding, whole
from order_book_platform.storage import DataStore, ParquetRows
from order_book_platform.storage.parquet_sink import Packing

_LEVELS = pa.list_(pa.field("element", pa.int64(), nullable=False))

SNAPSHOTS_SCHEMA = pa.schema(
    [
        *required(pa.int64(), "origin_time", "received_time", "sequence_number"),
        *required(_LEVELS, "bid_price_pips", "bid_size_pips", "ask_price_pips", "ask_size_pips"),
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


def _levels(
    table: pa.Table | pa.RecordBatch, encoding: PartitionEncoding, least: int
) -> tuple[Int64Array, Int64Array]:
    """Return prices and sizes of rows of `snapshots`, int64[n, 2, K]; K is the longest list, or `least`."""
    sides = [_side_lists(table, side, encoding) for side in ("bid", "ask")]
    depth = max(least, *(int(lengths.max(initial=0)) for _, _, lengths, _ in sides))
    price, size = np.empty((2, table.num_rows, 2, depth), dtype=np.int64)
    for index, (prices, sizes, lengths, _) in enumerate(sides):
        _fill(price[:, index], prices, lengths, MISSING_PIPS)
        _fill(size[:, index], sizes, lengths, 0)
    unreadable = sides[0][3] | sides[1][3]
    price[unreadable], size[unreadable] = MISSING_PIPS, 0
    return price, size


def _fill(levels: Int64Array, values: Int64Array, lengths: Int64Array, filler: int) -> None:
    """Write lists that lie one after another into the rows of int64[n, K], each from its first column on."""
    depth = levels.shape[1]
    if len(values) == levels.size:  # no list is longer than K, so all of them are as long
        levels[:] = values.reshape(levels.shape)
    else:
        levels[:] = filler
        levels[np.arange(depth) < lengths[:, None]] = values


def _side_lists(
    table: pa.Table | pa.RecordBatch, side: str, encoding: PartitionEncoding
) -> tuple[Int64Array, Int64Array, Int64Array, BoolArray]:
    """Return encoded prices and sizes of one side, list after list, their lengths, and which are unreadable."""
    prices, sizes = (whole(table.column(f"{side}_{what}{encoding.ending}")) for what in ("price", "size"))
    lengths = _same_lengths(prices, sizes, side)
    encoded, exact = encoding.encode_prices(prices.flatten())
    unreadable = np.zeros(len(lengths), dtype=np.bool_)
    unreadable[np.searchsorted(np.cumsum(lengths), np.flatnonzero(~exact), side="right")] = True
    return encoded, encoding.encode_sizes(sizes.flatten()), lengths, unreadable


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
class SnapshotBatch(Columns):
    """Depth snapshots of n rows, each the book after the message whose final update id is its sequence number.

    Event time of the exchange and local arrival are int64[n] ns. Prices and sizes are int64[n, 2, K], encoded: [:, 0]
    bids from the best down, [:, 1] asks from the best up. Missing levels have price `MISSING_PIPS` and size 0 and stand
    at the end of their side.
    """

    origin_time: Int64Array
    received_time: Int64Array
    sequence_number: Int64Array
    encoded_price: Int64Array
    encoded_size: Int64Array

    def __post_init__(self) -> None:
        n = len(self.sequence_number)
        for name in self.__dataclass_fields__:
            levels = name.startswith("encoded_")
            self._check(name, np.int64, (n, 2, self.encoded_price.shape[-1]) if levels else (n,))

    @property
    def depth(self) -> int:
        """Levels a side that the arrays have places for."""
        return int(self.encoded_price.shape[-1])

    @classmethod
    def nothing(cls) -> Self:
        """Return a batch without snapshots."""
        none, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(none, none, none, levels, levels)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join several batches, or none, in order, with places for the levels of the deepest."""
        depth = max((part.depth for part in parts), default=1)
        deep = [
            replace(
                part,
                encoded_price=deepened(part.encoded_price, depth, MISSING_PIPS),
                encoded_size=deepened(part.encoded_size, depth, 0),
            )
            for part in parts
        ]
        return super(SnapshotBatch, cls).concat(
            deep or [cls.nothing()]
        )  # the class is made anew for its slots

    def to_arrow(self, encoding: Encoding = VERBATIM) -> pa.Table:
        """Return a table with schema `SNAPSHOTS_SCHEMA` in the precision of the encoding, without missing levels."""
        schema = encoding.schema(SNAPSHOTS_SCHEMA)
        heads = (self.origin_time, self.received_time, self.sequence_number)
        columns: list[pa.Array] = [pa.array(head) for head in heads]
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
        """Make a batch of rows of `snapshots`, by default of int64 pips; K is the longest list, at least 1.

        A snapshot with a price that cannot be encoded keeps no level, like one that could not be read; one with more
        prices than sizes on a side, or fewer, is a `BatchError`.
        """
        times = as_numpy(table, "origin_time"), as_numpy(table, "received_time")
        return cls(*times, as_numpy(table, "sequence_number"), *_levels(table, encoding, 1))


def read_snapshots(
    store: DataStore, key: PartitionKey, encoding: PartitionEncoding, from_row: int = 0
) -> Iterator[SnapshotBatch]:
    """Read the published `snapshots` of a symbol and day for the replay, some thousand at a time, as the deltas are."""
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
    """Read snapshots as references, filled up to K = `levels` a side, or to the longest list of a batch.

    A snapshot with a price that the encoding of the book cannot hold keeps no level. `admit` says by sequence numbers,
    int64[n], which rows are wanted, bool[n]; of rows with more than 20 levels fewer come at a time.
    """
    prices, sizes = ([name for name in file.schema.names if what in name] for what in ("price", "size"))
    for batch in file.batches(batch_rows, columns=["sequence_number", "origin_time", *prices, *sizes]):
        longest = max(_longest(batch.column(name)) for name in prices)
        step = max(1, batch_rows * DEPTH // max(longest, DEPTH))
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            numbers = as_numpy(piece, "sequence_number")
            # Nearly always all of a piece are wanted, and a slice of them copies no level.
            rows: RowChoice = slice(None) if admit is None else as_slice(np.flatnonzero(admit(numbers)))
            price, size = _levels(piece, encoding, levels)
            yield ReferenceRows(numbers[rows], as_numpy(piece, "origin_time")[rows], price[rows], size[rows])


def longest_list(file: ParquetRows, batch_rows: int = REFERENCE_ROWS, enough: int | None = None) -> int:
    """Return the most levels on a side of any snapshot, or 0; read no further than to a list of `enough` levels."""
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
