"""Collections during a capture: rare, one a minute by the clock, and as before behind its end."""

from __future__ import annotations

import gc
import weakref

from order_book_platform.capture.rare_collections import COLLECT_EVERY_NS, GC_THRESHOLD, RareCollections


class Ring:
    """Refers to itself, as a connection over TLS does."""

    def __init__(self) -> None:
        self.ring = self


def test_what_refers_to_itself_goes_after_a_minute() -> None:
    """Not before, and what was there at the beginning is not looked at."""
    before = gc.get_threshold()
    collections = RareCollections(1_000)
    with collections:
        assert gc.get_threshold()[0] == GC_THRESHOLD
        assert gc.get_freeze_count() > 0
        gc.disable()
        ended = weakref.ref(Ring())
        collections.on_time(999 + COLLECT_EVERY_NS)
        assert ended() is not None
        collections.on_time(1_000 + COLLECT_EVERY_NS)
        gc.enable()
        assert ended() is None
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
