"""The book of a live tail: the same one as of a day, whose doubts come with the steps and whose past is not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from order_book_platform.kernels.book.replay_arrays import OUTCOME_USE
from order_book_platform.model.arrays import Int64Array
from order_book_platform.reconstruct.day.day_replay import SavedReplay, empty_book
from order_book_platform.replay.book import USES
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.replay.strategy import FullEventReplay, ReplayStep
from order_book_platform.settings import Settings


class LiveReplay:
    """Drives the book of one live tail; see `stream.Replay`.

    Args:
        settings: `reconstruct` and `gaps`.
        tick_pips: of the deltas.
        saved: where to go on.
        tally: what had been counted there.

    Attributes:
        book: the book.
        place: where it began.
        tally: snapshots by what became of them, breaks by cause, since the beginning of the log.
    """

    def __init__(
        self,
        settings: Settings,
        tick_pips: int,
        saved: SavedReplay | None = None,
        tally: Mapping[str, int] | None = None,
    ) -> None:
        self.book = empty_book(settings, tick_pips, settings.reconstruct.cadence, FlagTimeline.none())
        self.place = saved.place if saved else ReplayPosition()
        self.tally = Counter(tally or {})
        self._strategy = FullEventReplay(settings.reconstruct.extend_every)
        if saved:
            self.book.resumed(saved.book)

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """See `stream.Replay`."""
        assert step.tail is not None
        yield from self._strategy.apply(self.book, step)
        uses = self.book.take_outcome()[:, OUTCOME_USE]
        found = {name: int((uses == use).sum()) for use, name in USES.items()}
        found |= {"rejected": len(step.due.rejected), "late_snapshot": len(step.tail.late)}
        self.tally.update({name: count for name, count in found.items() if count})
        self.tally.update(item.cause for item in step.tail.breaks)

    def last_rows(self) -> Iterator[Int64Array]:
        """See `stream.Replay`. A tail that is not read any more has not ended: no row is due."""
        return iter(())

    def saved(self, step: ReplayStep) -> SavedReplay:
        """Where the replay stands after a step."""
        nothing = np.empty((0, 2), np.uint64), np.zeros(1, np.bool_)
        return SavedReplay(step.place, self.book.saved(), {}, *nothing)
