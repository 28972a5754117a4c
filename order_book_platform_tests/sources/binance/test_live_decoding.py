"""Live logs from a growing raw log: every row once, equal to those of a run that was left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.errors import LogSchemaError
from order_book_platform.model import BookFlag
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import load_settings
from order_book_platform.sources.binance.live_decoding import CHECKPOINT_EVERY_NS, Decoded, LiveDecoding
from order_book_platform.sources.binance.market import USDM
from order_book_platform.storage import DataStore, LogReader, LogWriter
from order_book_platform.storage.checkpoints import Checkpoints
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform.storage.log.segments import sealed_path
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.sources.binance.raw_rows import RawRows, Truth, depth, merged_connections
from order_book_platform_tests.sources.binance.test_capture_ingest import KEYS, captured, over_midnight
from order_book_platform_tests.sources.binance.test_raw_log_decoder import decode, joined, ticker, trade


class KilledError(Exception):
    """Stands for the end of the process."""


def recorded(seed: int = 5) -> RawRows:
    """Two connections with losses, tickers, trades, a snapshot, and a change of the rules."""
    random = Random(seed)
    rows = merged_connections(random, USDM, Truth.drawn(random, 60), 2, 0.2)
    rows.message(1, ticker(3))
    rows.message(2, trade(3))
    rows.snapshot(30, [["1.0", "1"]], [["2.0", "1"]])
    rows.rules(tick="0.01")
    rows.message(1, depth(100, 110, 99, [["1.0", "1"]]))
    rows.close(1)
    rows.close(2)
    return rows


def contents(live: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of every log below a folder."""
    return {
        str(folder.relative_to(live)): [
            row for part in LogReader(folder).read() for row in part.batch.to_pylist()
        ]
        for folder in sorted(live.glob("exchange=*/symbol=*/from=*/*"))
    }


def wanted(rows: RawRows) -> dict[str, list[dict[str, object]]]:
    """The same as `contents`, from the decoder alone."""
    found = {}
    for numbering, own in joined(decode(rows, finish=False)[1]).items():
        instrument = numbering.instrument
        folder = f"exchange={instrument.exchange}/symbol={instrument.symbol}/from={numbering.from_row}"
        for name in ("raw_deltas", "snapshots", "tickers", "trades"):
            found[f"{folder}/{name}"] = own["deltas" if name == "raw_deltas" else name]
    return found


def run(raw: Path, live: Path, wait: Callable[[], bool] = lambda: False) -> Decoded:
    """Decode what is there with a clock that lets a checkpoint be due at every look."""
    clock = ManualClock()

    def waits() -> bool:
        clock.advance(CHECKPOINT_EVERY_NS)
        return wait()

    return LiveDecoding(raw, live, clock).run(waits)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_growing_log_is_followed(tmp_path: Path, step: int) -> None:
    """Rows that are appended while the decoder waits are decoded; the logs hold what the decoder alone gives."""
    rows = recorded()
    at = 0
    with LogWriter(tmp_path / "raw", rows.batch().schema) as writer:

        def append() -> bool:
            nonlocal at
            stop = min(at + step, len(rows.rows))
            if at < stop:
                writer.append(rows.batch(at, stop))
                writer.sync()
            is_more, at = at < len(rows.rows), stop
            return is_more

        found = run(tmp_path / "raw", tmp_path / "live", append)
    assert found.next_row == len(rows.rows)
    assert contents(tmp_path / "live") == wanted(rows)
    schema = LogReader(found.folders[-1] / "raw_deltas").schema()
    assert schema is not None
    assert schema.metadata[b"symbol"] == b"BINANCE_FUTURES:BTC-USDT-PERP"
    assert schema.metadata[b"tick_pips"] == b"1000000"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 3))
def test_a_killed_run_is_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, step: int, after: int, seed: int
) -> None:
    """Killed after any append, before the checkpoints or between them: the next runs give the same rows once."""
    tmp_path, rows = tmp_path_factory.mktemp("killed"), recorded(seed)
    write, left = IdempotentLog.write, [after]

    def killed(self: IdempotentLog, table: pa.Table, *, whole: bool = False) -> None:
        write(self, table, whole=whole)
        left[0] -= 1
        if not left[0]:
            raise KilledError

    with LogWriter(tmp_path / "raw", rows.batch().schema) as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdempotentLog, "write", killed)
        for start in range(0, len(rows.rows), step):
            writer.append(rows.batch(start, start + step))
            writer.sync()
            try:
                run(tmp_path / "raw", tmp_path / "live")
            except KilledError:
                left[0] = after
    run(tmp_path / "raw", tmp_path / "live")
    assert contents(tmp_path / "live") == wanted(rows)


