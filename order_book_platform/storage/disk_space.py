"""How much of a disk partitions take that are being written, and the error when it is not there."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from order_book_platform.errors import DiskFullError

PARTITION = "the partition"
PUBLISHED_IS_KEPT = "what was published before is untouched"
LEAST_SHARE = 0.02
"""Share of the work from which on what has been written tells more than an estimate from the input."""
SURELY_OF_INPUT = 0.25
SURELY_OF_WRITTEN = 0.5
"""Less than this share of an estimate has not been seen to do: books of recorded days took 2.2 to 6.4 bytes a delta."""


class Member(Protocol):
    """A partition that is being written."""

    @property
    def folder(self) -> Path:
        """Of its files."""

    @property
    def resumable(self) -> bool:
        """Whether the folder stays when the work fails."""

    @property
    def expected_bytes(self) -> int:
        """What it takes as a whole, estimated from its input."""

    @property
    def stored_share(self) -> float:
        """Share of the work whose result lies in the folder."""


@dataclass(slots=True)
class DiskSpace:
    """What partitions take that are written together.

    Attributes:
        written_bytes: in their folders, when `measure` was called.
        whole_bytes: of all of them when they are complete; estimated.
        by_share: whether from what is written so far, else from the input.
    """

    written_bytes: int = 0
    whole_bytes: int = 0
    by_share: bool = False
    _members: list[Member] = field(default_factory=list)
    _is_measured: bool = False

    def add(self, member: Member) -> None:
        """One more that is being written."""
        self._members.append(member)

    def measure(self) -> None:
        """Look into the folders; only the first look counts, since what failed is removed then."""
        if self._is_measured:
            return
        self._is_measured = True
        for member in self._members:
            written = folder_bytes(member.folder)
            whole = member.expected_bytes
            if member.stored_share >= LEAST_SHARE:
                whole, self.by_share = round(written / member.stored_share), True
            self.written_bytes += written
            self.whole_bytes += max(whole, written)

    @property
    def going_bytes(self) -> int:
        """What still lies there of members that go when the error has been raised."""
        return sum(folder_bytes(member.folder) for member in self._members if not member.resumable)

    @property
    def least_bytes(self) -> int:
        """What is surely still needed, whatever the estimate is worth."""
        surely = SURELY_OF_WRITTEN if self.by_share else SURELY_OF_INPUT
        return round(surely * (self.whole_bytes - self.written_bytes))


def full_disk(
    folder: Path, room: DiskSpace, *, what: str, kept: str, why: str = "", building: Path | None = None
) -> DiskFullError:
    """The error to raise.

    Args:
        folder: what is being written.
        room: what is needed, if that can be told.
        what: what is being written, for the message.
        kept: what a full disk does not touch, for the message.
        why: what the system says, if it has been asked.
        building: what is written and stays there, so that the next run goes on from it; None if it goes.
    """
    room.measure()
    free_bytes = shutil.disk_usage(nearest(folder)).free + room.going_bytes
    expected, lacking_bytes = f"room for {what} being written", 0
    if room.whole_bytes:
        needed_bytes = room.whole_bytes - (room.written_bytes if building else 0)
        lacking_bytes = needed_bytes - free_bytes
        expected += (
            f": about {in_megabytes(needed_bytes)} {'more' if building else 'in all'}, estimated from "
        )
        expected += "what is written so far" if room.by_share else "its input"
    beside = f"beside {in_megabytes(folder_bytes(building))} that are written" if building else "without it"
    to_free = f"at least {in_megabytes(lacking_bytes)}" if lacking_bytes > 0 else "space"
    return DiskFullError(
        expected=expected,
        found=f"{why}{'; ' if why else ''}{free_bytes / 1e6:,.0f} MB free {beside}",
        where=str(folder),
        remedy=f"Free {to_free} there and run again{', to go on from there' if building else ''}; {kept}.",
    )


def in_megabytes(size_bytes: int) -> str:
    """Whole megabytes, rounded up: who frees so many has enough."""
    return f"{math.ceil(size_bytes / 1e6):,} MB"


def folder_bytes(folder: Path) -> int:
    """Of all files below; 0 where there is no such folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it may go while somebody looks
            total += path.stat().st_size if path.is_file() else 0
    return total


def nearest(folder: Path) -> Path:
    """The closest folder at or above `folder` that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
