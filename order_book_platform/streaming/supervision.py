"""Streams that stall are started again, a few times."""

from __future__ import annotations

import logging
from collections.abc import Callable

from order_book_platform.errors import StallError
from order_book_platform.streaming.pipeline import Pipeline

_LOGGER = logging.getLogger(__name__)


def run_with_restarts(make_pipeline: Callable[[int], Pipeline], restarts: int = 3) -> int:
    """Run a pipeline; if it stalls, run another one in its place. Any other error ends the run.

    A stalled step cannot be ended from outside: it may still be at work, and it may wake up later. So each pipeline has
    to write to other files than the one before.

    Args:
        make_pipeline: makes the pipeline of an attempt, numbered from 0, which goes on from the last checkpoint.
        restarts: number of attempts after the first.

    Returns:
        Number of restarts that were needed.

    Raises:
        StallError: the last attempt stalled, too; the error names the stall of each attempt.
    """
    stalls: list[StallError] = []
    for attempt in range(restarts + 1):
        try:
            make_pipeline(attempt).run()
        except StallError as stall:
            stalls.append(stall)
            _LOGGER.warning("attempt %d of %d stalled: %s", attempt + 1, restarts + 1, stall)
        else:
            return attempt
    last = stalls[-1]
    raise StallError(
        expected=f"no stall in one of {len(stalls)} attempts",
        found="; ".join(f"{number}: {each.where}, {each.found}" for number, each in enumerate(stalls, 1)),
        where=last.where,
        remedy=last.remedy,
    ) from last
