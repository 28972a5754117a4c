"""The five stages at work: what slows them, stops them or starts them again changes no byte of the result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.observability import StreamMetrics
from order_book_platform.reconstruct import Reconstructor, memory_budget
from order_book_platform.reconstruct.book_stages import configured_book
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.memory_budget import LogSpill
from order_book_platform.reconstruct.replay_checkpoints import DayCheckpoints
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.day_runs import KEY, again, chain_with, deltas, files
from order_book_platform_tests.reconstruct.test_replay_checkpoints import settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("rows", [1, 70, 333, 5_000])
def test_batches_change_nothing(faulty_lake: Path, tmp_path: Path, rows: int) -> None:
    """Down to one delta at a time."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
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
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is too large, and a slow writer: smaller batches, dropped caches, batches in the spill."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY], sources={"batch_rows": 200})
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


def test_progress_has_the_stages_figures(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the stream runs: whoever watches sees all five; the last word, when it has ended, has none."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
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
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    """Whatever strategy and numbers: the next run goes on, and gives the bytes of one that was left alone."""
    wanted_books = {**sections.get("reconstruct", {}), "checkpoint_events": 1}
    chain = chain_with(
        tmp_path, faulty_lake, sections.get("precision", "auto"), {"reconstruct": wanted_books}
    )
    chain.books(KEY)
    wanted = files(chain)
    save = DayCheckpoints.save

    def interrupted(self: DayCheckpoints, *arguments: Any) -> None:
        save(self, *arguments)
        if self.written == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(DayCheckpoints, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(chain)
    monkeypatch.setattr(DayCheckpoints, "save", save)
    beside = {path.name for path in chain.store.folder("reconstructed_books", KEY).parent.iterdir()}
    assert beside == {"dt=2024-08-08", ".building-dt=2024-08-08", ".checkpoints-dt=2024-08-08"}
    result, found = again(chain)
    assert found == wanted
    assert result.run.checkpoints_written < len([name for name in wanted if name.startswith("books-")]) - 1


@pytest.mark.parametrize(("cadence", "rows"), [(None, 3), ("change", 2)])
def test_the_settings_shape_the_rows(cadence: str | None, rows: int) -> None:
    """The cadence may be replaced, as for the book at an instant."""
    book = configured_book(settings(depth=2, cadence="message"), STEP, cadence)
    made = [[(True, CENTRE, 1)], [(True, CENTRE, 1)], [(False, CENTRE + 1, 1)]]
    found = np.concatenate([piece.copy() for piece in book.feed(delta_batch(made, [10, 20, 30]))])
    assert found.shape == (rows, 6 + 4 * 2)
    assert (book.price_step, book.depth) == (STEP, 2)


def test_the_warm_up_is_that_of_the_settings() -> None:
    """A book without a snapshot counts as seeded after it."""
    deltas = delta_batch([[(True, CENTRE, 1)], [(True, CENTRE, 2)]], [10, 30])  # 2,000 ns apart
    for warm_up, seeded in (("1us", True), ("1s", False)):
        book = configured_book(settings(warm_up=warm_up), STEP)
        list(book.feed(deltas))
        assert book.seeded is seeded
