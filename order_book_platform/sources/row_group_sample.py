"""Samples a day: the first rows of row groups spread evenly over it, decoded as the whole file would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from order_book_platform.sources.lake_source import LakeFile


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
        starts = accumulate(sizes, initial=0)
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
