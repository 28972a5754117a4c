"""Common parts of open and sealed segments: file names, batches of rows, and errors about damage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogCorruptError, LogMissingError

_NAME = re.compile(r"(\d{20})\.(?:log|parquet)", re.ASCII)
_REMEDY = "Restore it from a copy, or set the log aside and begin another."


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Consecutive rows of a log.

    Attributes:
        first_row: number of the first one in the log.
        synced_row: number of the log's rows that are known to have been on the device when these were written. At later
            row numbers there may be other rows after the machine, not only the process, has crashed.
        batch: rows as an Arrow record batch.
    """

    first_row: int
    synced_row: int
    batch: pa.RecordBatch

    @property
    def next_row(self) -> int:
        """Number of the row behind the last one, from which a reader goes on."""
        return self.first_row + int(self.batch.num_rows)


def sealed_path(folder: Path, first_row: int) -> Path:
    """Return the path of the sealed segment that begins with `first_row`, whether it exists or not."""
    return folder / f"{first_row:020d}.parquet"


def open_path(folder: Path, first_row: int) -> Path:
    """Return the path of the open segment that begins with `first_row`, whether it exists or not."""
    return folder / f"{first_row:020d}.log"


def first_rows(folder: Path) -> list[int]:
    """List the first rows of all segments in a folder, ascending; a segment in both forms counts once.

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
    """Make the error about a damaged log."""
    return LogCorruptError(expected=expected, found=found, where=where, remedy=_REMEDY)


@contextmanager
def translate_damage(expected: str, where: str) -> Iterator[None]:
    """Turn arrow's errors about unreadable bytes into `LogCorruptError`; errors of the system pass as they are.

    Args:
        expected: description of undamaged content.
        where: file and position, for the error.

    Raises:
        LogCorruptError: the content cannot be parsed.
    """
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise corrupt(expected, str(error), where) from error
