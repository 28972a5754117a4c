"""The five stages at work: what slows them, stops them or starts them again changes no byte of the result."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.errors import PartitionCorruptError, StallError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import StreamMetrics, silent
from order_book_platform.reconstruct import Reconstruction, Reconstructor, memory_budget
from order_book_platform.reconstruct import spill as spill_module
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import DaySource, PartEnd, day_stream
from order_book_platform.reconstruct.day.resumption import Resumption
from order_book_platform.reconstruct.spill import LogSpill, spill_in
from order_book_platform.replay import strategy
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage.parquet_rows import RowGroup, translate_read_errors
from order_book_platform.streaming import MemoryGuard
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
FAULTS = "drop=16,crossed=2x3s,bad_snapshots=4,silence=1x7s"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day with faults in it."""
    folder = tmp_path_factory.mktemp("lake")
    MarketSimulator(profile("btc-perp"), 5).write(folder, KEY, 700, Faults.parse(FAULTS))
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts in a short day."""
    monkeypatch.setattr(strategy, "PART_DELTAS", 4_000)
    monkeypatch.setattr(strategy, "PART_SNAPSHOTS", 50)


def files(chain: Chain) -> dict[str, str]:
    """Every published file of the books, and its hash; nothing stands beside the partition."""
    folder = chain.store.folder("reconstructed_books", KEY)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def deltas(chain: Chain) -> DeltaBatch:
    """All of the day."""
    return DeltaBatch.concat(list(PublishedDeltas(chain.store, KEY).batches(100_000, silent, "read")))


def again(chain: Chain, **sections: dict[str, Any]) -> tuple[Reconstruction, dict[str, str]]:
    """The books of the same inputs with other settings."""
    changed = {
        name: getattr(chain.settings, name).model_copy(update=values) for name, values in sections.items()
    }
    result = Reconstructor(chain.store, chain.settings.model_copy(update=changed)).run(KEY)
    return result, files(chain)


@pytest.mark.parametrize("rows", [1, 70, 333, 5_000])
def test_batches_change_nothing(lake: Path, tmp_path: Path, rows: int) -> None:
    """Down to one delta at a time."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    wanted = files(chain)
    assert len(wanted) > 8
    if rows == 1:
        head = deltas(chain).slice(0, 3_000).to_arrow()
        metadata = chain.store.manifest("raw_deltas", KEY).metadata
        with chain.store.write("raw_deltas", KEY) as writer:
            writer.parquet("deltas.parquet", head.schema).write(head)
            writer.metadata.update(metadata)
        wanted = again(chain)[1]
    assert again(chain, sources={"batch_rows": rows})[1] == wanted


