"""How good `book` itself is, since it may seed: best prices and order of the whole day, all levels of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.snapshot_selection import defect_counts, snapshot_defects
from order_book_platform.sources.float_decoding import Reading
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.row_group_sample import RowGroupSample
from order_book_platform.sources.snapshot_reader import SnapshotReader

BEST = ["timestamp", "sequence_number", "bid_0_price", "ask_0_price"]


@dataclass(frozen=True, slots=True)
class BestPrices:
    """Times, numbers and best prices of every row of `book`.

    Attributes:
        origin_time, sequence_number: int64[n], as they lie in the files.
        bid, ask: float64[n]; NaN where a side is empty.
    """

    origin_time: Int64Array
    sequence_number: Int64Array
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]

    @property
    def crossed(self) -> NDArray[np.bool_]:
        """bool[n]: the best bid is not below the best ask."""
        return np.asarray(self.bid >= self.ask)

    @property
    def one_sided(self) -> NDArray[np.bool_]:
        """bool[n]: a side is empty."""
        return np.isnan(self.bid) | np.isnan(self.ask)

    def to_dict(self) -> dict[str, Any]:
        """Shares of rows and of time, the longest crossed spell, and rows out of order."""
        return {
            **crossed_facts(self.origin_time, self.crossed),
            "one_sided_rows": int(self.one_sided.sum()),
            "unsorted_rows": int((np.diff(self.sequence_number) < 0).sum()),
        }


def crossed_facts(origin_time: Int64Array, crossed: NDArray[np.bool_]) -> dict[str, Any]:
    """Of rows of `book`: how many are crossed, their share of rows and of time, and the longest spell.

    Args:
        origin_time: int64[n], ns; a row holds until the next one.
        crossed: bool[n].
    """
    n = len(crossed)
    if not n:
        return {
            "rows": 0,
            "crossed_rows": 0,
            "crossed_share": None,
            "crossed_time_share": None,
            "longest_crossed_s": None,
        }
    held = np.maximum(np.diff(origin_time, append=origin_time[-1]), 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], crossed, [False]]).astype(np.int8)))
    spells = [
        int(origin_time[min(end, n - 1)] - origin_time[start]) for start, end in edges.reshape(-1, 2).tolist()
    ]
    return {
        "rows": n,
        "crossed_rows": int(crossed.sum()),
        "crossed_share": float(crossed.mean()),
        "crossed_time_share": float(held[crossed].sum() / held.sum()) if held.sum() else None,
        "longest_crossed_s": max(spells, default=0) / NS_PER_SECOND,
    }


def best_prices(files: Sequence[LakeFile], batch_rows: int) -> BestPrices:
    """Read four columns of `book`, wholly: 0.1 s for a day.

    Raises:
        SourceError: a file cannot be decoded, or lacks a time or a number.
    """
    parts: list[list[NDArray[Any]]] = [[] for _ in BEST]
    for file in files:
        for row, batch in file.batches(BEST, batch_rows):
            for name, part in zip(BEST, parts, strict=True):
                column = batch.column(name)
                if column.null_count and name in BEST[:2]:
                    at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
                    raise file.value_error(name, row + at, "null", "a value")
                part.append(column.to_numpy(zero_copy_only=False))
    kinds = (np.int64, np.int64, np.float64, np.float64)
    return BestPrices(
        *(np.concatenate([np.empty(0, kind), *part]) for kind, part in zip(kinds, parts, strict=True))
    )


@dataclass(slots=True)
class SampledBook:
    """Rows of `book` with all their levels.

    Attributes:
        rows: how many were looked at.
        defects: by name, how many have it; see `SnapshotDefect`.
        off_tick_rows: readable rows with a price off the deltas' step.
        tick_pips: the largest step that divides their prices; 0 without any.
    """

    rows: int = 0
    defects: dict[str, int] = field(default_factory=dict)
    off_tick_rows: int = 0
    readable_rows: int = 0
    tick_pips: int = 0

    @property
    def sound(self) -> int:
        """How many pass the quality gate of a seed."""
        return self.rows - sum(self.defects.values())


def sample_book(
    pieces: Sequence[RowGroupSample],
    day: date,
    reading: Reading,
    delta_tick_pips: int,
    tick_pips: int,
    batch_rows: int,
) -> SampledBook:
    """Look at all levels of the pieces.

    Args:
        pieces: of `book`.
        day: of the partition.
        reading: what floats are read as, as the deltas are.
        delta_tick_pips: what divides the deltas' prices.
        tick_pips: in use; what a sound snapshot's prices are multiples of.
        batch_rows: rows decoded at a time.

    Raises:
        SourceError: a file cannot be decoded, or lacks a time or a number.
    """
    found = np.empty(0, np.uint8)
    reader = SnapshotReader(list(pieces), day, reading, max(delta_tick_pips, 1), batch_rows)
    for batch in reader.batches():
        found = np.concatenate([found, snapshot_defects(batch, max(tick_pips, 1))])
    return SampledBook(
        len(found),
        defect_counts(found),
        reader.audit.off_delta_tick_rows,
        reader.readable_rows,
        reader.tick_pips,
    )
