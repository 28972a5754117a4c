"""A new book as the settings want it, for days and live captures."""

from __future__ import annotations

from order_book_platform.reconstruct.memory_budget import MemoryBudget
from order_book_platform.replay.book import Book
from order_book_platform.settings import Settings


def configured_book(settings: Settings, price_step: int, cadence: str | None = None) -> Book:
    """Return an empty book.

    Args:
        settings: Depth, cadence, grid and warm-up of `reconstruct`, thresholds of `gaps`, and the memory limit.
        price_step: Divides every encoded price.
        cadence: Replaces the cadence of the settings.
    """
    wanted = settings.reconstruct
    return Book(
        price_step,
        depth=wanted.depth,
        cadence=cadence or wanted.cadence,
        grid_ns=wanted.grid,
        crossed_after_ns=settings.gaps.crossed_after,
        warm_up_ns=wanted.warm_up,
        silence_ns=settings.gaps.silence,
        row_capacity=MemoryBudget.of(settings).table_rows,
    )
