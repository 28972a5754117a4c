"""The replay of a live capture: a day's book, but flags come with the steps and no history is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from order_book_platform.kernels.book.replay_arrays import OUTCOME_USE
from order_book_platform.model.arrays import Int64Array
from order_book_platform.reconstruct.checkpoint_format import SavedReplay
from order_book_platform.reconstruct.configured_book import configured_book
from order_book_platform.replay.book import SNAPSHOT_USES
from order_book_platform.replay.replay_steps import ReplayStep
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import Settings


class LiveReplay:
    """Drives the book of one live capture.

    Args:
        settings: `reconstruct` and `gaps`.
        tick: Tick of the deltas, pips.
        saved: Where to go on; by default at the beginning.
        counts: The counts at that point.

    Attributes:
        book: The book.
        begin: Position at which this run begins.
        counts: Snapshots by what became of them, and gap candidates by cause, since the beginning of the log.
    """

    def __init__(
        self,
        settings: Settings,
        tick: int,
        saved: SavedReplay | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.book = configured_book(settings, tick)
        self.begin = saved.position if saved else ReplayPosition()
        self.counts = Counter(counts or {})
        self._strategy = FullEventReplay(settings.reconstruct.extend_every)
        if saved:
            self.book.resume(saved.book)

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Apply a step, return its rows, each piece valid until the next, and count what was found in it."""
        assert step.live is not None
        yield from self._strategy.apply(self.book, step)
        uses = self.book.take_outcomes()[:, OUTCOME_USE]
        found = {name: int((uses == use).sum()) for use, name in SNAPSHOT_USES.items()}
        found |= {"rejected": len(step.due.rejected), "late_snapshot": len(step.live.late_snapshots)}
        self.counts.update({name: count for name, count in found.items() if count})
        self.counts.update(gap.cause for gap in step.live.gaps)

    def last_rows(self) -> Iterator[Int64Array]:
        """Return no row: a capture that is not read any more has not ended."""
        return iter(())

    def saved(self, step: ReplayStep) -> SavedReplay:
        """Return the state of the replay after a step."""
        no_sizes, no_shown_sizes = np.empty((0, 2), np.uint64), np.zeros(1, np.bool_)
        return SavedReplay(step.position, self.book.saved(), {}, no_sizes, no_shown_sizes)
