"""Following a live capture: the rows of a day, in near real time, once each, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.reconstructed_books.writer import stored_rows
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.errors import (
    BatchError,
    LogBusyError,
    LogMissingError,
    LogSchemaError,
    OrderBookPlatformError,
    PrecisionError,
    ReconstructionError,
    ReplayMismatchError,
    StallError,
)
from order_book_platform.model import BookFlag, FixedPoint, PartitionKey
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.model.pip_encoding import in_precision
from order_book_platform.reconstruct import Followed, Reconstructor, memory_budget, replay_hash_of
from order_book_platform.reconstruct.live import live_stream
from order_book_platform.reconstruct.replay_checkpoints import LiveCheckpoint, LiveCheckpoints
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import LogReader, LogWriter
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.reconstruct.captures import (
    Capture,
    arrivals,
    book_table,
    captured,
    inputs,
    shifted,
    stop,
    with_ids,
    write_capture,
)
from order_book_platform_tests.reconstruct.day_runs import flip
from order_book_platform_tests.recorded_depth import RECORDED, recorded

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
FUTURE = int(BookFlag.HINDSIGHT | BookFlag.CORRUPT)
FAULTS = "drop=16,crossed=2x3s,bad_snapshots=4,silence=1x7s"
Item = DeltaBatch | SnapshotBatch
RECORDED_OF = ("BINANCE_FUTURES:BTC-USDT-PERP", "BINANCE_DELIVERY:BTC-USD-PERP", "BINANCE:BTC-USDT")
NO_TICKER_ROW = (50093478174, 50093480542)
"""Spot messages whose best prices the exchange never sent as a ticker; see test_recordings."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A short day without faults, its books published."""
    return simulated(tmp_path_factory.mktemp("clean"), "")


def simulated(folder: Path, faults: str, messages: int = 400, **sections: object) -> Chain:
    """A simulated day, its books published."""
    given = Faults.parse(faults) if faults else Faults()
    MarketSimulator(profile("btc-perp"), 5).write(folder / "lake", KEY, messages, given)
    chain = Chain.over(folder, folder / "lake", [KEY], **sections)
    chain.books(KEY)
    return chain


def follow(chain: Chain, capture: Path, output: Path, **sections: dict[str, Any]) -> Followed:
    """Follow a capture that has ended."""
    changed = {
        name: getattr(chain.settings, name).model_copy(update=values) for name, values in sections.items()
    }
    settings = chain.settings.model_copy(update=changed)
    return Reconstructor(chain.store, settings).follow(KEY.instrument, capture, output, stop)


def published_hash(chain: Chain, key: PartitionKey = KEY) -> str:
    """Of the partition."""
    found: str = chain.store.manifest("reconstructed_books", key).metadata["replay_hash"]
    return found


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, and its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """As the replay writes them, without what only the future can tell."""
    rows = stored_rows(table).copy()
    rows[:, 3] &= ~FUTURE
    return rows


