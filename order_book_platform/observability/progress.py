"""Progress as a callback: components report, the way in decides what to draw."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by a component a few times a second at most."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report `done` of `total` units (rows, mostly) of `stage`; total 0 means not known."""


def silent(stage: str, done: int, total: int) -> None:
    """Show nothing."""
