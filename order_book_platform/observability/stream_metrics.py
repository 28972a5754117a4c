"""What can be shown of a stream of stages while it runs; what streams tell of themselves has this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StageFigures(Protocol):
    """One stage at one moment; sums are since its start."""

    @property
    def stage(self) -> str:
        """Its name."""

    @property
    def rows(self) -> int:
        """Worked off."""

    @property
    def bytes(self) -> int:
        """Of these."""

    @property
    def queue_items(self) -> int:
        """Waiting in front of it, in memory and in the spill."""

    @property
    def queue_bytes(self) -> int:
        """Of these, in memory."""

    @property
    def spilled_bytes(self) -> int:
        """Of these, in the spill."""

    @property
    def oldest_ns(self) -> int:
        """How long the oldest of them has been waiting."""

    @property
    def busy_ns(self) -> int:
        """At work."""

    @property
    def blocked_up_ns(self) -> int:
        """Waiting for input."""

    @property
    def blocked_down_ns(self) -> int:
        """Waiting for room behind."""


class StreamExporter(Protocol):
    """A whole stream at one moment."""

    @property
    def stages(self) -> Sequence[StageFigures]:
        """The source first."""

    @property
    def pressure(self) -> str:
        """Name of the level of backpressure."""

    @property
    def memory(self) -> str:
        """Name of the level of memory pressure."""
