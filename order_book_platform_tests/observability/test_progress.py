"""Progress that nobody wants to see."""

from __future__ import annotations

from order_book_platform.observability import Progress, StreamMetrics, silent


def test_silent_is_a_progress_that_does_nothing() -> None:
    """It takes what components report, with and without a stream's metrics, and shows nothing."""
    progress: Progress = silent
    progress("apply", 1, 2)
    progress("apply", 2, 2, StreamMetrics((), "none", "none", {}))
