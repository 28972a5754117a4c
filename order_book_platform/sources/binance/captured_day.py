"""One instrument on one UTC day, decoded from the raw log of a capture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns
from order_book_platform.datasets.columns import as_numpy
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import SourceValueError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.binance.decoded_rows import DecodedRows, Numbering
from order_book_platform.sources.binance.depth_merge import DepthGap
from order_book_platform.sources.binance.market import Market
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform.sources.binance.raw_segments import (
    ARRIVAL,
    CONNECTION_LIFE_NS,
    NumberedRow,
    RawSegments,
    shaping_rows,
)
from order_book_platform.storage import LogReader
from order_book_platform.storage.log.segments import LogBatch

WARM_UP_NS = 60 * NS_PER_SECOND
"""Time before midnight whose messages are decoded too, so that a chain over midnight is proven, ns."""

Table = Literal["snapshots", "tickers", "trades"]


@dataclass(slots=True)
class DayFilter:
    """Chooses the rows of a day: a row belongs to the day of the greatest arrival so far.

    Attributes:
        start_ns: Beginning of the day.
        latest_ns: Greatest arrival so far.
    """

    start_ns: int
    latest_ns: int = 0

    def rows(self, received_ns: Int64Array) -> slice:
        """Return which of the next rows belong to the day, given their arrivals int64[n], ns."""
        if not len(received_ns):
            return slice(0, 0)
        greatest = np.maximum(np.maximum.accumulate(received_ns), self.latest_ns)
        self.latest_ns = int(greatest[-1])
        first, end = np.searchsorted(greatest, [self.start_ns, self.start_ns + NS_PER_DAY])
        return slice(int(first), int(end))


@dataclass(slots=True)
class CapturedDay:
    """Decodes one day; used once.

    Attributes:
        segments: Segments of the raw log.
        market: Its market.
        key: Symbol and day.
        numberings: Stretches of the day, in order.
        gaps: Holes of the depth stream before messages of the day.
        rows: Number of the first row of the raw log that was decoded, and of the row behind the last.
        is_complete: Whether the raw log goes on behind the end of the day.
    """

    segments: RawSegments
    market: Market
    key: PartitionKey
    numberings: list[Numbering] = field(default_factory=list)
    gaps: list[DepthGap] = field(default_factory=list)
    rows: tuple[int, int] = (0, 0)
    is_complete: bool = False
    _decoder: RawLogDecoder = field(init=False)
    _filters: dict[str, DayFilter] = field(default_factory=dict)
    _digests: dict[str, Any] = field(default_factory=dict)
    """SHA-256 of each column so far, and of the lengths of its texts."""

    def __post_init__(self) -> None:
        self._decoder = RawLogDecoder(self.market, [self.key.instrument.key])

    @property
    def digest(self) -> str:
        """SHA-256 of the rows that were decoded, whatever batches and segments they came in."""
        whole = "".join(f"{name} {each.hexdigest()}\n" for name, each in sorted(self._digests.items()))
        return hashlib.sha256(whole.encode()).hexdigest()

    def report(self) -> dict[str, Any]:
        """Return what was counted while decoding, minute of warm-up included, for the partition's metadata."""
        report = self._decoder.report()
        own = report.pop("instruments").get(self.key.instrument.key, {})
        first, behind = self.rows
        return {
            **report,
            "instrument": own,
            "first_row": first,
            "next_row": behind,
            "complete": self.is_complete,
            "gaps": [gap._asdict() for gap in self.gaps],
        }

    def decode(self) -> Iterator[tuple[str, Any]]:
        """Give the name of a dataset and rows of it: a `DeltaBatch`, or a table of another dataset.

        Raises:
            SourceValueError: The day has two numberings, or two scales, which no partition holds.
            SourceSchemaError: The rules of the instrument cannot be used.
            LogCorruptError: Rows of the log are damaged.
        """
        start_ns = day_start_ns(self.key.day)
        for rows, begin, end in self._parts(start_ns - WARM_UP_NS, start_ns + NS_PER_DAY + WARM_UP_NS):
            self._skim(shaping_rows(rows.batch.slice(0, begin), rows.first_row))
            if begin < end:
                first_row = rows.first_row + begin
                self.rows = (self.rows[0] if self.rows[1] else first_row), rows.first_row + end
                part = rows.batch.slice(begin, end - begin)
                self._hash(part)
                yield from self._of_day(self._decoder.feed(part, first_row))
        yield from self._of_day(self._decoder.finish())

    def _parts(self, begin_ns: int, end_ns: int) -> Iterator[tuple[LogBatch, int, int]]:
        """Give batches of the log, each with the places between which its rows are to be decoded.

        The first one is that of the first segment with such a row: what earlier ones say of rules and connections is
        told to the decoder before.
        """
        log, segments = self.segments, self.segments.segments
        place = log.first_at(begin_ns)
        if place == len(segments):
            return
        latest_ns = segments[place - 1].latest_ns if place else 0
        self._skim(log.shaping_rows(place, self.key.instrument.key, begin_ns))
        removed_rows = segments[0].first_row if place == 0 else 0
        for rows in LogReader(log.folder, log.keys).read(segments[place].first_row):
            received_ns = as_numpy(rows.batch, ARRIVAL)
            greatest = np.maximum(np.maximum.accumulate(received_ns), latest_ns)
            latest_ns = int(greatest[-1])
            begin, end = (int(each) for each in np.searchsorted(greatest, [begin_ns, end_ns]))
            if removed_rows and begin == 0:
                self._decoder.begin_behind(removed_rows)
            removed_rows = 0
            yield rows, begin, end
            self.is_complete |= latest_ns >= end_ns - WARM_UP_NS
            if end < rows.batch.num_rows:
                return

    def _skim(self, rows: list[NumberedRow]) -> None:
        """Tell the decoder rules and connections, none that is too old to be open: it may be in a segment or not."""
        oldest_ns = day_start_ns(self.key.day) - WARM_UP_NS - CONNECTION_LIFE_NS
        opening = (RowKind.CONNECT, RowKind.SUBSCRIBE)
        self._decoder.skim(
            (number, row) for number, row in rows if row["kind"] not in opening or row[ARRIVAL] >= oldest_ns
        )

    def _hash(self, part: pa.RecordBatch) -> None:
        """Add rows to the digest, column by column: where one batch ends and the next begins must not show."""
        for name, column in zip(part.schema.names, part.columns, strict=True):
            if pa.types.is_int64(column.type):
                self._add(name, column.to_numpy())
            elif not pa.types.is_boolean(column.type):
                _, offsets, values = column.buffers()
                bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
                self._add(f"{name} lengths", np.diff(bounds))
                self._add(name, values[bounds[0] : bounds[-1]] if values is not None else b"")
            else:
                self._add(name, column.to_numpy(zero_copy_only=False))

    def _add(self, name: str, content: Any) -> None:
        self._digests.setdefault(name, hashlib.sha256()).update(content)

    def _of_day(self, decoded: list[DecodedRows]) -> Iterator[tuple[str, Any]]:
        for rows in decoded:
            for batch in rows.deltas:
                if len(kept := self._kept("raw_deltas", batch.received_time, batch)):
                    self._note(rows.numbering)
                    yield "raw_deltas", kept
            for name in ("snapshots", "tickers", "trades"):
                for table in getattr(rows, name):
                    times = as_numpy(table, "received_time")
                    if (kept := self._kept(name, times, table)).num_rows:
                        self._note(rows.numbering)
                        yield name, kept
            self.gaps += [gap for gap in rows.gaps if self._is_in_day(gap)]

    def _is_in_day(self, gap: DepthGap) -> bool:
        """Return whether the message behind a gap arrived on the day."""
        start_ns = day_start_ns(self.key.day)
        return start_ns <= gap.received_ns < start_ns + NS_PER_DAY

    def _kept(self, name: str, received_ns: Int64Array, rows: Any) -> Any:
        chosen = self._filters.setdefault(name, DayFilter(day_start_ns(self.key.day))).rows(received_ns)
        if isinstance(rows, DeltaBatch):
            return rows.slice(chosen.start, chosen.stop)
        return rows.slice(chosen.start, chosen.stop - chosen.start)

    def _note(self, numbering: Numbering) -> None:
        """Note a stretch; all stretches of a day have to have the same decimals."""
        if self.numberings and self.numberings[-1] == numbering:
            return
        scales = {
            (each.point.price_decimals, each.point.size_decimals) for each in [*self.numberings, numbering]
        }
        if len(scales) > 1:
            raise SourceValueError(
                expected="rules with the same decimals all day",
                found=f"{scales} (decimals of prices and of sizes)",
                where=f"{self.key}, row {numbering.from_row} of {self.segments.folder}",
                remedy="Use the live logs of both stretches, which the capture's folder has side by side.",
            )
        self.numberings.append(numbering)