def test_memory_that_is_short_changes_nothing(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is too large, and a slow writer: smaller batches, dropped caches, batches in the spill."""
    chain = Chain.over(tmp_path, lake, [KEY], sources={"batch_rows": 200})
    chain.books(KEY)
    wanted = files(chain)
    write, begun = BookWriter.write, time.monotonic()

    def slow(self: BookWriter, table: pa.Table) -> None:
        time.sleep(0.3 if time.monotonic() - begun < 3 else 0)
        write(self, table)

    monkeypatch.setattr(BookWriter, "write", slow)
    spilled, put = [], LogSpill.put

    def noted(self: LogSpill, item: DeltaBatch) -> None:
        spilled.append(len(item))
        put(self, item)

    monkeypatch.setattr(LogSpill, "put", noted)
    monkeypatch.setattr(memory_budget, "LEAST_QUEUE_BYTES", 40_000)
    result, found = again(chain, streaming={"memory_limit": 1_000})
    assert found == wanted
    assert result.metrics.transitions["drop_caches -> spill"] == 1
    assert sum(spilled) > 1_000


def test_progress_has_the_stages_figures(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stream runs: whoever watches sees all five; the last word, when it has ended, has none."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    monkeypatch.setattr("order_book_platform.streaming.pipeline.WATCH_S", 0.001)
    seen: list[tuple[int, int, StreamMetrics | None]] = []
    Reconstructor(chain.store, chain.settings).run(
        KEY, lambda stage, done, total, figures=None: seen.append((done, total, figures))
    )
    *running, last = seen
    total = chain.store.rows("raw_deltas", KEY).num_rows
    assert last == (total, total, None)
    assert running
    for done, _, figures in running:
        assert figures is not None
        assert [stage.stage for stage in figures.stages] == ["read", "decode", "sequence", "apply", "write"]
        assert figures.stages[3].rows == done


def test_a_stage_that_hangs_is_begun_again(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint; what wakes up later harms nothing."""
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"checkpoint_events": 1})
    chain.books(KEY)
    wanted = files(chain)
    end, wake, calls = BookWriter.end, threading.Event(), []

    def hanging(self: BookWriter) -> None:
        calls.append(self)
        if len(calls) == 4:
            wake.wait(60)
        end(self)

    monkeypatch.setattr(BookWriter, "end", hanging)
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
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stage, after so many attempts; the published books stay."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    wanted = files(chain)
    wake = threading.Event()
    monkeypatch.setattr(BookStream, "_decode", lambda *_: wake.wait(60) or iter(()))
    with pytest.raises(StallError, match="stage decode"):
        again(chain, streaming={"stall_after": 100_000_000, "restarts": 1})
    wake.set()
    chain.store.check("reconstructed_books", KEY)
    monkeypatch.undo()
    monkeypatch.setattr(strategy, "PART_DELTAS", 4_000)
    assert again(chain)[1] == wanted