def test_a_run_goes_on_at_its_checkpoint(tmp_path: Path) -> None:
    """The second run reads nothing again; without checkpoints it compares all rows, and adds none."""
    rows = recorded()
    with LogWriter(tmp_path / "raw", rows.batch().schema) as writer:
        writer.append(rows.batch())
    first = run(tmp_path / "raw", tmp_path / "live")
    second = run(tmp_path / "raw", tmp_path / "live")
    assert (first.resumed_from, second.resumed_from) == (0, len(rows.rows))
    assert second.report == first.report
    Checkpoints(tmp_path / "live" / "decoder").clear()
    assert run(tmp_path / "raw", tmp_path / "live").resumed_from == 0
    assert contents(tmp_path / "live") == wanted(rows)


@pytest.mark.parametrize("decoded_before", [False, True])
def test_a_log_without_its_front_begins_at_what_is_there(tmp_path: Path, decoded_before: bool) -> None:
    """From nothing, or behind the last checkpoint: the report has the gap, and each rerun makes the same rows."""
    rows = recorded()
    begin = next(at for at, row in enumerate(rows.rows) if row["kind"] == "rules" and at)
    raw, live = tmp_path / "raw", tmp_path / "live"
    with LogWriter(raw, rows.batch().schema) as writer:
        for start in (0, begin // 2, begin):
            writer.append(rows.batch(start, {0: begin // 2, begin // 2: begin}.get(start)))
            writer.rotate()
            if decoded_before and not start:
                run(raw, live)
    before = contents(live)
    for start in (0, begin // 2):
        sealed_path(raw, start).unlink()
    found = run(raw, live)
    assert found.resumed_from == begin
    (gap,) = found.report["recorder_gaps"]
    assert (gap["row"], gap["why"], gap["rows"]) == (begin, "removed", begin)
    (folder,) = found.folders
    assert folder.name == f"from={begin}"
    whole = contents(live)
    own = str(folder.relative_to(live))
    assert [row["sequence_number"] for row in whole[f"{own}/raw_deltas"]] == [110]
    assert {name: each for name, each in whole.items() if not name.startswith(own)} == before
    assert run(raw, live).report == found.report
    Checkpoints(live / "decoder").clear()
    assert run(raw, live).report == found.report
    assert contents(live) == whole


def test_the_logs_can_be_followed(tmp_path: Path) -> None:
    """Books are made of the live logs as of any capture: a snapshot that is there in time seeds them."""
    captured(tmp_path, over_midnight())
    capture = tmp_path / "captures" / "usdm"
    (folder,) = run(capture / "raw", capture / "live").folders
    chosen = load_settings(write_settings(tmp_path, keys=KEYS))
    found = Reconstructor(DataStore(chosen.data_root), chosen).follow(
        KEYS[0].instrument, folder, tmp_path / "books", lambda: False
    )
    assert (found.messages, found.counts.get("late_snapshot", 0)) == (120, 0)
    rows = [row for part in LogReader(tmp_path / "books" / "books").read() for row in part.batch.to_pylist()]
    assert [row["bid_0_size_pips"] for row in rows] == [number * 10**8 for number in range(1, 121)]
    assert all(row["flags"] & BookFlag.SEEDED and row["ask_0_price_pips"] == 9 * 10**8 for row in rows)


def test_another_log_is_refused(tmp_path: Path) -> None:
    """A log of something else is named; one without a row is waited for."""
    schema = pa.schema([("a", pa.int64())])
    with LogWriter(tmp_path / "other", schema) as writer:
        writer.append(pa.record_batch([[1]], schema=schema))
    with pytest.raises(LogSchemaError, match="raw log of a capture"):
        run(tmp_path / "other", tmp_path / "live")
    (tmp_path / "raw").mkdir()
    assert run(tmp_path / "raw", tmp_path / "live").next_row == 0