def own_rows(table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The same without rows that were written for such a bit alone: equal to the one before but for the time."""
    rows = rows_of(table)
    before = rows[:-1, 3:].copy()
    before[:, 0] &= ~int(BookFlag.REPAIRED)
    same = np.append(False, (rows[1:, 3:] == before).all(axis=1))
    return rows[~same]


def check_against_day(live: pa.Table, day: pa.Table, cadence: str) -> None:
    """As docs/formats/live.md has it."""
    if cadence == "change":
        np.testing.assert_array_equal(own_rows(live), own_rows(day))
        return
    day = day.slice(0, live.num_rows) if cadence == "grid" else day
    np.testing.assert_array_equal(rows_of(live), rows_of(day))
    flags, day_flags = (table.column("flags").to_numpy() for table in (live, day))
    assert not (flags & BookFlag.HINDSIGHT).any()
    assert not (flags & BookFlag.CORRUPT & ~day_flags).any()


@pytest.mark.parametrize("frame_rows", [0, 70, 333, 50_000])
def test_a_day_without_gaps_is_the_partition(clean: Chain, tmp_path: Path, frame_rows: int) -> None:
    """The same replay_hash, whatever the frames: one message each, or hundreds."""
    capture = captured(tmp_path / "capture", clean, KEY, frame_rows)
    found = follow(clean, capture, tmp_path / "out")
    assert found.replay_hash == published_hash(clean) == replay_hash_of(tmp_path / "out")
    counts = clean.store.manifest("reconstructed_books", KEY).metadata["counts"]
    assert (found.rows, found.messages, found.deltas) == tuple(
        counts[name] for name in ("rows", "messages", "deltas")
    )
    assert found.counts == {name: counts[name] for name in ("extended", "seeded")}
    assert LogReader(tmp_path / "out" / "findings").next_row() == 0


def test_segments_and_frames_that_split_messages_change_nothing(clean: Chain, tmp_path: Path) -> None:
    """A log that is complete may be cut anywhere, in frames as in sealed segments."""
    deltas, snapshots, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point, segment_bytes=200_000)
    capture.append(snapshots)
    for start in range(0, len(deltas), 37):
        capture.append(deltas.slice(start, start + 37))
    capture.close()
    assert len(list((tmp_path / "capture" / "raw_deltas").glob("*.parquet"))) > 3
    assert follow(clean, tmp_path / "capture", tmp_path / "out").replay_hash == published_hash(clean)


@pytest.mark.parametrize("cadence", ["change", "message", "grid"])
def test_a_day_with_faults_is_the_partition_but_for_the_future(tmp_path: Path, cadence: str) -> None:
    """Silences, unseen snapshots, crossed spells, bad snapshots, losses without a trace; and corrupt books."""
    chain = simulated(
        tmp_path,
        FAULTS,
        700,
        reconstruct={"cadence": cadence, "extend_every": 8},
        gaps={"snapshot_reach": "200ms"},
    )
    found = follow(chain, captured(tmp_path / "capture", chain, KEY), tmp_path / "out")
    live, day = book_table(tmp_path / "out"), chain.store.rows("reconstructed_books", KEY).read()
    check_against_day(live, day, cadence)
    day_flags = day.column("flags").to_numpy()
    for flag in (BookFlag.HINDSIGHT, BookFlag.CORRUPT, BookFlag.GAP, BookFlag.REPAIRED):
        assert (day_flags & flag).any()
    assert (live.column("flags").to_numpy() & BookFlag.CORRUPT).any()
    report = chain.store.manifest("sequence_gap_report", KEY).metadata["by_cause"]
    for cause in ("silence", "unseen_snapshot"):
        assert found.counts.get(cause, 0) == report.get(cause, 0)
    listed = pa.Table.from_batches(
        [rows.batch for rows in LogReader(tmp_path / "out" / "findings").read()]
    ).column("cause")
    assert len(listed) == sum(found.counts.get(cause, 0) for cause in ("silence", "unseen_snapshot"))


def publish(chain: Chain, deltas: DeltaBatch, snapshots: SnapshotBatch) -> None:
    """Put other inputs in the place of a day's, and build what comes after them again."""
    for dataset, file, table in (
        ("raw_deltas", "deltas.parquet", deltas.to_arrow()),
        ("snapshots", "snapshots.parquet", snapshots.to_arrow()),
    ):
        metadata = chain.store.manifest(dataset, KEY).metadata
        with chain.store.write(dataset, KEY) as writer:
            writer.parquet(file, table.schema).write(table)
            writer.metadata.update(metadata)
    GapReporter(chain.store, chain.settings).run(KEY)
    DataAssessor(chain.store, chain.settings).run(KEY)
    Reconstructor(chain.store, chain.settings).run(KEY)


@pytest.mark.parametrize("name", ["prev_final_update_id", "first_update_id"])
@pytest.mark.parametrize("extend_every", [0, 5])
def test_losses_that_ids_prove(tmp_path: Path, name: str, extend_every: int) -> None:
    """Nothing is known from each on until the next sound snapshot, in turn or not, which repairs; or to the end."""
    chain = simulated(
        tmp_path,
        "",
        reconstruct={"cadence": "message", "extend_every": extend_every, "strategy": "full_event"},
        gaps={"snapshot_reach": "1s"},
    )
    deltas, snapshots, point = inputs(chain, KEY)
    deltas = with_ids(deltas, name, {60, 61, 120, 121, 122, 200, 201, 350})
    publish(chain, deltas, snapshots)
    capture = write_capture(tmp_path / "capture", KEY.instrument.key, point, arrivals(deltas, snapshots, 300))
    found = follow(chain, capture, tmp_path / "out")
    assert found.counts["chain"] == 4
    live = book_table(tmp_path / "out")
    check_against_day(live, chain.store.rows("reconstructed_books", KEY).read(), "message")
    gap = live.column("flags").to_numpy() & BookFlag.GAP > 0
    assert gap.any() == (
        extend_every == 0
    )  # the snapshot of a lost message repairs before the next one comes
    assert not live.column("known_bid_levels").to_numpy()[gap].any()
    counts = chain.store.manifest("reconstructed_books", KEY).metadata["counts"]
    assert found.counts.get("repaired", 0) == counts["repaired"]
    assert counts["repaired"] >= (4 if extend_every else 0)


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_recordings(recordings: Path, tmp_path: Path, key: PartitionKey) -> None:
    """All five symbol-days turned into logs; those without a bit of the future have the same hash."""
    chain = Chain.over(tmp_path, recordings / "lake", [key])
    chain.books(key)
    capture = captured(tmp_path / "capture", chain, key, 2_000)
    reconstructor = Reconstructor(chain.store, chain.settings)
    found = reconstructor.follow(key.instrument, capture, tmp_path / "out", stop)
    live, day = book_table(tmp_path / "out"), chain.store.rows("reconstructed_books", key).read()
    check_against_day(live, day, "change")
    assert "late_snapshot" not in found.counts
    seen = int(np.bitwise_or.reduce(day.column("flags").to_numpy()))
    assert (found.replay_hash == published_hash(chain, key)) == (not seen & FUTURE)


def test_late_snapshots_shape_nothing_and_are_listed(tmp_path: Path) -> None:
    """The rows are those of a day without them."""
    chain = simulated(tmp_path, "", reconstruct={"extend_every": 2})
    deltas, snapshots, point = inputs(chain, KEY)
    late = np.arange(0, len(snapshots), 3)
    moved = shifted(snapshots, deltas, late, 3)
    order = np.argsort(moved.received_time, kind="stable")
    capture = write_capture(
        tmp_path / "capture", KEY.instrument.key, point, arrivals(deltas, moved.take(order), 200)
    )
    found = follow(chain, capture, tmp_path / "out")
    findings = pa.Table.from_batches(
        [rows.batch for rows in LogReader(tmp_path / "out" / "findings").read()]
    ).to_pylist()
    listed = [row["from_sequence_number"] for row in findings]
    assert listed == snapshots.sequence_number[late].tolist()[: len(listed)]
    assert all(row["from_sequence_number"] < row["to_sequence_number"] for row in findings)
    assert found.counts["late_snapshot"] == len(listed) >= len(late) - 1
    publish(chain, deltas, snapshots.take(~np.isin(snapshots.sequence_number, listed)))
    check_against_day(
        book_table(tmp_path / "out"), chain.store.rows("reconstructed_books", KEY).read(), "change"
    )


def test_a_snapshot_right_behind_its_message_is_taken(clean: Chain, tmp_path: Path) -> None:
    """Between its message, whose row it did not shape, and the next; so that a live book gets its seed."""
    deltas, snapshots, point = inputs(clean, KEY)
    one = shifted(snapshots.take(slice(5, 6)), deltas, np.array([0]), 1)
    hashes = set()
    for frame_rows in (0, 1_000, 50_000):
        capture = write_capture(
            tmp_path / f"{frame_rows}", KEY.instrument.key, point, arrivals(deltas, one, frame_rows)
        )
        output = tmp_path / f"out {frame_rows}"
        found = follow(clean, capture, output, reconstruct={"cadence": "message"})
        assert found.counts == {"seeded": 1}
        rows = book_table(output)
        seeded = rows.column("flags").to_numpy() & BookFlag.SEEDED > 0
        assert rows.column("sequence_number").to_numpy()[~seeded].max() == one.sequence_number[0]
        hashes.add(found.replay_hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(("market", "key"), list(zip(RECORDED, RECORDED_OF, strict=True)), ids=list(RECORDED))
def test_recorded_rest_snapshots_seed(recordings: Path, tmp_path: Path, market: str, key: str) -> None:
    """From the message after its arrival on, each row has the best prices of the exchange's own ticker."""
    day = PartitionKey.parse(key, "2024-08-08")
    deltas, snapshot = recorded(recordings, market)
    point = FixedPoint(8, 8, int(np.gcd.reduce(deltas.encoded_price)), 1)
    capture = write_capture(tmp_path / "capture", key, point, arrivals(deltas, snapshot, 300))
    chain = Chain.over(tmp_path, recordings / "lake", [day], reconstruct={"cadence": "message"})
    found = Reconstructor(chain.store, chain.settings).follow(day.instrument, capture, tmp_path / "out", stop)
    assert found.counts == {"seeded": 1, "brought_up_to_date": 1}
    books = pl.DataFrame(book_table(tmp_path / "out"))
    seeded = books.filter(pl.col("flags") & int(BookFlag.SEEDED) != 0)
    behind = np.unique(deltas.sequence_number[deltas.received_time < snapshot.received_time[0]])
    assert behind[-1] > snapshot.sequence_number[0]
    assert len(seeded) == found.messages - len(behind)
    ticker = pl.read_parquet(
        recordings / "truth/book_ticker" / day.path / "*.parquet", hive_partitioning=False
    )
    at = np.searchsorted(ticker["update_id"].to_numpy(), seeded["sequence_number"].to_numpy(), "right") - 1
    names = ["bid_price", "bid_size", "ask_price", "ask_size"]
    truth = np.stack([float_to_pips(ticker[name].to_numpy(), 8)[0] for name in names], axis=1)[at]
    best = [f"{side}_0_{what}_pips" for side in ("bid", "ask") for what in ("price", "size")]
    equal = (seeded.select(best).fill_null(-1).to_numpy() == truth).all(axis=1)
    comparable = ~np.isin(seeded["sequence_number"].to_numpy(), NO_TICKER_ROW) & (at >= 0)
    assert comparable.sum() > 3_000
    assert equal[comparable].all()


class Visible:
    """Tells how many rows of a log of books have been appended, as they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: queue.SimpleQueue[int] = queue.SimpleQueue()
        write = IdempotentLog.write

        def told(log: IdempotentLog, table: pa.Table) -> None:
            write(log, table)
            self.rows.put(log.next_row)

        monkeypatch.setattr(IdempotentLog, "write", told)

    def wait_for(self, rows: int) -> None:
        """Return when so many rows are there."""
        while self.rows.get(timeout=60) < rows:
            pass


def test_each_row_is_there_before_the_next_message(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that goes on when it has read the row of what it appended: nothing is held back."""
    deltas, snapshots, point = inputs(clean, KEY)
    items = list(arrivals(deltas, snapshots, 0))[:160]
    settings = clean.settings.model_copy(
        update={"reconstruct": clean.settings.reconstruct.model_copy(update={"cadence": "message"})}
    )
    visible, news, ended = Visible(monkeypatch), threading.Semaphore(0), threading.Event()
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            rows = 0
            for item in items:
                capture.append(item)
                if isinstance(item, DeltaBatch):
                    rows += 1
                    news.release()
                    visible.wait_for(rows)
                    assert LogReader(tmp_path / "out" / "books").next_row() == rows
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            ended.set()
            news.release()

    def wait() -> bool:
        news.acquire(timeout=60)
        return not ended.is_set()

    thread = threading.Thread(target=write)
    thread.start()
    found = Reconstructor(clean.store, settings).follow(
        KEY.instrument, tmp_path / "capture", tmp_path / "out", wait
    )
    thread.join()
    capture.close()
    assert failures == []
    whole = write_capture(tmp_path / "whole", KEY.instrument.key, point, iter(items))
    again = Reconstructor(clean.store, settings).follow(KEY.instrument, whole, tmp_path / "again", stop)
    assert found.replay_hash == again.replay_hash
    assert found.rows == sum(isinstance(item, DeltaBatch) for item in items)


def test_a_capture_without_a_delta_is_waited_for(clean: Chain, tmp_path: Path) -> None:
    """Nothing is made before the first one tells the fixed point; stopping before that is no error."""
    _, _, point = inputs(clean, KEY)
    Capture(tmp_path / "capture", KEY.instrument.key, point).close()
    found = follow(clean, tmp_path / "capture", tmp_path / "out")
    assert (found.rows, found.metrics) == (0, None)
    assert not (tmp_path / "out").exists()
    asked = []

    def wait() -> bool:
        if not asked:
            captured(tmp_path / "capture", clean, KEY)
        asked.append(None)
        return len(asked) < 3

    found = Reconstructor(clean.store, clean.settings).follow(
        KEY.instrument, tmp_path / "capture", tmp_path / "out", wait
    )
    assert found.replay_hash == published_hash(clean)


def test_a_message_in_two_appends_is_found_out(clean: Chain, tmp_path: Path) -> None:
    """Not replayed as two, and the error says what the writer has to do."""
    deltas, _, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point)
    end = int(np.searchsorted(deltas.sequence_number, deltas.sequence_number[400], "right"))
    pieces = iter([deltas.slice(0, end - 1), deltas.slice(end - 1, end + 300)])

    def wait() -> bool:
        for piece in pieces:
            capture.append(piece)
            break
        return True

    with pytest.raises(BatchError, match="all rows of a message go in one whole append"):
        Reconstructor(clean.store, clean.settings).follow(
            KEY.instrument, tmp_path / "capture", tmp_path / "out", wait
        )
    capture.close()


def test_memory_that_is_short_and_a_slow_writer_change_nothing(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller batches, full queues: what is not read yet waits in the capture."""
    capture = captured(tmp_path / "capture", clean, KEY, 70)
    write, slow = IdempotentLog.write, threading.Event()

    def slowly(log: IdempotentLog, table: pa.Table) -> None:
        slow.wait(0.01)
        write(log, table)

    monkeypatch.setattr(IdempotentLog, "write", slowly)
    monkeypatch.setattr("order_book_platform.reconstruct.live.live_source.READ_ROWS", 1_500)
    monkeypatch.setattr(memory_budget, "QUEUE_BYTES", 20_000)
    monkeypatch.setattr(memory_budget, "LEAST_QUEUE_BYTES", 20_000)
    found = follow(
        clean, capture, tmp_path / "out", streaming={"memory_limit": 1_000}, sources={"batch_rows": 700}
    )
    assert found.replay_hash == published_hash(clean)
    assert found.metrics is not None
    assert any("spill" in change for change in found.metrics.transitions)


def checkpointed(chain: Chain, folder: Path, fraction: float, **sections: dict[str, Any]) -> Followed:
    """Follow the first part of the day, as if the capture had got no further."""
    deltas, snapshots, point = inputs(chain, KEY)
    items = list(arrivals(deltas, snapshots, 300))
    write_capture(folder / "capture", KEY.instrument.key, point, iter(items[: int(len(items) * fraction)]), 1)
    found = follow(chain, folder / "capture", folder / "out", **sections)
    capture = Capture(folder / "capture", KEY.instrument.key, point)
    for item in items[int(len(items) * fraction) :]:
        capture.append(item)
    capture.close()
    return found


def test_the_next_run_goes_on_from_the_end_of_the_last(clean: Chain, tmp_path: Path) -> None:
    """From the checkpoint of an end in peace: no row is made again; and the whole is that of one run."""
    first = checkpointed(clean, tmp_path, 0.6)
    assert first.checkpoints_written == 1
    second = follow(clean, tmp_path / "capture", tmp_path / "out")
    assert (second.resumed_from, second.rows_again) == (first.deltas, 0)
    assert second.replay_hash is None
    assert replay_hash_of(tmp_path / "out") == published_hash(clean)
    counts = clean.store.manifest("reconstructed_books", KEY).metadata["counts"]
    assert second.counts == {name: counts[name] for name in ("extended", "seeded")}


@pytest.mark.parametrize("damaged", [0, 1, 2, 3])
def test_a_damaged_checkpoint_leaves_the_one_before(clean: Chain, tmp_path: Path, damaged: int) -> None:
    """And without any the rows are made again from the first, and compared."""
    checkpointed(clean, tmp_path, 0.6, reconstruct={"checkpoint_events": 1}, sources={"batch_rows": 1_000})
    checkpoints = sorted((tmp_path / "out" / "checkpoints").glob("*.state"))
    assert len(checkpoints) == 3
    for path in checkpoints[3 - damaged :]:
        flip(path)
    found = follow(clean, tmp_path / "capture", tmp_path / "out")
    assert found.checkpoints_refused == damaged
    assert (found.resumed_from > 0) == (damaged < 3)
    assert (found.rows_again > 0) == (damaged > 0)
    assert replay_hash_of(tmp_path / "out") == published_hash(clean)


def test_a_row_that_comes_out_differently_is_an_error(clean: Chain, tmp_path: Path) -> None:
    """It says which row and column; nothing is appended behind it."""
    deltas, snapshots, point = inputs(clean, KEY)
    write_capture(tmp_path / "capture", KEY.instrument.key, point, arrivals(deltas, snapshots, 300))
    follow(clean, tmp_path / "capture", tmp_path / "out", reconstruct={"checkpoint_events": 0})
    before = LogReader(tmp_path / "out" / "books").next_row()
    sizes = deltas.encoded_size.copy()
    sizes[20_000:] += 1_000_000
    other = replace(deltas, encoded_size=sizes)
    write_capture(tmp_path / "other", KEY.instrument.key, point, arrivals(other, snapshots, 300))
    with pytest.raises(ReplayMismatchError, match=r"books, row \d+: expected the row .*size_pips \d+"):
        follow(clean, tmp_path / "other", tmp_path / "out")
    assert LogReader(tmp_path / "out" / "books").next_row() == before


def test_checkpoints_stand_on_what_is_on_the_device(clean: Chain, tmp_path: Path) -> None:
    """A capture that was never synced: none is saved, since other rows may come in its place."""
    deltas, snapshots, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point)
    for item in arrivals(deltas, snapshots, 300):
        capture.append(item)
    wanted = {"reconstruct": {"checkpoint_events": 1}}
    assert follow(clean, tmp_path / "capture", tmp_path / "out", **wanted).checkpoints_written == 0
    capture.close()
    assert follow(clean, tmp_path / "capture", tmp_path / "out", **wanted).checkpoints_written > 0


def test_a_checkpoint_that_waits_is_saved_when_it_is_quiet(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input is synced after the last row: no other row has to come for it, and rows are synced as well."""
    deltas, snapshots, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point)
    for item in arrivals(deltas, snapshots, 300):
        capture.append(item)
    visible, saved, waits = Visible(monkeypatch), threading.Event(), []
    save = LiveCheckpoints.save

    def told(self: LiveCheckpoints, checkpoint: LiveCheckpoint) -> None:
        save(self, checkpoint)
        saved.set()

    def wait() -> bool:
        waits.append(saved.is_set())
        if len(waits) == 1:
            visible.wait_for(clean.store.manifest("reconstructed_books", KEY).main_rows)
            capture.sync()
        if len(waits) < 3:
            return True
        waits.append(saved.wait(20))
        return False

    monkeypatch.setattr(LiveCheckpoints, "save", told)
    monkeypatch.setattr("order_book_platform.reconstruct.live.live_source.QUIET_NS", 0)
    changed = clean.settings.reconstruct.model_copy(update={"checkpoint_events": 1})
    found = Reconstructor(clean.store, clean.settings.model_copy(update={"reconstruct": changed})).follow(
        KEY.instrument, tmp_path / "capture", tmp_path / "out", wait
    )
    capture.close()
    assert (waits[0], waits[-1]) == (False, True)
    assert found.checkpoints_written >= 1


def test_rows_are_synced_when_it_is_quiet(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though neither their number nor the time of the next one would have it."""
    capture = captured(tmp_path / "capture", clean, KEY)
    rows = clean.store.manifest("reconstructed_books", KEY).main_rows
    synced, all_is_synced = IdempotentLog.sync, threading.Event()

    def told(log: IdempotentLog) -> None:
        synced(log)
        if log.rows == rows:
            all_is_synced.set()

    monkeypatch.setattr(IdempotentLog, "sync", told)
    monkeypatch.setattr("order_book_platform.reconstruct.live.live_source.QUIET_NS", 0)
    for name in ("SYNC_NS", "SYNC_ROWS"):
        monkeypatch.setattr(f"order_book_platform.reconstruct.live.live_stream.{name}", 2**62)
    outcome: list[bool] = []

    def wait() -> bool:
        outcome.append(all_is_synced.wait(20))
        return False

    changed = clean.settings.reconstruct.model_copy(update={"checkpoint_events": 0})
    Reconstructor(clean.store, clean.settings.model_copy(update={"reconstruct": changed})).follow(
        KEY.instrument, capture, tmp_path / "out", wait
    )
    assert outcome == [True]


def test_a_checkpoint_that_waits_is_saved_at_the_end(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input was synced behind the last row, right before the word to stop."""
    deltas, snapshots, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point)
    for item in arrivals(deltas, snapshots, 300):
        capture.append(item)

    visible = Visible(monkeypatch)

    def wait() -> bool:
        visible.wait_for(clean.store.manifest("reconstructed_books", KEY).main_rows)
        capture.sync()
        return False

    changed = clean.settings.reconstruct.model_copy(update={"checkpoint_events": 1})
    found = Reconstructor(clean.store, clean.settings.model_copy(update={"reconstruct": changed})).follow(
        KEY.instrument, tmp_path / "capture", tmp_path / "out", wait
    )
    capture.close()
    again = follow(clean, tmp_path / "capture", tmp_path / "out", reconstruct={"checkpoint_events": 1})
    assert again.resumed_from == found.deltas


def metadata(**changed: str) -> dict[str, str]:
    """Of a sound log, or with something else in it."""
    point = FixedPoint().to_metadata()
    return {"symbol": KEY.instrument.key, **{name: str(value) for name, value in point.items()}, **changed}


def log(folder: Path, schema: pa.Schema) -> None:
    """A log with one row of nothing in particular."""
    row = {
        field.name: []
        if pa.types.is_list(field.type)
        else True
        if field.type == pa.bool_()
        else None
        if pa.types.is_decimal(field.type) and field.nullable
        else 1
        for field in schema
    }
    with LogWriter(folder, schema) as writer:
        writer.append(pa.RecordBatch.from_pylist([row], schema=schema))


@pytest.mark.parametrize(
    ("deltas", "snapshots", "error", "says"),
    [
        (None, SNAPSHOTS_SCHEMA.with_metadata(metadata()), LogMissingError, "raw_deltas"),
        (RAW_DELTAS_SCHEMA.with_metadata(metadata()), None, LogMissingError, "snapshots"),
        (
            SNAPSHOTS_SCHEMA.with_metadata(metadata()),
            SNAPSHOTS_SCHEMA,
            LogSchemaError,
            "rows of the columns origin_time",
        ),
        (RAW_DELTAS_SCHEMA.with_metadata(metadata()), RAW_DELTAS_SCHEMA, LogSchemaError, "bid_price_pips"),
        (RAW_DELTAS_SCHEMA, SNAPSHOTS_SCHEMA, LogSchemaError, "no symbol"),
        (
            RAW_DELTAS_SCHEMA.with_metadata(metadata(symbol="OTHER:ABC")),
            SNAPSHOTS_SCHEMA.with_metadata(metadata()),
            LogSchemaError,
            "one of OTHER:ABC",
        ),
        (
            RAW_DELTAS_SCHEMA.with_metadata({"symbol": KEY.instrument.key}),
            SNAPSHOTS_SCHEMA.with_metadata(metadata()),
            LogSchemaError,
            "price_decimals",
        ),
        (
            RAW_DELTAS_SCHEMA.with_metadata(metadata()),
            SNAPSHOTS_SCHEMA.with_metadata(metadata(price_decimals="4")),
            LogSchemaError,
            "fixed point of the deltas",
        ),
        (
            in_precision(RAW_DELTAS_SCHEMA, "decimal128").with_metadata(metadata()),
            SNAPSHOTS_SCHEMA.with_metadata(metadata()),
            PrecisionError,
            "a log of int64 pips",
        ),
    ],
)
def test_a_capture_that_is_none_is_refused(
    clean: Chain,
    tmp_path: Path,
    deltas: pa.Schema | None,
    snapshots: pa.Schema | None,
    error: type[OrderBookPlatformError],
    says: str,
) -> None:
    """Before anything of the output is there."""
    for name, schema in (("raw_deltas", deltas), ("snapshots", snapshots)):
        if schema is not None:
            log(tmp_path / "capture" / name, schema)
    with pytest.raises(error, match=says):
        follow(clean, tmp_path / "capture", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "sections",
    [{"reconstruct": {"depth": 5}}, {"reconstruct": {"extend_every": 7}}, {"gaps": {"silence": 5}}],
)
def test_books_of_other_settings_are_left_alone(
    clean: Chain, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """Whatever shapes rows; how often checkpoints are taken does not."""
    capture = captured(tmp_path / "capture", clean, KEY)
    follow(clean, capture, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(LogSchemaError, match="Choose another output folder"):
        follow(clean, capture, tmp_path / "out", **sections)
    assert contents(tmp_path / "out") == before
    assert follow(clean, capture, tmp_path / "out", reconstruct={"checkpoint_events": 5}).rows > 0


def test_two_followers_do_not_share_a_folder(clean: Chain, tmp_path: Path) -> None:
    """The second one is refused, and a strategy of snapshots alone is as well."""
    capture = captured(tmp_path / "capture", clean, KEY)
    seen: list[Callable[[], object]] = []

    def wait() -> bool:
        with pytest.raises(LogBusyError):
            follow(clean, capture, tmp_path / "out")
        seen.append(wait)
        return False

    Reconstructor(clean.store, clean.settings).follow(KEY.instrument, capture, tmp_path / "out", wait)
    assert seen
    with pytest.raises(ReconstructionError, match="a live tail applies every delta"):
        follow(clean, capture, tmp_path / "out", reconstruct={"strategy": "snapshot"})


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_one_that_is_stopped_while_it_is_behind(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    """It ends with whole messages, though row groups of a sealed log are read, and the next run goes on."""
    monkeypatch.setattr("order_book_platform.reconstruct.live.live_source.READ_ROWS", 1_000)
    deltas, snapshots, point = inputs(clean, KEY)
    capture = Capture(tmp_path / "capture", KEY.instrument.key, point, row_group_rows=1_001)
    for item in arrivals(deltas, snapshots, 300):
        capture.append(item)
    capture.close(seal=True)
    asked: list[None] = []

    def stopped() -> bool:
        asked.append(None)
        return len(asked) > passes

    first = Reconstructor(clean.store, clean.settings).follow(
        KEY.instrument, tmp_path / "capture", tmp_path / "out", stop, stopped=stopped
    )
    assert passes * 1_001 - 500 < first.deltas < passes * 1_001
    assert first.checkpoints_written == 1
    second = follow(clean, tmp_path / "capture", tmp_path / "out")
    assert (second.resumed_from, second.rows_again) == (first.deltas, 0)
    assert replay_hash_of(tmp_path / "out") == published_hash(clean)


def test_a_device_that_hangs_is_a_stall(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes out while the call still hangs, nobody makes another one, and the next run goes on."""
    capture = captured(tmp_path / "capture", clean, KEY)
    follow(clean, capture, tmp_path / "before")  # compiled loops are loaded: nothing else takes long
    fsync, hangs, released = os.fsync, threading.Event(), threading.Event()
    callers: list[threading.Thread] = []

    def hanging(descriptor: int) -> None:
        if threading.current_thread().name == "write":
            hangs.set()
        if hangs.is_set() and not released.is_set():
            callers.append(threading.current_thread())
            released.wait(60)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", hanging)
    monkeypatch.setattr("order_book_platform.reconstruct.live.live_stream.SYNC_NS", 0)
    with pytest.raises(StallError, match="stage write of the stream"):
        follow(clean, capture, tmp_path / "out", streaming={"stall_after": 3 * 10**9})
    assert [thread.name for thread in callers] == ["write (abandoned)"]
    with pytest.raises(LogBusyError):
        follow(clean, capture, tmp_path / "out")
    released.set()
    callers[0].join()
    follow(clean, capture, tmp_path / "out")
    assert replay_hash_of(tmp_path / "out") == published_hash(clean)


def test_an_interrupt_leaves_what_was_done(
    clean: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it waits: logs are closed, and the next run goes on."""
    capture = captured(tmp_path / "capture", clean, KEY, sync_every=1)
    interrupted = threading.Event()

    def wait() -> bool:
        interrupted.set()
        return True

    def observe(_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Reconstructor(clean.store, clean.settings).follow(
            KEY.instrument, capture, tmp_path / "out", wait, observe
        )
    assert not (tmp_path / "out" / "books" / "writer.lock").exists()
    found = follow(clean, capture, tmp_path / "out")
    assert found.rows == LogReader(tmp_path / "out" / "books").next_row()
    assert replay_hash_of(tmp_path / "out") == published_hash(clean)
    assert live_stream.QUEUE_ITEMS >= 1
