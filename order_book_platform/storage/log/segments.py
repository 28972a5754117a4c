"""What open and sealed segments have in common: names, the rows a reader is given, and words for damage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogCorruptError, LogMissingError

_NAME = re.compile(r"(\d{20})\.(?:log|parquet)", re.ASCII)
_ASK_FOR_HELP = "Restore it from a copy, or set the log aside and begin another."


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Rows of a log that follow each other.

    Attributes:
        first_row: place of the first one in the log.
        synced_row: rows of the log that are known to have been on the device when these were written. What lies
            beyond may be other rows after the machine, not only the process, has crashed.
        batch: the rows.
    """

    first_row: int
    synced_row: int
    batch: pa.RecordBatch

    @property
    def next_row(self) -> int:
        """Place of the row behind the last one: where to go on."""
        return self.first_row + int(self.batch.num_rows)


def sealed_path(folder: Path, first_row: int) -> Path:
    """Where the sealed segment is, or would be, whose first row that is."""
    return folder / f"{first_row:020d}.parquet"


def open_path(folder: Path, first_row: int) -> Path:
    """Where the segment is, or would be, while it is being written."""
    return folder / f"{first_row:020d}.log"


def first_rows(folder: Path) -> list[int]:
    """First rows of all segments in a folder, ascending; each once, though it may lie there in both forms.

    Raises:
        LogMissingError: there is no such folder.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LogMissingError(
            expected="the folder of a log",
            found="none",
            where=str(folder),
            remedy="Correct the path, or start what writes the log.",
        ) from error
    return sorted({int(match[1]) for match in map(_NAME.fullmatch, names) if match})


def corrupt(expected: str, found: str, where: str) -> LogCorruptError:
    """The error about a damaged log."""
    return LogCorruptError(expected=expected, found=found, where=where, remedy=_ASK_FOR_HELP)


@contextmanager
def damage_named(expected: str, where: str) -> Iterator[None]:
    """Turn what arrow says of unreadable bytes into `LogCorruptError`; the system's own errors pass as they are."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise corrupt(expected, str(error), where) from error
