"""Readers of tables: streamed where files are in order, sorted stably where they are not, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.model import FixedPoint
from order_book_platform.sources.float_decoding import PipDecoder
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.table_reader import TableReader
from order_book_platform_tests.lake import KEY, delta_frame, files_of


@dataclass(slots=True)
class NumberReader(TableReader[list[int]]):
    """Reads sequence numbers."""

    columns = ("sequence_number",)
    order_column = "sequence_number"

    def numbers(self) -> tuple[int, list[list[int]]]:
        """Rows out of order, and the numbers batch by batch."""
        unsorted = self._count_unsorted()
        return unsorted, list(self._in_order(unsorted))

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> list[int]:
        found: list[int] = batch.column(0).to_pylist()
        return found

    def _sorted(self, parts: list[list[int]]) -> Iterator[list[int]]:
        yield sorted(number for part in parts for number in part)


def read(folder: Path, *frames: pl.DataFrame, batch_rows: int) -> tuple[int, list[list[int]]]:
    """What a reader says of files with these frames, in this order."""
    files = files_of(folder, *frames, rows=1_000)
    files = sorted(files, key=lambda file: file.path.name)
    return NumberReader(files, KEY.day, PipDecoder(FixedPoint()), batch_rows).numbers()


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_files_in_order_are_streamed(tmp_path: Path, batch_rows: int) -> None:
    """One batch after another, none larger than asked for."""
    frame = delta_frame(10)
    unsorted, parts = read(tmp_path, frame[:11], frame[11:], batch_rows=batch_rows)
    assert unsorted == 0
    assert all(len(part) <= batch_rows for part in parts)
    assert [number for part in parts for number in part] == frame["sequence_number"].to_list()


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_rows_out_of_order_are_counted_over_batches_and_files(tmp_path: Path, batch_rows: int) -> None:
    """Each step down counts, also from one file to the next; then all rows are sorted at once."""
    frame = delta_frame(10)
    mixed = frame[np.random.default_rng(4).permutation(len(frame)).tolist()]
    numbers = mixed["sequence_number"].to_list()
    unsorted, parts = read(tmp_path, mixed[:13], mixed[13:], batch_rows=batch_rows)
    assert unsorted == sum(a > b for a, b in pairwise(numbers)) > 0
    assert parts == [sorted(numbers)]
