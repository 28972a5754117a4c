"""A day of books thinned out: those rows that stand for it in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.datasets.schemas import level_columns
from order_book_platform.model.levels import MISSING_PIPS

COLUMNS = 640
"""Time steps that are drawn."""


@dataclass(frozen=True, slots=True)
class DepthSample:
    """Books at C equally long steps of time; each shows the last row of its step, or the one before it.

    Attributes:
        first_ns: start of the first step, ns.
        last_ns: end of the last step, ns.
        price_pips: int64[C, 2, K]; `MISSING_PIPS` where there is no level.
        size_pips: int64[C, 2, K].
        flags: uint8[C], all flags of any row of the step.
    """

    first_ns: int
    last_ns: int
    price_pips: NDArray[np.int64]
    size_pips: NDArray[np.int64]
    flags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """Which rows of a day stand for its C equally long steps of time.

    Attributes:
        first_ns: start of the first step, ns.
        last_ns: end of the last step, ns.
        rows: int64[m], numbers of the rows that are shown, ascending, each once.
        position: int64[C], which of them each step shows.
        flags: uint8[C], all flags of any row of the step.
    """

    first_ns: int
    last_ns: int
    rows: NDArray[np.int64]
    position: NDArray[np.int64]
    flags: NDArray[np.uint8]

    def sample(self, levels: pl.DataFrame) -> DepthSample:
        """The books at the steps.

        Args:
            levels: level columns of `reconstructed_books`, in pips; its rows are `rows`.
        """
        depth = sum(name.endswith("_price_pips") for name in levels.columns) // 2
        pips = levels.select(level_columns(depth)).cast(pl.Int64).fill_null(MISSING_PIPS).to_numpy()
        cube = pips.reshape(len(self.rows), 2, depth, 2)[self.position]
        return DepthSample(self.first_ns, self.last_ns, cube[..., 0], np.maximum(cube[..., 1], 0), self.flags)


def time_steps(times_ns: NDArray[np.int64], flags: NDArray[np.uint8], columns: int = COLUMNS) -> TimeSteps:
    """Choose the rows that are shown: the last of each step, or the one before it; no step without rows.

    Args:
        times_ns: int64[n], origin time of each row, ns.
        flags: uint8[n].
        columns: C, time steps.
    """
    if not len(times_ns):
        none = np.zeros(0, dtype=np.int64)
        return TimeSteps(0, 0, none, none, np.zeros(0, dtype=np.uint8))
    times = np.maximum.accumulate(times_ns)
    first, last = int(times[0]), int(times[-1])
    steps = (times - first) * columns // (last - first + 1)
    ends = np.searchsorted(steps, np.arange(columns), side="right") - 1
    shown = np.zeros(columns, dtype=np.uint8)
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    shown[steps[starts]] = np.bitwise_or.reduceat(flags, starts)
    held = np.concatenate([[False], ends[1:] == ends[:-1]])
    shown[held] = flags[ends[held]]
    rows, position = np.unique(ends, return_inverse=True)
    return TimeSteps(first, max(last, first + columns), rows, position, shown)


def sample_depth(frame: pl.DataFrame | pl.LazyFrame, columns: int = COLUMNS) -> DepthSample:
    """Thin out a day of books.

    Args:
        frame: columns of `reconstructed_books`; of a lazy frame only the chosen rows are read in full.
        columns: C, time steps.
    """
    rows = frame.lazy()
    narrow = rows.select("origin_time", "flags").collect(engine="streaming")
    steps = time_steps(narrow["origin_time"].to_numpy(), narrow["flags"].to_numpy(), columns)
    depth = sum(name.endswith("_price_pips") for name in rows.collect_schema().names()) // 2
    wanted = pl.Series("row", steps.rows, dtype=pl.UInt32).implode()
    levels = (
        rows.select(level_columns(depth))
        .with_row_index("row")
        .filter(pl.col("row").is_in(wanted))
        .collect(engine="streaming")
    )
    return steps.sample(levels.sort("row").drop("row"))
