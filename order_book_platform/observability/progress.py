"""Progress as a callback: components report their progress, and the way in decides how to show it."""

from __future__ import annotations

from typing import Protocol

from order_book_platform.observability.stream_metrics import StreamMetrics


class Progress(Protocol):
    """A function that a component calls a few times a second at most."""

    def __call__(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Show the progress of a component.

        Args:
            stage: name of the part of the work.
            done: units done, mostly rows.
            total: units in all; 0 if that is not known.
            figures: metrics of the stream that does the work, if one does, as long as it runs.
        """


def silent(stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
    """Show no progress at all."""
