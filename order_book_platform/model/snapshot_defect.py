"""Defects by which a depth snapshot is unusable, whatever the book looks like."""

from __future__ import annotations

from enum import IntEnum


class SnapshotDefect(IntEnum):
    """Reason why a snapshot fails its quality gate; the first one that applies."""

    NONE = 0
    EMPTY_SIDE = 1
    """A side has no level, or the row could not be read as levels at all."""
    UNSORTED = 2
    """Prices of a side do not get strictly worse."""
    CROSSED = 3
    """Best bid at or above best ask."""
    OFF_TICK = 4
    """A price is not a multiple of the deltas' tick."""
    BAD_SIZE = 5
    """A level's size is not above 0."""
