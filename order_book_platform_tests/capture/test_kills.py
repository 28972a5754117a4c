"""The capture is killed at any instant, again and again: what it had appended is there, and a gap says the rest."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.capture_account import Archive, Covered, account, read_archive
from order_book_platform.capture import LiveCapture
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.depth_merge import DepthGap
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform.storage import LogReader
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys
from order_book_platform_tests.capture.recording_child import Witness
from order_book_platform_tests.capture.served import SYMBOLS, served

LOG = logging.getLogger(__name__)
KILLS = int(os.environ.get("CAPTURE_KILLS", "5"))
"""Kills of each test; 50 of both make the 100 of a nightly run."""
RATE = 8_000
"""Level changes a second for each symbol: a segment of 1 MB is full within a second, and is sealed meanwhile."""
CHILD = [sys.executable, "-m", "order_book_platform_tests.capture.recording_child"]
MOST_LOST_NS = 100_000_000
"""Time between the newest arrival that a machine's death may take with it and the last one that is durable."""
SLOW_SYNC_NS = 40_000_000
"""A sync that takes longer is slow. What is lost waited for two syncs at most, the last complete one and the one that
was under way; the other 20 ms are for building both frames and for the pause between them. Only what a sync took beyond
this is not held against the capture."""


class Loss(NamedTuple):
    """What one cut at the last sync took.

    Attributes:
        after_ns: arrival of the last durable row.
        newest_ns: newest message that had arrived.
        lost_ns: time that is lost: from the last durable arrival, or from the first one of the process.
        slow_ns: time that two syncs had taken beyond `SLOW_SYNC_NS` each.
    """

    after_ns: int
    newest_ns: int
    lost_ns: int
    slow_ns: int


