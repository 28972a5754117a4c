"""Reads files of recorded messages, `<arrival> <message>` a line, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from order_book_platform.errors import (
    SourceAccessError,
    SourceCorruptError,
    SourceMissingError,
    SourceValueError,
)

NS_PER_UNIT = {"ns": 1, "us": 1_000}
"""Units in which a file may have its arrivals."""
_GZIP = b"\x1f\x8b"


class RecordedLine(NamedTuple):
    """A recorded message.

    Attributes:
        arrival_ns: Arrival, ns since the epoch.
        message: The message as it was received.
        file: File that it stands in.
        number: Number of its line, from 1.
    """

    arrival_ns: int
    message: bytes
    file: Path
    number: int

    @property
    def where(self) -> str:
        """File and line, for errors."""
        return f"{self.file}: line {self.number}"


def read_lines(files: Iterable[Path], unit: str = "ns") -> Iterator[RecordedLine]:
    """Read the messages of files that follow each other.

    Args:
        files: Paths, in order of time.
        unit: Unit of the arrivals, `ns` or `us`.

    Raises:
        SourceError: A file is absent, damaged, or has a line of another form.
    """
    ns_per_unit = NS_PER_UNIT[unit]
    for file in files:
        for number, line in enumerate(_lines(file), 1):
            arrival, blank, message = line.rstrip(b"\r\n").partition(b" ")
            if not (blank and arrival.isdigit() and len(arrival) <= 19 and message):
                raise SourceValueError(
                    expected="`<integer> <message>`",
                    found=repr(line[:80]),
                    where=f"{file}: line {number}",
                    remedy="Correct the line, or leave it out.",
                )
            yield RecordedLine(int(arrival) * ns_per_unit, message, file, number)


def _lines(file: Path) -> Iterator[bytes]:
    """Read the lines of a file; whether it is compressed is told by its first bytes, and promised by `.gz`."""
    try:
        with file.open("rb") as raw:
            is_gzip = raw.read(2) == _GZIP
            if file.suffix == ".gz" and not is_gzip:
                raise gzip.BadGzipFile("a file that does not begin as one")
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if is_gzip else nullcontext(raw) as lines:
                yield from lines
    except FileNotFoundError as error:
        raise SourceMissingError(
            expected="a file of recorded messages",
            found="none",
            where=str(file),
            remedy="Correct the path.",
        ) from error
    except (PermissionError, IsADirectoryError) as error:
        raise SourceAccessError(
            expected="a file that this user may read",
            found=str(error),
            where=str(file),
            remedy="Give this user access.",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceCorruptError(
            expected="a whole gzip file",
            found=str(error),
            where=str(file),
            remedy="Fetch it again, unpack what can be read, or name a plain file without .gz.",
        ) from error
