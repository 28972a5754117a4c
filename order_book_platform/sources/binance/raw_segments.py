"""Segments of a raw log, and which of them matter to a day: by the statistics in their footers, without a message."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.storage.log.segment_columns import column_range, segment_columns
from order_book_platform.storage.log.segments import corrupt, first_rows, sealed_path
from order_book_platform.storage.master_keys import MasterKeys

ARRIVAL = "received_time"
CONNECTION_LIFE_NS = NS_PER_DAY + 3_600 * NS_PER_SECOND
"""Time before a day in which every connection of the day was opened: the exchange ends one at 24 hours."""
SHAPING = (RowKind.RULES, RowKind.CONNECT, RowKind.CLOSE, RowKind.SUBSCRIBE, RowKind.GAP)
"""Kinds of the rows that shape how later messages are decoded."""

NumberedRow = tuple[int, Mapping[str, Any]]
"""A row of the raw log with its number."""


class Segment(NamedTuple):
    """A segment with rows.

    Attributes:
        first_row: Number of its first row.
        next_row: Number of the row behind its last one.
        lowest_ns: Smallest arrival in it.
        latest_ns: Greatest arrival of the log up to its end.
    """

    first_row: int
    next_row: int
    lowest_ns: int
    latest_ns: int


@dataclass(frozen=True, slots=True)
class RawSegments:
    """The segments that a raw log had when it was looked at.

    Attributes:
        folder: Folder of the log.
        keys: Master keys of an encrypted log.
        segments: Segments with rows, in order.
    """

    folder: Path
    keys: MasterKeys | None
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, folder: Path, keys: MasterKeys | None = None) -> RawSegments:
        """Look at the segments of a log; only one that is open is read, the others have their arrivals in the footer.

        Raises:
            LogCorruptError: A segment is damaged.
            LogKeyError: The log is encrypted and its key is not at hand.
        """
        found: list[Segment] = []
        latest_ns = 0
        for first_row in first_rows(folder):
            arrivals = column_range(folder, first_row, ARRIVAL, keys)
            if arrivals is not None:
                latest_ns = max(latest_ns, arrivals.greatest)
                found.append(Segment(first_row, first_row + arrivals.rows, arrivals.lowest, latest_ns))
        return cls(folder, keys, tuple(found))

    def spans(self, start_ns: int, end_ns: int) -> bool:
        """Return whether rows may belong to a time from `start_ns` to before `end_ns`."""
        return (
            bool(self.segments)
            and self.segments[0].lowest_ns < end_ns
            and self.segments[-1].latest_ns >= start_ns
        )

    def first_at(self, begin_ns: int) -> int:
        """Return the place of the first segment with an arrival at or after a time; their number if none has."""
        return next(
            (place for place, each in enumerate(self.segments) if each.latest_ns >= begin_ns),
            len(self.segments),
        )

    def shaping_rows(self, place: int, key: str, begin_ns: int) -> list[NumberedRow]:
        """Return the rows of the segments before one of them that shape how its messages are decoded.

        Segments are read back to the last rules of the instrument and to where every connection was closed or must have
        been, and of these segments only columns that are small.

        Args:
            place: Place of the segment.
            key: Instrument, as `EXCHANGE:SYMBOL`.
            begin_ns: Arrival from which on messages are decoded.

        Raises:
            LogCorruptError: A segment is damaged, or gone from between others.
        """
        found: list[list[NumberedRow]] = []
        has_rules = are_closed = False
        for at in range(place - 1, -1, -1):
            first_row, next_row, _, _ = self.segments[at]
            if next_row != self.segments[at + 1].first_row:
                where = str(sealed_path(self.folder, next_row))
                raise corrupt(
                    f"a segment from row {next_row} on", f"row {self.segments[at + 1].first_row}", where
                )
            rows = list(rows_of_kinds(self.folder, first_row, SHAPING, self.keys))
            found.append(rows)
            for _, row in rows:
                detail = json.loads(row["detail"] or "{}")
                has_rules |= row["kind"] == RowKind.RULES and detail.get("instrument") == key
                are_closed |= row["kind"] == RowKind.GAP and detail.get("why") == "killed"
            are_closed |= at > 0 and self.segments[at - 1].latest_ns < begin_ns - CONNECTION_LIFE_NS
            if has_rules and are_closed:
                break
        return [row for rows in reversed(found) for row in rows]


def rows_of_kinds(
    folder: Path, first_row: int, kinds: Collection[RowKind], keys: MasterKeys | None = None
) -> Iterator[NumberedRow]:
    """Give the rows of some kinds of a segment in order; only those of kind `rules` have their payload.

    Raises:
        LogCorruptError: The segment is damaged.
        LogKeyError: The log is encrypted and its key is not at hand.
    """

    def may_have(statistics: Mapping[str, tuple[Any, Any]], wanted: Collection[RowKind]) -> bool:
        lowest, greatest = statistics.get("kind", ("", "\U0010ffff"))
        return any(lowest <= kind.value <= greatest for kind in wanted)

    names = [ARRIVAL, "connection", "kind", "detail"]
    found = [
        row
        for start, batch in segment_columns(
            folder, first_row, names, keys, lambda each: may_have(each, kinds)
        )
        for row in _chosen(batch, start, kinds)
    ]
    rules = {number for number, row in found if row["kind"] == RowKind.RULES}
    payloads: dict[int, bytes] = {}
    if rules:
        for start, batch in segment_columns(
            folder, first_row, ["payload"], keys, lambda each: may_have(each, [RowKind.RULES])
        ):
            own = [number for number in rules if start <= number < start + batch.num_rows]
            payloads |= {number: batch.column(0)[number - start].as_py() for number in own}
    for number, row in found:
        yield number, {**row, "payload": payloads.get(number, b"")}


def shaping_rows(batch: pa.RecordBatch, first_row: int) -> list[NumberedRow]:
    """Return the rows of a batch that shape how later messages are decoded, with their numbers."""
    return _chosen(batch, first_row, SHAPING)


def _chosen(batch: pa.RecordBatch, first_row: int, kinds: Collection[RowKind]) -> list[NumberedRow]:
    wanted = pc.is_in(batch.column("kind"), pa.array([kind.value for kind in kinds]))
    places = np.flatnonzero(wanted.to_numpy(zero_copy_only=False))
    numbers = (places + first_row).tolist()
    return list(zip(numbers, batch.take(pa.array(places)).to_pylist(), strict=True))
