"""Looks at a day's files that have not been published: at footers, a sample of row groups, and the column of times.

Parquet keeps the number of nulls and the smallest and largest value of each row group and column. Between two row
groups nothing else can lie, so a hole there is exact. Holes inside a group are not seen; a group with few rows for its
time may have some. Times are eight bytes a row, so all of them can be read, which takes 0.4 s of CPU time per 109 M
rows and finds every silence: a stretch of time in which no row of the day lies, whatever the order of rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.sources.lake_source import LakeFile, corrupt_error

TIME_COLUMNS = ("timestamp", "receipt_timestamp")
COLUMNS: dict[str, tuple[str, ...]] = {
    "book_delta_v2": (*TIME_COLUMNS, "sequence_number", "price", "size"),
    "book": (*TIME_COLUMNS, "sequence_number", "bid_0_price", "ask_0_price"),
    "trades": (*TIME_COLUMNS, "price", "amount"),
}
"""Columns of each table whose statistics are read."""


@dataclass(frozen=True, slots=True)
class ParquetStatistics:
    """Statistics of the g row groups of one table, symbol and day, in order of the files.

    `limits` have by column, [g, 2] of int64 or float64, the smallest and largest value of each group, and `nulls` the
    number of nulls by column; columns of which some group lacks them are left out.
    """

    table: str
    files: int
    size_bytes: int
    group_rows: NDArray[np.int64]
    limits: Mapping[str, NDArray[Any]]
    nulls: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Number of rows of all files."""
        return int(self.group_rows.sum())

    @property
    def clock(self) -> str | None:
        """Column of times to go by: origin times if all are known, else arrivals; None without statistics."""
        for name in TIME_COLUMNS:
            if name in self.limits and (self.limits[name][:, 0] > 0).all():
                return name
        return None

    @property
    def times(self) -> NDArray[np.int64]:
        """First and last time of each group by `clock`, int64[g, 2] ns; empty without a clock."""
        return np.empty((0, 2), np.int64) if self.clock is None else np.asarray(self.limits[self.clock])

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last time of the day, ns; None without a clock."""
        times = self.times
        return (int(times[:, 0].min()), int(times[:, 1].max())) if len(times) else None

    def holes(self, longer_than_ns: int) -> list[tuple[int, int]]:
        """Return where nothing lies between row groups for longer than so many ns: end and begin of each hole, ns."""
        times = self.times
        if len(times) < 2:
            return []
        times = times[np.argsort(times[:, 0], kind="stable")]
        reached = np.maximum.accumulate(times[:, 1])[:-1]
        at = np.flatnonzero(times[1:, 0] - reached > longer_than_ns)
        return [(int(reached[i]), int(times[i + 1, 0])) for i in at.tolist()]

    def thin_groups(self, share: float) -> list[tuple[int, int, int]]:
        """Find groups whose rate is below a share of the median one, in which some rows may be missing.

        Each has its first and last time, ns, and the ns that its rows leave over at the median rate.
        """
        times = self.times
        spans = times[:, 1] - times[:, 0]
        spread = spans > 0  # other groups hold a single time, so nothing can be missing inside
        if spread.sum() < 3:
            return []
        rate = np.full(len(spans), np.inf)
        rate[spread] = self.group_rows[spread] / spans[spread]
        usual = float(np.median(rate[spread]))
        over = spans - self.group_rows / usual
        return [
            (int(times[g, 0]), int(times[g, 1]), int(over[g]))
            for g in np.flatnonzero(rate < share * usual).tolist()
        ]

    def groups_back(self, column: str) -> int | None:
        """Count the groups that begin below the end of the one before; None where the statistics do not say."""
        limits = self.limits.get(column)
        return None if limits is None else int((limits[1:, 0] < limits[:-1, 1]).sum())

    def extremes(self, column: str) -> tuple[float, float] | None:
        """Return the smallest and largest value of a column; None where the statistics do not say."""
        limits = self.limits.get(column)
        return None if limits is None else (limits[:, 0].min().item(), limits[:, 1].max().item())


def read_statistics(table: str, files: Sequence[LakeFile]) -> ParquetStatistics:
    """Read the footers of the opened files of one table, symbol and day; without files there are no rows."""
    groups: dict[str, list[tuple[Any, Any]]] = {name: [] for name in COLUMNS[table]}
    nulls = dict.fromkeys(COLUMNS[table], 0)
    rows = []
    for file in files:
        metadata = file.parquet.metadata
        places = {name: file.leaf(name) for name in COLUMNS[table]}
        for g in range(metadata.num_row_groups):
            group = metadata.row_group(g)
            rows.append(group.num_rows)
            for name, place in places.items():
                statistics = group.column(place).statistics
                if statistics is None or not statistics.has_min_max:
                    groups.pop(name, None)
                elif name in groups:
                    groups[name].append((statistics.min, statistics.max))
                if statistics is None or not statistics.has_null_count:
                    nulls.pop(name, None)
                elif name in nulls:
                    nulls[name] += statistics.null_count
    return ParquetStatistics(
        table,
        len(files),
        sum(file.path.stat().st_size for file in files),
        np.array(rows, np.int64),
        {name: np.array(limits) for name, limits in groups.items() if len(limits) == len(rows) and rows},
        nulls if files else {},
    )


class SampledRun(NamedTuple):
    """The first rows of row groups that lie one right behind another, which are to be read as one."""

    pieces: list[LakeFile]
    begins_day: bool
    ends_day: bool


def sample_row_groups(files: Sequence[LakeFile], count: int, rows: int) -> list[SampledRun]:
    """Choose row groups spread evenly over the files of a table, the first and the last group among them.

    At most `count` groups are chosen, and `rows` of all together. Files of few groups give fewer and longer samples,
    and all their rows if they have no more than that. Without rows there is no run.
    """
    groups: list[tuple[LakeFile, int, int]] = []
    for file in files:
        sizes = [file.parquet.metadata.row_group(g).num_rows for g in range(file.parquet.num_row_groups)]
        starts = itertools.accumulate(sizes, initial=0)
        groups += [(file, first, size) for first, size in zip(starts, sizes, strict=False) if size]
    if not groups:
        return []
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(count, len(groups))).round().astype(int))
    limit = max(rows // len(chosen), 1)
    if len(chosen) == len(groups) and sum(file.rows for file in files) <= rows:
        limit = rows
    runs: list[SampledRun] = []
    reached = -1
    for at in chosen.tolist():
        file, first, size = groups[at]
        if at != reached:
            runs.append(SampledRun([], at == 0, ends_day=False))
        runs[-1].pieces.append(replace(file, first_row=first, most_rows=min(limit, size)))
        runs[-1] = runs[-1]._replace(ends_day=at == len(groups) - 1 and size <= limit)
        reached = at + 1 if size <= limit else -1
    return runs


THREADS = 2
"""Threads that read: one decodes while the other waits for the disk."""

Place = tuple[int, int, int]
"""Place of a row: numbers of its file, of its row group in the file, and of its row in the group."""


class _Stretch(NamedTuple):
    """Times in ns without a silence between them, and the places of the first and the last one."""

    begin_ns: int
    end_ns: int
    begin: Place
    end: Place


@dataclass(frozen=True, slots=True)
class Silences:
    """Pauses longer than `longer_than_ns`, from the times of all rows of a day.

    `span` has the first and last known origin time, ns; None if none is known. `candidates` are the silences in order
    of time, with the sequence numbers of the rows around each.
    """

    longer_than_ns: int
    span: tuple[int, int] | None
    candidates: list[GapCandidate]

    @property
    def silent_ns(self) -> int:
        """Time that the silences have beyond `longer_than_ns`, summed over all of them."""
        return sum(each.after_ns - each.before_ns - self.longer_than_ns for each in self.candidates)

    @property
    def coverage(self) -> float | None:
        """Share of the span that is not silent; None without a span."""
        if self.span is None or self.span[1] <= self.span[0]:
            return None
        return 1 - self.silent_ns / (self.span[1] - self.span[0])


def find_silences(
    files: Sequence[LakeFile], longer_than_ns: int, batch_rows: int, threads: int = THREADS
) -> Silences:
    """Find the silences of a day by reading the origin times of all rows of `book_delta_v2`, in some threads.

    Each thread decodes `batch_rows` of a row group at a time. Times of 0 and less stand for unknown and are left out.
    """
    groups = [(n, group) for n, file in enumerate(files) for group in range(file.parquet.num_row_groups)]

    def stretches(place: tuple[int, int]) -> list[_Stretch]:
        found: list[_Stretch] = []
        row = 0
        for column in _column(files[place[0]], place[1], "timestamp", batch_rows):
            found += _stretches(column, place, row, longer_than_ns)
            row += len(column)
        return _joined(found, longer_than_ns)

    with ThreadPoolExecutor(threads, "times") as pool:
        parts = list(pool.map(stretches, groups))
    whole = _joined([each for part in parts for each in part], longer_than_ns)
    if not whole:
        return Silences(longer_than_ns, None, [])
    candidates = _between(files, whole, batch_rows)
    return Silences(longer_than_ns, (whole[0].begin_ns, whole[-1].end_ns), candidates)


def _stretches(
    column: pa.Array, place: tuple[int, int], first_row: int, longer_than_ns: int
) -> Iterator[_Stretch]:
    """Cut the times of one batch at its silences; the batch begins at row `first_row` of a row group."""
    times = column.fill_null(0).to_numpy() if column.null_count else column.to_numpy()
    rows = None
    if len(times) and times.min() <= 0:
        rows = np.flatnonzero(times > 0)
        times = times[rows]
    if not len(times):
        return
    steps = np.diff(times)
    if len(steps) and steps.min() < 0:
        order = np.argsort(times, kind="stable")
        times, rows = times[order], order if rows is None else rows[order]
        steps = np.diff(times)
    after = np.flatnonzero(steps > longer_than_ns) + 1
    for begin, end in zip([0, *after.tolist()], [*after.tolist(), len(times)], strict=True):
        first, last = ((at if rows is None else int(rows[at])) + first_row for at in (begin, end - 1))
        yield _Stretch(int(times[begin]), int(times[end - 1]), (*place, first), (*place, last))


def _joined(stretches: list[_Stretch], longer_than_ns: int) -> list[_Stretch]:
    """Join stretches without a silence between them, in order of time."""
    found: list[_Stretch] = []
    for each in sorted(stretches):
        if not found or each.begin_ns - found[-1].end_ns > longer_than_ns:
            found.append(each)
        elif each.end_ns >= found[-1].end_ns:
            found[-1] = found[-1]._replace(end_ns=each.end_ns, end=each.end)
    return found


def _between(files: Sequence[LakeFile], stretches: list[_Stretch], batch_rows: int) -> list[GapCandidate]:
    """Return the silences between stretches; sequence numbers are read from the row groups around them alone."""
    pairs = list(itertools.pairwise(stretches))
    wanted = sorted({place for before, after in pairs for place in (before.end, after.begin)})
    numbers: dict[Place, int] = {}
    for (n, group), places in itertools.groupby(wanted, lambda place: place[:2]):
        rows, first = np.array([row for _, _, row in places]), 0
        for column in _column(files[n], group, "sequence_number", batch_rows):
            here = rows[(rows >= first) & (rows < first + len(column))]
            found = column.fill_null(0).take(here - first).to_pylist()
            numbers.update(zip([(n, group, row) for row in here.tolist()], found, strict=True))
            first += len(column)
            if first > rows[-1]:
                break
    return [
        GapCandidate(
            "silence",
            numbers[before.end],
            numbers[after.begin],
            before.end_ns,
            after.begin_ns,
            None,
            f"no message for {(after.begin_ns - before.end_ns) / NS_PER_SECOND:.3f} s",
        )
        for before, after in pairs
    ]


def _column(file: LakeFile, group: int, name: str, batch_rows: int) -> Iterator[pa.Array]:
    """Decode a column of a row group with a reader of its own, since arrow's readers may not be shared by threads."""
    try:
        with pq.ParquetFile(file.path, metadata=file.parquet.metadata) as parquet:
            for batch in parquet.iter_batches(
                batch_rows, row_groups=[group], columns=[name], use_threads=False
            ):
                yield batch.column(0)
    except (OSError, pa.ArrowException) as error:
        raise corrupt_error(file.path, f"{error} in column {name} of row group {group}") from error
