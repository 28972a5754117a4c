"""Pieces of a day: the first rows of row groups spread evenly over it, decoded as the whole would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from order_book_platform.sources.lake_source import LakeFile


@dataclass(frozen=True, slots=True)
class RowGroupSample(LakeFile):
    """The first rows of one row group; whoever reads a file can read a piece.

    Attributes:
        group: which row group.
        first_row: its first row in the file.
        limit: how many rows at most.
        begins, ends: whether the day begins with its first row, or ends with its last.
        follows: whether its first row comes right behind the last one of the piece before.
    """

    group: int
    first_row: int
    limit: int
    begins: bool
    ends: bool
    follows: bool

    @property
    def rows(self) -> int:
        """How many it has."""
        return min(self.limit, int(self.parquet.metadata.row_group(self.group).num_rows))

    def batches(self, columns: list[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Decode its rows; see `LakeFile`."""
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


def pieces(files: Sequence[LakeFile], count: int, rows: int) -> list[RowGroupSample]:
    """Row groups spread evenly over the files, the first and the last among them.

    Args:
        files: in order.
        count: how many pieces at most.
        rows: of all pieces together at most. A file of few groups gives fewer and longer pieces, and all rows if
            there are no more of them.
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
    found: list[RowGroupSample] = []
    reached = -1
    for at in chosen.tolist():
        file, group, first = groups[at]
        whole = file.parquet.metadata.row_group(group).num_rows <= limit
        last = at == len(groups) - 1 and whole
        follows = bool(found) and at == reached
        found.append(
            RowGroupSample(file.path, file.table, file.parquet, group, first, limit, at == 0, last, follows)
        )
        reached = at + 1 if whole else -1
    return found


def runs(found: Sequence[RowGroupSample]) -> list[list[RowGroupSample]]:
    """Pieces that lie one right behind another, together: they are to be read as one."""
    together: list[list[RowGroupSample]] = []
    for piece in found:
        if piece.follows:
            together[-1].append(piece)
        else:
            together.append([piece])
    return together


def _first_rows(file: LakeFile) -> list[int]:
    sizes = [file.parquet.metadata.row_group(g).num_rows for g in range(file.parquet.num_row_groups)]
    return [0, *np.cumsum(sizes)[:-1].tolist()] if sizes else []
