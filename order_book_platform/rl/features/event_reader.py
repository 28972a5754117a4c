"""The time grid of the features of one partition, and the books and trades on it: chunks, given out step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns, iso_from_ns
from order_book_platform.datasets.columns import as_numpy
from order_book_platform.datasets.frame_schemas import features_schema
from order_book_platform.errors import BatchError, SettingsError
from order_book_platform.model import BookFlag, FixedPoint, PartitionKey
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Int64Array, UInt8Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.settings import FeatureSettings
from order_book_platform.storage import ParquetRows

BLOCK_STEPS = 32_768
"""Inner steps computed at a time: some 15 MB of working arrays at the default settings."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The settings of features, with durations turned into steps of the time grid.

    The grid has inner steps that divide one second, so that volatility has its clock of 1 s; every `stride`-th inner
    step is a row of the output. The flow window and the look-backs of returns, `horizons`, are in inner steps.
    """

    step_ns: int
    stride: int
    window: int
    horizons: tuple[int, ...]
    tick_pips: int
    features: FeatureSettings

    @classmethod
    def of(
        cls, settings: FeatureSettings, *, depth: int, cadence: str, fixed_point: FixedPoint, where: str
    ) -> FeatureSpec:
        """Make the specification for the books of the partition `where`, of a depth (levels a side) and a cadence.

        Too few levels, or a cadence that loses the order flow, are a `SettingsError`.
        """
        if cadence not in ("change", "message"):
            raise SettingsError(
                expected='books of cadence "change" or "message"',
                found=f'cadence "{cadence}", which leaves out the changes that order flow is made of',
                where=f"reconstruct.cadence of {where}",
                remedy='Set reconstruct.cadence = "change" and materialize reconstructed_books again.',
            )
        wanted = max(*settings.imbalance_levels, settings.mlofi_levels)
        if wanted > depth:
            raise SettingsError(
                expected=f"features of at most {depth} levels, the depth of the books",
                found=str(wanted),
                where=f"features.imbalance_levels, features.mlofi_levels of {where}",
                remedy="Ask for fewer levels, or raise reconstruct.depth and rebuild reconstructed_books.",
            )
        step_ns = min(settings.clock, NS_PER_SECOND)
        return cls(
            step_ns=step_ns,
            stride=settings.clock // step_ns,
            window=settings.flow_window // step_ns,
            horizons=tuple(horizon // step_ns for horizon in settings.horizons),
            tick_pips=fixed_point.tick_pips,
            features=settings,
        )

    @property
    def second(self) -> int:
        """Number of inner steps in a second."""
        return NS_PER_SECOND // self.step_ns

    @property
    def history(self) -> int:
        """Number of inner steps before a block that its windows reach into."""
        return max(self.window, max(self.horizons, default=0) + self.second)

    @property
    def block(self) -> int:
        """Number of inner steps in a block; a whole number of output rows."""
        return max(1, BLOCK_STEPS // self.stride) * self.stride

    @property
    def schema(self) -> pa.Schema:
        """Schema of the output rows."""
        settings = self.features
        return features_schema(settings.imbalance_levels, settings.mlofi_levels, settings.horizons)

    def to_metadata(self) -> dict[str, object]:
        """Give the settings that shaped the columns, for the manifest."""
        settings = self.features
        return {
            "clock_ns": settings.clock,
            "flow_window_ns": settings.flow_window,
            "horizons_ns": list(settings.horizons),
            "imbalance_levels": list(settings.imbalance_levels),
            "mlofi_levels": settings.mlofi_levels,
        }


LOOKS_AHEAD = int(BookFlag.CORRUPT | BookFlag.HINDSIGHT)
"""Flags about what was only known later: whether a snapshot came in time, whether one contradicted the book."""


@dataclass(frozen=True, slots=True)
class BookChunk:
    """A chunk of n consecutive book rows; times are in ns, flags without those of `LOOKS_AHEAD`.

    The inner step that a row falls in is the first whose time is at or after the row's, which is `origin_time`, or the
    highest before it where that went back. `latency` is arrival − `origin_time`, and `known` the number of levels known
    and present on both sides, counted from the best. A row is two-sided whose best prices exist, known or not, and
    doubtful if it lacks SEEDED or has GAP. `prices` and `sizes` are by side (bids, asks) and level int64[n] in pips,
    `MISSING_PIPS` and 0 where there is no level; there may be more levels of sizes.
    """

    step: Int64Array
    time: Int64Array
    latency: Int64Array
    flags: UInt8Array
    known: UInt8Array
    two_sided: BoolArray
    doubtful: BoolArray
    repaired: BoolArray
    prices: Sequence[Sequence[Int64Array]]
    sizes: Sequence[Sequence[Int64Array]]


@dataclass(frozen=True, slots=True)
class TradeChunk:
    """A chunk of n consecutive trades: inner steps as in `BookChunk`, whether the taker bought, and sizes in pips."""

    step: Int64Array
    is_buy: BoolArray
    size: Int64Array


ChunkT = TypeVar("ChunkT", BookChunk, TradeChunk)


class ChunkCursor(Generic[ChunkT]):
    """Gives out the rows of a stream of chunks, none of them empty, up to a step and keeps the others for later.

    `last_step` is that of the last row given out, -1 before the first.
    """

    def __init__(self, chunks: Iterator[ChunkT]) -> None:
        self._chunks: Iterator[ChunkT] = chunks
        self._chunk: ChunkT | None = next(chunks, None)
        self._next_row = 0
        self.last_step = -1

    def peek(self) -> int | None:
        """Return the inner step of the next row; None if no row is left."""
        return None if self._chunk is None else int(self._chunk.step[self._next_row])

    def take(self, limit: int) -> Iterator[tuple[ChunkT, slice]]:
        """Give out the remaining rows whose step is below `limit`, each chunk with the range of its rows."""
        while self._chunk is not None:
            stop = int(np.searchsorted(self._chunk.step, limit, side="left"))
            if stop > self._next_row:
                rows = slice(self._next_row, stop)
                self._next_row = stop
                self.last_step = int(self._chunk.step[stop - 1])
                yield self._chunk, rows
            if stop < len(self._chunk.step):
                return
            self._chunk, self._next_row = next(self._chunks, None), 0


class EventReader:
    """Streams a table of `reconstructed_books` or `trades`; memory is bounded by a compressed row group and a batch.

    The day of the partition bounds plausible times. `rows` counts the rows read so far, `regressions` those of them
    whose `origin_time` lay below an earlier one.
    """

    def __init__(
        self,
        table: ParquetRows,
        spec: FeatureSpec,
        key: PartitionKey,
        batch_rows: int,
        encoding: PartitionEncoding,
    ) -> None:
        self._table, self._batch_rows, self._encoding = table, batch_rows, encoding
        self._spec, self._key = spec, key
        self._highest = np.iinfo(np.int64).min
        self.rows = 0
        self.regressions = 0

    def books(self) -> Iterator[BookChunk]:
        """Read a table of books chunk by chunk.

        Raises:
            BatchError: An `origin_time` lies more than a day away from the partition's day.
            PrecisionError: A price or size is a decimal that int64 pips do not hold.
        """
        levels = self._spec.features.mlofi_levels
        deepest = max(*self._spec.features.imbalance_levels, levels)
        price = [[f"{side}_{level}_price" for level in range(levels)] for side in ("bid", "ask")]
        size = [[f"{side}_{level}_size" for level in range(deepest)] for side in ("bid", "ask")]
        head = ["origin_time", "received_time", "flags", "known_bid_levels", "known_ask_levels"]
        for batch in self._batches(head, [*price[0], *price[1], *size[0], *size[1]]):
            origin = as_numpy(batch, "origin_time")
            flags = as_numpy(batch, "flags") & np.uint8(0xFF & ~LOOKS_AHEAD)
            time, step = self._place(origin)
            prices = [[self._encoding.read_prices(batch, name) for name in side] for side in price]
            yield BookChunk(
                step=step,
                time=time,
                latency=as_numpy(batch, "received_time") - origin,
                flags=flags,
                known=self._known(batch, size),
                two_sided=(prices[0][0] != MISSING_PIPS) & (prices[1][0] != MISSING_PIPS),
                doubtful=((flags & BookFlag.SEEDED) == 0) | ((flags & BookFlag.GAP) != 0),
                repaired=(flags & BookFlag.REPAIRED) != 0,
                prices=prices,
                sizes=[[self._encoding.read_sizes(batch, name) for name in side] for side in size],
            )

    def trades(self) -> Iterator[TradeChunk]:
        """Read a table of trades chunk by chunk; raises as `books` does."""
        for batch in self._batches(["origin_time", "is_buy"], ["size"]):
            _, step = self._place(as_numpy(batch, "origin_time"))
            yield TradeChunk(step, as_numpy(batch, "is_buy"), self._encoding.read_sizes(batch, "size"))

    def _batches(self, head: list[str], encoded: list[str]) -> Iterator[pa.RecordBatch]:
        """Read batches that are not empty, with the columns of the head and the encoded ones."""
        columns = [*head, *(name + self._encoding.ending for name in encoded)]
        for batch in self._table.batches(self._batch_rows, columns):
            if batch.num_rows:
                self.rows += batch.num_rows
                yield batch

    def _place(self, origin: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return int64[n] times in ns that never go back, and the inner steps int64[n] that they fall in."""
        start = day_start_ns(self._key.day)
        for worst in (int(origin.min()), int(origin.max())):
            if not start - NS_PER_DAY <= worst < start + 2 * NS_PER_DAY:
                raise BatchError(
                    expected=f"every origin_time within a day of {self._key.day}",
                    found=iso_from_ns(worst),
                    where=f"origin_time of {self._key}",
                    remedy="Correct the raw files; the sampling clock could not go on after such a row.",
                )
        time = np.maximum.accumulate(origin)
        np.maximum(time, self._highest, out=time)
        self.regressions += int(np.count_nonzero(origin < time))
        self._highest = int(time[-1])
        return time, -(-time // self._spec.step_ns)

    def _known(self, batch: pa.RecordBatch, levels: list[list[str]]) -> UInt8Array:
        """Return uint8[n], the known levels of the poorer side, cut at the first level that does not exist."""
        known: UInt8Array = np.minimum(
            as_numpy(batch, "known_bid_levels"), as_numpy(batch, "known_ask_levels")
        )
        for level, names in enumerate(zip(*levels, strict=True)):
            for column in (batch.column(name + self._encoding.ending) for name in names):
                if column.null_count:
                    missing = column.is_null().to_numpy(zero_copy_only=False)
                    known = np.where(missing, np.minimum(known, np.uint8(level)), known)
        return known
