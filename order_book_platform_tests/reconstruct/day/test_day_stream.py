"""The stream of a day: it begins where the replay stands, ends parts at checkpoints, begins again where it hangs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.errors import PartitionCorruptError, StallError
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import DayStream
from order_book_platform.reconstruct.replay_checkpoints import DayCheckpoints, SavedReplay
from order_book_platform.replay import replay_steps
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
    wanted, pieces, save, saved = files(chain), DayStream._read, DayCheckpoints.save, threading.Event()

    def noted(self: DayCheckpoints, *arguments: Any) -> None:
        save(self, *arguments)
        saved.set()

    def failing(self: DayStream) -> Iterator[RowGroup]:
        for number, piece in enumerate(pieces(self)):
            if number == 6:
                assert saved.wait(60)
                with translate_read_errors("deltas.parquet"):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield piece

    monkeypatch.setattr(DayCheckpoints, "save", noted)
    monkeypatch.setattr(DayStream, "_read", failing)
    with pytest.raises(PartitionCorruptError, match="Input/output error"):
        again(chain)
    monkeypatch.setattr(DayStream, "_read", pieces)
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
        stream = DayStream(store, small, replay, parts, checkpoints, memory)
        items = [
            item
            for piece in stream._read()
            for batch in stream._decode(piece)
            for step in stream._sequence(batch)
            for item in stream._apply(step)
        ]
        saved = next(item for item in items if isinstance(item, SavedReplay))
        checkpoints.save(saved, parts.finished)
        (left,) = store.checkpoints("reconstructed_books", KEY).newest_first()
    assert not left.arrays["shown_sizes"][len(left.arrays["sizes"]) :].any()
    assert parts.tables.shown_sizes[len(left.arrays["sizes"]) :].any()


def test_a_stage_that_hangs_is_begun_again(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint; what wakes up later harms nothing."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY], reconstruct={"checkpoint_events": 1})
    chain.books(KEY)
    wanted = files(chain)
    end, wake, calls = BookWriter.end_part, threading.Event(), []

    def hanging(self: BookWriter) -> None:
        calls.append(self)
        if len(calls) == 4:
            wake.wait(60)
        end(self)

    monkeypatch.setattr(BookWriter, "end_part", hanging)
    result, found = again(chain, streaming={"stall_after": 300_000_000})
    assert found == wanted
    assert result.run.restarts == 1
    assert result.run.resumed_from >= 12_000
    wake.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("write"):
            thread.join(10)
    assert files(chain) == wanted


def test_a_stage_that_always_hangs_fails_the_run(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stage, after so many attempts; the published books stay."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    wanted = files(chain)
    wake = threading.Event()
    monkeypatch.setattr(DayStream, "_decode", lambda *_: wake.wait(60) or iter(()))
    with pytest.raises(StallError, match="stage decode"):
        again(chain, streaming={"stall_after": 100_000_000, "restarts": 1})
    wake.set()
    chain.store.check("reconstructed_books", KEY)
    monkeypatch.undo()
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    assert again(chain)[1] == wanted