@pytest.mark.parametrize(
    "sections",
    [
        {"reconstruct": {"cadence": "grid"}},
        {"reconstruct": {"cadence": "message", "extend_every": 3}},
        {"reconstruct": {"strategy": "snapshot"}},
        {"precision": "decimal128"},
        {"precision": "decimal128", "reconstruct": {"strategy": "snapshot"}},
    ],
)
def test_an_interrupt_leaves_what_was_done(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    """Whatever strategy and numbers: the next run goes on, and gives the bytes of one that was left alone."""
    wanted_books = {**sections.get("reconstruct", {}), "checkpoint_events": 1}
    chain = chain_with(tmp_path, lake, sections.get("precision", "auto"), {"reconstruct": wanted_books})
    chain.books(KEY)
    wanted = files(chain)
    save = Resumption.save

    def interrupted(self: Resumption, *arguments: Any) -> None:
        save(self, *arguments)
        if self.written == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Resumption, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(chain)
    monkeypatch.setattr(Resumption, "save", save)
    beside = {path.name for path in chain.store.folder("reconstructed_books", KEY).parent.iterdir()}
    assert beside == {"dt=2024-08-08", ".building-dt=2024-08-08", ".checkpoints-dt=2024-08-08"}
    result, found = again(chain)
    assert found == wanted
    assert result.run.checkpoints_written < len([name for name in wanted if name.startswith("books-")]) - 1


def test_a_read_error_leaves_what_was_done(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle of the deltas is named; when it reads again, the run goes on from there."""
    monkeypatch.setattr("order_book_platform.sources.lake_ingest.DELTA_GROUP_ROWS", 4_000)
    chain = Chain.over(tmp_path, lake, [KEY], reconstruct={"checkpoint_events": 1})
    chain.books(KEY)
    wanted, pieces, save, saved = files(chain), DaySource.read, Resumption.save, threading.Event()

    def noted(self: Resumption, *arguments: Any) -> None:
        save(self, *arguments)
        saved.set()

    def failing(self: DaySource) -> Iterator[RowGroup]:
        for number, piece in enumerate(pieces(self)):
            if number == 6:
                assert saved.wait(60)
                with translate_read_errors("deltas.parquet"):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield piece

    monkeypatch.setattr(Resumption, "save", noted)
    monkeypatch.setattr(DaySource, "read", failing)
    with pytest.raises(PartitionCorruptError, match="Input/output error"):
        again(chain)
    monkeypatch.setattr(DaySource, "read", pieces)
    result, found = again(chain)
    assert found == wanted
    assert result.run.resumed_from > 0


def chain_with(folder: Path, lake: Path, precision: str, sections: dict[str, Any]) -> Chain:
    """A chain whose instrument is read with that precision."""
    chain = Chain.over(folder, lake, [KEY], **sections)
    instruments = tuple(
        each.model_copy(update={"precision": precision}) for each in chain.settings.instruments
    )
    return Chain(chain.store, chain.settings.model_copy(update={"instruments": instruments}))


@pytest.mark.parametrize("order", ["in turn", "all in, all out"])
def test_the_spill_gives_back_what_it_got(lake: Path, tmp_path: Path, order: str) -> None:
    """In order, any number of batches, and nothing is left on the disk."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    whole = deltas(chain)
    batches = [whole.slice(start, start + 500) for start in range(0, 10_000, 500)]
    with spill_in(tmp_path / "spill") as spill:
        found: list[DeltaBatch] = []
        for batch in batches:
            spill.put(batch)
            if order == "in turn":
                found.append(spill.take())
        take: Callable[[], DeltaBatch] = spill.take
        found += [take() for _ in range(len(batches) - len(found))]
        assert not (tmp_path / "spill").exists()
    for one, other in zip(batches, found, strict=True):
        assert one.to_arrow().equals(other.to_arrow())


def test_a_spill_takes_little_more_than_what_waits(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has gone through it while it was never empty."""
    monkeypatch.setattr(spill_module, "LOG_BYTES", 100_000)
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    whole, most, logs = deltas(chain), 0, set[str]()
    batches = [whole.slice(start, start + 500) for start in range(0, 20_000, 500)]
    with spill_in(tmp_path / "spill") as spill:
        spill.put(batches[0])
        for before, batch in pairwise(batches):
            spill.put(batch)
            assert spill.take().to_arrow().equals(before.to_arrow())
            logs |= {path.name for path in (tmp_path / "spill").iterdir()}
            most = max(
                most,
                sum(path.stat().st_size for path in (tmp_path / "spill").rglob("*") if path.is_file()),
            )
        spill.take()
        assert not (tmp_path / "spill").exists()
    assert len(logs) > 5
    assert most < 3 * 100_000


def test_a_spill_that_is_given_up_is_not_synced(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody wants is only removed."""
    chain = Chain.over(tmp_path, lake, [KEY])
    chain.books(KEY)
    batch = deltas(chain).slice(0, 500)
    synced: list[int] = []
    with spill_in(tmp_path / "spill") as spill:
        spill.put(batch)
        monkeypatch.setattr(os, "fsync", synced.append)
    assert synced == []
    assert not (tmp_path / "spill").exists()


def test_a_checkpoint_has_nothing_of_what_came_after_it(lake: Path, tmp_path: Path) -> None:
    """A writer that lags behind: sizes that later rows show had no codes yet, and may get others."""
    chain = chain_with(tmp_path, lake, "decimal128", {"reconstruct": {"checkpoint_events": 1}})
    chain.books(KEY)
    store, settings = chain.store, chain.settings
    small = settings.model_copy(update={"sources": settings.sources.model_copy(update={"batch_rows": 200})})
    replay = DayReplay.of(store, small, KEY)
    with store.write("reconstructed_books", KEY) as writer:
        resumption = Resumption(store, small, writer, replay.inputs)
        parts = BookWriter(writer, small.reconstruct.depth, replay.encoding)
        memory = MemoryGuard(small.streaming.memory_limit)
        stream = day_stream(store, small, replay, parts, resumption, memory)
        items = [
            item
            for piece in stream._source.read()
            for batch in stream._decode(piece)
            for step in stream._sequence(batch)
            for item in stream._apply(step)
        ]
        saved = next(item.saved for item in items if isinstance(item, PartEnd) and item.saved)
        resumption.save(saved, parts)
        (left,) = store.checkpoints("reconstructed_books", KEY).newest_first()
    assert not left.arrays["shown"][len(left.arrays["sizes"]) :].any()
    assert parts.shown_sizes[len(left.arrays["sizes"]) :].any()
