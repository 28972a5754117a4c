"""Progress as a callback: components report, the way in decides what to draw."""

from __future__ import annotations

from typing import Protocol

from order_book_platform.observability.stream_metrics import StreamExporter


class Progress(Protocol):
    """Called by a component a few times a second at most."""

    def __call__(self, stage: str, done: int, total: int, figures: StreamExporter | None = None) -> None:
        """Report `done` of `total` units (rows, mostly) of `stage`; total 0 means not known.

        `figures` are of the stream that does the work, where one does and as long as it runs.
        """


def silent(stage: str, done: int, total: int, figures: StreamExporter | None = None) -> None:
    """Show nothing."""