def killed_after(lines: int, wait_s: float, arguments: list[str]) -> tuple[dict[str, list[str]], int]:
    """Let a child record until it has said so many lines, and kill it so many seconds later.

    Returns:
        The last line of each kind, and the monotonic time of the kill.
    """
    said: dict[str, list[str]] = {}
    with subprocess.Popen(
        [*CHILD, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            if line.endswith("\n"):
                kind, *words = line.split()
                said[kind] = words
            if number == lines:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(wait_s)  # so that it falls anywhere between two syncs, not right behind one
                killed_ns = time.monotonic_ns()
                child.kill()
    assert "opened" in said
    return said, killed_ns


def cut(log: Path, size: int, name: str) -> None:
    """Cut off everything behind the last sync, as a machine's death may: of a log, or of the open segments of one."""
    for path in log.glob("*.log"):
        if path.name == name and size:
            os.truncate(path, size)
        elif path.name >= name:
            path.unlink()


def loss(witness: Witness, killed_ns: int, after_ns: int) -> Loss:
    """Compute what a cut took behind the last durable arrival."""
    syncing_ns = killed_ns - witness.syncing_ns if witness.syncing_ns else 0
    slow_ns = sum(max(0, took_ns - SLOW_SYNC_NS) for took_ns in (witness.synced_ns, syncing_ns))
    lost_ns = max(0, witness.newest_ns - max(after_ns, witness.first_ns))
    return Loss(after_ns, witness.newest_ns, lost_ns, slow_ns)


@pytest.mark.parametrize("machine", [False, True], ids=["process", "machine"])
def test_killed_at_any_instant(machine: bool, tmp_path: Path) -> None:
    """No appended row is lost; a machine's death takes all that was not synced, 100 ms at most, and a gap says so."""
    rng = random.Random(7)
    MasterKeys.new("new keys").save(tmp_path / "keys.json")
    keys = load_master_keys(tmp_path / "keys.json")
    log = tmp_path / "captures" / "usdm" / "raw"
    witness = tmp_path / "witness"
    kept = 0
    losses: list[Loss] = []
    with served("usdm", "", changes_per_second=RATE) as (exchange, addresses):
        arguments = [str(tmp_path / "captures"), "usdm", ",".join(SYMBOLS["usdm"])]
        arguments += [addresses["ws_url"], addresses["rest_url"], str(tmp_path / "keys.json"), str(witness)]
        for _ in range(KILLS):
            witness.write_bytes(bytes(32))
            said, killed_ns = killed_after(rng.randrange(3, 300), rng.uniform(0, 0.5), arguments)
            assert int(said["opened"][0]) >= kept
            if machine:
                cut(log, int(said["synced"][0]), said["synced"][1])
            last_row, last_ns = end_of(log, keys)
            if machine:
                losses.append(loss(Witness.read(witness), killed_ns, last_ns))
                kept = last_row
            else:
                kept = max(kept, int(said.get("appended", ["0"])[0]))
                assert last_row >= kept
        record_to_the_end(tmp_path / "captures", addresses, keys)
        ledger = exchange.ledger.table()
    assert end_of(log, keys)[0] > kept
    archive = read_archive(log, keys)
    found = account(ledger, archive)
    assert found.unreported == []
    assert found.archived > 0
    gaps, killed = decoded_gaps(log, keys)
    assert killed
    assert missing_depth(ledger, archive, gaps) == []
    for each in losses:
        assert each.lost_ns <= MOST_LOST_NS + each.slow_ns
        assert killed.get(each.after_ns, 0) >= each.newest_ns or each.newest_ns <= each.after_ns
    if machine:
        slow_ns = [each.slow_ns for each in losses if each.slow_ns]
        LOG.info("lost, ms: %s", sorted(round(each.lost_ns / 1e6, 1) for each in losses))
        LOG.info("of it beyond a sync that is not slow, ms: %s", sorted(round(ns / 1e6, 1) for ns in slow_ns))


def record_to_the_end(root: Path, addresses: dict[str, Any], keys: MasterKeys | None) -> None:
    """Record once more and stop in order, so that the last loss has an end, too."""
    settings = CaptureSettings(clock_source="none", segment=1_000_000)
    capture = LiveCapture(settings, root, MARKETS["usdm"], SYMBOLS["usdm"], keys=keys, **addresses)
    capture.run(lambda: capture.metrics().messages > 500, duration_ns=60 * NS_PER_SECOND)


def end_of(log: Path, keys: MasterKeys | None) -> tuple[int, int]:
    """Number of rows that can be read, and monotonic time of the last one, ns; zeros without any."""
    row = last_ns = 0
    for each in LogReader(log, keys).read():
        row, last_ns = each.next_row, each.batch["monotonic_time"][-1].as_py()
    return row, last_ns


def decoded_gaps(log: Path, keys: MasterKeys | None) -> tuple[dict[str, list[DepthGap]], dict[int, int]]:
    """Decode a raw log.

    Returns:
        The holes of each symbol's depth stream, and of each `killed` gap the monotonic times of begin and end.
    """
    decoder = RawLogDecoder(MARKETS["usdm"])
    gaps: dict[str, list[DepthGap]] = {symbol: [] for symbol in SYMBOLS["usdm"]}
    times_ns: dict[int, int] = {}
    for piece in LogReader(log, keys).read():
        for rows in decoder.feed(piece.batch, piece.first_row):
            gaps[rows.numbering.symbol] += rows.gaps
        own = zip(
            range(piece.first_row, piece.next_row), piece.batch["monotonic_time"].to_pylist(), strict=True
        )
        times_ns |= dict(own)
    for rows in decoder.finish():
        gaps[rows.numbering.symbol] += rows.gaps
    killed = {
        detail["from_monotonic_ns"]: times_ns[row]
        for row, detail in decoder.recorder_gaps
        if detail["why"] == "killed"
    }
    return gaps, killed


def missing_depth(
    ledger: pa.Table, archive: Archive, gaps: dict[str, list[DepthGap]]
) -> list[tuple[str, int]]:
    """Depth messages that were sent, whose ids the log lacks between others, and that no decoded gap has."""
    found = []
    for symbol, holes in gaps.items():
        (stream,) = {name for _, name in archive.messages if name.startswith(f"{symbol.lower()}@depth")}
        spans = Covered(archive.of_stream(stream), []).spans
        sent = ledger.filter(pc.equal(ledger["stream"].cast(pa.string()), stream))
        numbers = np.unique(sent["final_update_id"].drop_null().to_numpy())
        place = np.searchsorted(spans[:, 1], numbers)
        between = (numbers > spans[0, 1]) & (numbers < spans[-1, 1])
        lost = between & (spans[np.minimum(place, len(spans) - 1), 0] >= numbers)
        in_holes = np.zeros(len(numbers), np.bool_)
        for hole in holes:
            in_holes |= (numbers > hole.after_id) & (numbers <= hole.before_id)
        found += [(stream, number) for number in numbers[lost & ~in_holes].tolist()]
    return found
