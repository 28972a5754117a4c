"""Progress of a stream of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import TypeVar

from order_book_platform.observability import Progress

T = TypeVar("T", bound=Sized)


def report_rows(batches: Iterator[T], progress: Progress, stage: str, total: int) -> Iterator[T]:
    """Yield the same batches and report how many rows have been read.

    Args:
        batches: Batches of rows.
        progress: Told of the rows read.
        stage: Name of the stage.
        total: Number of rows of the table; fewer may come.
    """
    done = 0
    progress(stage, 0, total)
    for batch in batches:
        yield batch
        done += len(batch)
        progress(stage, min(done, total), total)
    progress(stage, total, total)  # rows that were left out do not come
