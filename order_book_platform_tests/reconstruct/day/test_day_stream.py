"""The stream of a day: reading begins where the replay stands, and ends a part where a checkpoint can be taken."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.errors import PartitionCorruptError
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_checkpoints import DayCheckpoints
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import DaySource, PartEnd, day_stream
from order_book_platform.storage.parquet_rows import RowGroup, translate_read_errors
from order_book_platform.streaming import MemoryGuard
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.day_runs import KEY, again, chain_with, files

pytestmark = pytest.mark.usefixtures("small_parts")


def test_a_read_error_leaves_what_was_done(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle of the deltas is named; when it reads again, the run goes on from there."""
    monkeypatch.setattr("order_book_platform.sources.lake_ingest.DELTA_GROUP_ROWS", 4_000)
    chain = Chain.over(tmp_path, faulty_lake, [KEY], reconstruct={"checkpoint_events": 1})
    chain.books(KEY)
    wanted, pieces, save, saved = files(chain), DaySource.read, DayCheckpoints.save, threading.Event()

    def noted(self: DayCheckpoints, *arguments: Any) -> None:
        save(self, *arguments)
        saved.set()

    def failing(self: DaySource) -> Iterator[RowGroup]:
        for number, piece in enumerate(pieces(self)):
            if number == 6:
                assert saved.wait(60)
                with translate_read_errors("deltas.parquet"):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield piece

    monkeypatch.setattr(DayCheckpoints, "save", noted)
    monkeypatch.setattr(DaySource, "read", failing)
    with pytest.raises(PartitionCorruptError, match="Input/output error"):
        again(chain)
    monkeypatch.setattr(DaySource, "read", pieces)
    result, found = again(chain)
    assert found == wanted
    assert result.run.resumed_from > 0


def test_a_checkpoint_has_nothing_of_what_came_after_it(faulty_lake: Path, tmp_path: Path) -> None:
    """A writer that lags behind: sizes that later rows show had no codes yet, and may get others."""
    chain = chain_with(tmp_path, faulty_lake, "decimal128", {"reconstruct": {"checkpoint_events": 1}})
    chain.books(KEY)
    store, settings = chain.store, chain.settings
    small = settings.model_copy(update={"sources": settings.sources.model_copy(update={"batch_rows": 200})})
    replay = DayReplay.prepare(store, small, KEY)
    with store.write("reconstructed_books", KEY) as writer:
        checkpoints = DayCheckpoints(store, small, writer, replay.inputs)
        parts = BookWriter(writer, small.reconstruct.depth, replay.encoding)
        memory = MemoryGuard(small.streaming.memory_limit)
        stream = day_stream(store, small, replay, parts, checkpoints, memory)
        items = [
            item
            for piece in stream._source.read()
            for batch in stream._decode(piece)
            for step in stream._sequence(batch)
            for item in stream._apply(step)
        ]
        saved = next(item.saved for item in items if isinstance(item, PartEnd) and item.saved)
        checkpoints.save(saved, parts)
        (left,) = store.checkpoints("reconstructed_books", KEY).newest_first()
    assert not left.arrays["shown_sizes"][len(left.arrays["sizes"]) :].any()
    assert parts.tables.shown_sizes[len(left.arrays["sizes"]) :].any()
