"""Streams of stages, each in a thread of its own, joined by bounded queues, held back, watched and measured.

In: a source, stages and limits. Out: whatever the last stage does with the items, in the source's order, and metrics.
Nothing here knows what an item is. Bounds, pressure, spilling and restarts change when something happens, never the
result.
"""

from order_book_platform.streaming.pipeline import Pipeline, run_with_restarts
from order_book_platform.streaming.pressure import Backpressure, MemoryGuard, MemoryLevel, PressureLevel
from order_book_platform.streaming.queues import Bound, Spill, SpillPolicy
from order_book_platform.streaming.stages import Stage, Waiting
from order_book_platform.streaming.workers import read_ahead

__all__ = [
    "Backpressure",
    "Bound",
    "MemoryGuard",
    "MemoryLevel",
    "Pipeline",
    "PressureLevel",
    "Spill",
    "SpillPolicy",
    "Stage",
    "Waiting",
    "read_ahead",
    "run_with_restarts",
]
