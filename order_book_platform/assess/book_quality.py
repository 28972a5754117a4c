"""Measures how good `book` itself is, since it may seed: best prices of the whole day, all levels of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array
from order_book_platform.replay.snapshot_scheduler import defect_counts, snapshot_defects
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.row_checks import check_nulls
from order_book_platform.sources.row_group_sample import SampledRun
from order_book_platform.sources.table_reader import SnapshotReader

BEST = ["timestamp", "sequence_number", "bid_0_price", "ask_0_price"]
"""Columns of `book` that are read for every row."""


@dataclass(frozen=True, slots=True)
class BestPrices:
    """Times, numbers and best prices of every row of `book`.

    Attributes:
        origin_time: int64[n] ns, in the order of the files.
        sequence_number: int64[n].
        bid: float64[n], best bids; NaN where the side is empty.
        ask: float64[n], best asks; NaN where the side is empty.
    """

    origin_time: Int64Array
    sequence_number: Int64Array
    bid: Float64Array
    ask: Float64Array

    @property
    def crossed(self) -> BoolArray:
        """Whether the best bid of each row is not below its best ask, bool[n]."""
        return np.asarray(self.bid >= self.ask)

    @property
    def one_sided(self) -> BoolArray:
        """Whether a side of each row is empty, bool[n]."""
        return np.isnan(self.bid) | np.isnan(self.ask)

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics of crossed rows, and the numbers of one-sided rows and of rows out of order."""
        return {
            **crossed_statistics(self.origin_time, self.crossed),
            "one_sided_rows": int(self.one_sided.sum()),
            "unsorted_rows": int((np.diff(self.sequence_number) < 0).sum()),
        }


def crossed_statistics(origin_time: Int64Array, crossed: BoolArray) -> dict[str, Any]:
    """Return how many rows of `book` are crossed, their share of rows and of time, and their longest spell.

    Args:
        origin_time: int64[n] ns; a row holds until the next one.
        crossed: bool[n].
    """
    n = len(crossed)
    if not n:
        shares = dict.fromkeys(("crossed_share", "crossed_time_share", "longest_crossed_s"))
        return {"rows": 0, "crossed_rows": 0, **shares}
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
    """Read four columns of all rows of `book`, which takes 0.1 s for a day.

    Raises:
        SourceError: A file cannot be decoded, or lacks a time or a sequence number.
    """
    parts: list[list[Any]] = [[np.empty(0, kind)] for kind in (np.int64, np.int64, np.float64, np.float64)]
    for file in files:
        for row, batch in file.batches(BEST, batch_rows):
            check_nulls(file, row, batch.select(BEST[:2]))
            for name, part in zip(BEST, parts, strict=True):
                part.append(batch.column(name).to_numpy(zero_copy_only=False))
    return BestPrices(*(np.concatenate(part) for part in parts))


@dataclass(slots=True)
class SampledBook:
    """Results of looking at all levels of a sample of `book`.

    Attributes:
        rows: Rows that were looked at.
        defects: Number of rows by the name of their `SnapshotDefect`; sound rows are left out.
        off_tick_rows: Readable rows with a price that is no multiple of the deltas' step.
        readable_rows: Rows with any level.
        tick_pips: Largest step that divides their prices; 0 if there are none.
    """

    rows: int = 0
    defects: dict[str, int] = field(default_factory=dict)
    off_tick_rows: int = 0
    readable_rows: int = 0
    tick_pips: int = 0

    @property
    def sound(self) -> int:
        """Number of rows that pass the quality gate of a seed."""
        return self.rows - sum(self.defects.values())


def sample_book(
    runs: Sequence[SampledRun],
    day: date,
    decoder: FloatDecoder,
    delta_tick_pips: int,
    tick_pips: int,
    batch_rows: int,
) -> SampledBook:
    """Look at all levels of a sample of `book`.

    Args:
        runs: Samples of `book`.
        day: UTC day of the partition.
        decoder: Decoder of the floats, the same as of the deltas.
        delta_tick_pips: Largest step that divides the deltas' prices.
        tick_pips: Tick in use, of which the prices of a sound snapshot are multiples.
        batch_rows: Rows decoded at a time.

    Raises:
        SourceError: A file cannot be decoded, or lacks a time or a sequence number.
    """
    defects = np.empty(0, np.uint8)
    pieces = [piece for run in runs for piece in run.pieces]
    reader = SnapshotReader(pieces, day, decoder, batch_rows, max(delta_tick_pips, 1))
    for batch in reader.batches():
        defects = np.concatenate([defects, snapshot_defects(batch, max(tick_pips, 1))])
    return SampledBook(
        len(defects),
        defect_counts(defects),
        reader.audit.off_delta_tick_rows,
        reader.readable_rows,
        reader.tick_pips,
    )
