"""Samples a day: the first rows of row groups spread evenly over it, decoded as the whole file would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from order_book_platform.sources.lake_source import LakeFile


@dataclass(frozen=True, slots=True)
class RowGroupSample(LakeFile):
    """The first rows of one row group, which can be read wherever a file can.

    Attributes:
        group: Number of the row group in the file.
        first_row: Row of the file that the group begins with.
        limit: Most rows of the group that are sampled.
        begins_day: Whether the day begins with its first row.
        ends_day: Whether the day ends with its last row.
        follows: Whether its first row comes right behind the last row of the sample before.
    """

    group: int
    first_row: int
    limit: int
    begins_day: bool
    ends_day: bool
    follows: bool

    @property
    def rows(self) -> int:
        """Number of sampled rows."""
        return min(self.limit, int(self.parquet.metadata.row_group(self.group).num_rows))

    def batches(self, columns: list[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Decode the sampled rows; the row numbers are those of the file.

        Raises:
            SourceCorruptError: A page cannot be decoded, or rows are missing.
        """
        row, left = self.first_row, self.rows
        try:
            for batch in self.parquet.iter_batches(
                min(batch_rows, self.rows), row_groups=[self.group], columns=columns
            ):
                yield row, batch.slice(0, left)
                row, left = row + batch.num_rows, left - batch.num_rows
                if left <= 0:
                    return
        except (OSError, pa.ArrowException) as error:
            raise self.corrupt(f"{error} after row {row}") from error
        raise self.corrupt(f"{row} rows where the footer says {self.first_row + self.rows}")


def sample_row_groups(files: Sequence[LakeFile], count: int, rows: int) -> list[RowGroupSample]:
    """Choose row groups spread evenly over the files, the first and the last group among them.

    Args:
        files: Files of one table, in order.
        count: Most row groups to choose.
        rows: Most rows of all samples together. Files of few groups give fewer and longer samples, and all their rows
            if they have no more than that.

    Returns:
        The samples in the order of the files; none if there are no rows.
    """
    groups = [
        (file, group, first)
        for file in files
        for group, first in enumerate(_first_rows(file))
        if file.parquet.metadata.row_group(group).num_rows
    ]
    if not groups:
        return []
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(count, len(groups))).round().astype(int))
    limit = max(rows // len(chosen), 1)
    if len(chosen) == len(groups) and sum(file.rows for file in files) <= rows:
        limit = rows
    samples: list[RowGroupSample] = []
    reached = -1
    for at in chosen.tolist():
        file, group, first = groups[at]
        whole = file.parquet.metadata.row_group(group).num_rows <= limit
        last = at == len(groups) - 1 and whole
        follows = bool(samples) and at == reached
        samples.append(
            RowGroupSample(file.path, file.table, file.parquet, group, first, limit, at == 0, last, follows)
        )
        reached = at + 1 if whole else -1
    return samples


def adjacent_samples(samples: Sequence[RowGroupSample]) -> list[list[RowGroupSample]]:
    """Group the samples that lie one right behind another, which are to be read as one."""
    runs: list[list[RowGroupSample]] = []
    for sample in samples:
        if sample.follows:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return runs


def _first_rows(file: LakeFile) -> list[int]:
    sizes = [file.parquet.metadata.row_group(g).num_rows for g in range(file.parquet.num_row_groups)]
    return [0, *np.cumsum(sizes)[:-1].tolist()] if sizes else []
