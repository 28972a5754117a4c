"""The capture is killed at any instant, again and again: what it had appended is there, and a gap says the rest."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.capture_account import account, read_archive
from order_book_platform.capture import LiveCapture
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import LogReader
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys
from order_book_platform_tests.capture.served import SYMBOLS, served

KILLS = int(os.environ.get("CAPTURE_KILLS", "5"))
"""Kills of each test; 50 of both make the 100 of a nightly run."""
CHILD = [sys.executable, "-m", "order_book_platform_tests.capture.recording_child"]


def killed_after(lines: int, arguments: list[str]) -> dict[str, list[str]]:
    """Let a child record until it has said so many lines and kill it; returns the last line of each kind."""
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
                child.kill()
    assert "opened" in said
    return said


def open_connections(rows: list[dict[str, Any]]) -> set[int]:
    """Connections without an end in the rows of a log."""
    found: set[int] = set()
    for row in rows:
        if row["kind"] == "connect":
            found.add(row["connection"])
        elif row["kind"] == "close":
            found.discard(row["connection"])
        elif row["kind"] == "gap" and '"killed"' in row["detail"]:
            found = set()
    return found


@pytest.mark.parametrize("cut", [False, True], ids=["process", "machine"])
def test_killed_at_any_instant(cut: bool, tmp_path: Path) -> None:
    """No appended row is lost; with all that was not synced cut off, as a machine's death may, no synced one."""
    rng = random.Random(7)
    MasterKeys.new("new keys").save(tmp_path / "keys.json")
    keys = load_master_keys(tmp_path / "keys.json")
    log = tmp_path / "captures" / "usdm" / "raw"
    starts: list[int] = []
    lost_ns: list[int] = []
    with served("usdm", "") as (exchange, addresses):
        arguments = [str(tmp_path / "captures"), "usdm", ",".join(SYMBOLS["usdm"])]
        arguments += [addresses["ws_url"], addresses["rest_url"], str(tmp_path / "keys.json")]
        kept = 0
        for _ in range(KILLS + 1):
            said = killed_after(rng.randrange(1, 200), arguments)
            starts.append(int(said["opened"][0]))
            assert starts[-1] >= kept
            kept = max(starts[-1], int(said.get("appended", ["0"])[0]))
            if cut and "synced" in said:
                row, size, name = said["synced"]
                kept = int(row)
                before = last_times(log, keys)
                if (log / name).exists():
                    os.truncate(log / name, int(size))
                lost_ns.append(before - last_times(log, keys))
        LiveCapture(  # records the gap behind the last kill
            CaptureSettings(clock_source="none", segment=1_000_000),
            tmp_path / "captures",
            MARKETS["usdm"],
            SYMBOLS["usdm"],
            **addresses,
            keys=keys,
        ).run(lambda: True)
        ledger = exchange.ledger.table()
    rows = [row for each in LogReader(log, keys).read() for row in each.batch.to_pylist()]
    assert len(rows) >= kept
    for start in starts[1:]:
        if start < len(rows) and open_connections(rows[:start]):
            assert (rows[start]["kind"], '"killed"' in rows[start]["detail"]) == ("gap", True)
    found = account(ledger, read_archive(log, keys))
    assert found.unreported == []
    assert found.archived > 0
    assert found.gaps["killed"] > 0
    assert max(lost_ns, default=0) < 1_000_000_000


def last_times(log: Path, keys: MasterKeys | None) -> int:
    """Monotonic time of the last row that can be read, ns."""
    last = 0
    for each in LogReader(log, keys).read():
        last = each.batch["monotonic_time"][-1].as_py()
    return last
