"""A sample of a day of books: one row for each of some hundred equally long steps of time, as a picture needs it.

`time_steps` takes the times and flags of all rows of `reconstructed_books` and gives the numbers of the rows that stand
for the day; `TimeSteps.sample` arranges their books once they have been read. Nothing here draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.schema import level_columns
from order_book_platform.model.arrays import MISSING_PIPS

STEPS = 640
"""Time steps of a sample, unless the caller wants another number."""


@dataclass(frozen=True, slots=True)
class BookSample:
    """Books at C equally long steps of time, ns UTC; each is the last row of its step, or else the one before it.

    Prices and sizes are int64[C, 2, K] by step, side (bid, ask) and level; where there is no level, `MISSING_PIPS` and
    0. `flags`, uint8[C], is the union of the `BookFlag` bits of all rows of a step.
    """

    first_ns: int
    last_ns: int
    price_pips: NDArray[np.int64]
    size_pips: NDArray[np.int64]
    flags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """The rows that stand for a day at C equally long steps of time; times and flags are as in `BookSample`.

    `rows`, int64[m], are numbers of the chosen rows, each once; `position`, int64[C], is each step's index into them.
    """

    first_ns: int
    last_ns: int
    rows: NDArray[np.int64]
    position: NDArray[np.int64]
    flags: NDArray[np.uint8]

    def sample(self, levels: pl.DataFrame) -> BookSample:
        """Arrange level columns in pips, of the rows that `rows` names, by step, side and level."""
        depth = _depth_of(levels.columns)
        pips = levels.select(level_columns(depth)).cast(pl.Int64).fill_null(MISSING_PIPS).to_numpy()
        cube = pips.reshape(len(self.rows), 2, depth, 2)[self.position]
        return BookSample(self.first_ns, self.last_ns, cube[..., 0], np.maximum(cube[..., 1], 0), self.flags)


def time_steps(times_ns: NDArray[np.int64], flags: NDArray[np.uint8], steps: int = STEPS) -> TimeSteps:
    """Choose the row of each step: the last one in it, or the one before it if the step has none.

    `times_ns` int64[n] are origin times in the order of the rows, `flags` uint8[n] the flags of the rows. A row whose
    origin time is before that of an earlier row counts at that earlier row's time. Without rows there are no steps.
    """
    if not len(times_ns):
        none = np.zeros(0, dtype=np.int64)
        return TimeSteps(0, 0, none, none, np.zeros(0, dtype=np.uint8))
    times = np.maximum.accumulate(times_ns)
    first, last = int(times[0]), int(times[-1])
    step_of_row = (times - first) * steps // (last - first + 1)
    ends = np.searchsorted(step_of_row, np.arange(steps), side="right") - 1
    shown = np.zeros(steps, dtype=np.uint8)
    starts = np.flatnonzero(np.diff(step_of_row, prepend=-1))
    shown[step_of_row[starts]] = np.bitwise_or.reduceat(flags, starts)
    held = np.concatenate([[False], ends[1:] == ends[:-1]])
    shown[held] = flags[ends[held]]
    rows, position = np.unique(ends, return_inverse=True)
    return TimeSteps(first, max(last, first + steps), rows, position, shown)


def sample_books(frame: pl.DataFrame | pl.LazyFrame, steps: int = STEPS) -> BookSample:
    """Sample a day of `reconstructed_books` at C = `steps` times; only the chosen rows are read in full."""
    rows = frame.lazy()
    narrow = rows.select("origin_time", "flags").collect(engine="streaming")
    chosen = time_steps(narrow["origin_time"].to_numpy(), narrow["flags"].to_numpy(), steps)
    wanted = pl.Series("row", chosen.rows, dtype=pl.UInt32).implode()
    levels = (
        rows.select(level_columns(_depth_of(rows.collect_schema().names())))
        .with_row_index("row")
        .filter(pl.col("row").is_in(wanted))
        .collect(engine="streaming")
    )
    return chosen.sample(levels.sort("row").drop("row"))


def _depth_of(columns: list[str]) -> int:
    """Return the levels of a side, by the names of the price columns."""
    return sum(name.endswith("_price_pips") for name in columns) // 2
