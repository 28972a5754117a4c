"""A capture under load: what it loses, how long a message takes to be durable, and how much of a core that costs.

The local exchange and the capture are two processes, joined by TLS; the log is encrypted. The exchange sends level
changes, tickers and trades of eight symbols in the recorded mix, and keeps a ledger. Afterwards the ledger is held
against the log: each message is there, or inside a reported gap. Beside the capture this process appends 32 kB to a
file on the same disk and syncs it ten times a second: the bare fsync. A run without encryption follows one with it,
with `--pairs` again and again: what encryption costs is the median over pairs of the CPU time for a message.

`--stall` lets every fsync of the capture hang for 10 s in the middle (`benchmarks.capture_worker`): the buffer fills.

Run: `obp bench capture [--json] [--seconds N] [--rate N] [--pairs N] [--stall]`, or `python -m benchmarks.capture …`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.capture_account import Account, account, read_archive
from benchmarks.capture_worker import PERCENTILES, RECORDING
from benchmarks.exchange import RATE, SYMBOLS, simulated_exchange
from benchmarks.report import OURS, ROOT, Report, arguments, run
from order_book_platform.errors import BenchmarkError
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys

SECONDS = 300.0
SETTLE_S = 5.0
"""Seconds from the first message on before CPU and memory count: other connections open."""
START_S = 120.0
"""Seconds within which the capture has its first message."""
STALL_S = 10.0
BARE_BYTES = 32_768
BARE_EVERY_S = 0.1
SEGMENTS = 3
"""Segments that are sealed during a run at least; they are made small enough for it."""
BYTES_PER_CHANGE = 80
"""Bytes of a raw log for each level change, tickers and trades included, by the recorded mix."""
WORKER = [sys.executable, "-m", "benchmarks.capture_worker"]


@dataclass(slots=True)
class Measured:
    """Figures of one run.

    Attributes:
        worker: what the capture printed about itself.
        cores: cores that it used.
        memory_bytes: its resident memory, every second.
        bare_ns: times of the bare fsync beside it.
        sealed: segments that it sealed.
        account: what became of everything that was sent.
    """

    worker: dict[str, Any] = field(default_factory=dict)
    cores: float = 0.0
    memory_bytes: list[int] = field(default_factory=list)
    bare_ns: list[int] = field(default_factory=list)
    sealed: int = 0
    account: Account = field(default_factory=Account)

    @property
    def cpu_us(self) -> float:
        """CPU time for each message, µs; runs differ in how many messages the exchange came to send."""
        return float(self.cores * 1e6 * self.worker["running_s"] / self.worker["messages"])


def main() -> None:
    """Measure and print."""
    parser = arguments("capture", (__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=RATE, help="level changes a second")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time that is counted")
    parser.add_argument("--stall", action="store_true", help="let the disk hang for 10 s in the middle")
    parser.add_argument("--pairs", type=int, default=1, help="runs with and without encryption, in turn")
    chosen = parser.parse_args()
    if chosen.rate < 1 or chosen.seconds <= 0 or chosen.pairs < 1:
        parser.error("--rate, --seconds and --pairs have to be positive")
    report = Report("capture")
    work = f"{chosen.rate:,} level changes/s ordered for {chosen.seconds:g} s, 8 symbols, TLS"
    if chosen.stall:
        work += f", the disk hangs for {STALL_S:g} s"
    plain = f"{OURS} without encryption"
    runs: dict[str, list[Measured]] = {OURS: [], plain: []}
    for _ in range(chosen.pairs):
        for name, found in runs.items():
            found.append(measured(chosen.rate, chosen.seconds, encrypted=name == OURS, stall=chosen.stall))
    for name, found in runs.items():
        add_results(report, name, work, found)
    costs_us = [[each.cpu_us for each in found] for found in runs.values()]
    cost = report.ratio(OURS, plain, f"CPU a message, {work}", *costs_us)
    add_bars(report, runs[OURS], stall=chosen.stall)
    report.bar("CPU a message, with encryption over without", 1.10, cost, at_most=True)
    report.show(as_json=chosen.json)


def add_results(report: Report, name: str, work: str, runs: list[Measured]) -> None:
    """Add the figures of the runs of one system."""
    figures: dict[tuple[str, str], list[float]] = {}
    for found in runs:
        for metric, unit, value in _figures(found):
            figures.setdefault((metric, unit), []).append(float(value))
    for (metric, unit), values in figures.items():
        report.add(name, work, metric, unit, values)


def _figures(found: Measured) -> Iterator[tuple[str, str, float]]:
    """Give metric, unit and value of each figure of a run."""
    worker, counted = found.worker, found.account
    durable = [*worker["durable_ns"], worker["durable_max_ns"]]
    bare = [*np.percentile(found.bare_ns, PERCENTILES), max(found.bare_ns)]
    names = [*(f"P{p:g}" for p in PERCENTILES), "maximum"]
    yield from (
        ("messages", "1/s", worker["messages"] / worker["running_s"]),
        ("messages sent", "", counted.sent),
        ("messages archived", "", counted.archived),
        ("messages inside reported gaps", "", counted.in_gaps),
        ("messages unreported", "", len(counted.unreported)),
        ("gaps", "", sum(counted.gaps.values())),
        ("segments sealed", "", found.sealed),
        *((f"arrival to durable, {p}", "ms", ns / 1e6) for p, ns in zip(names, durable, strict=True)),
        *((f"bare fsync, {p}", "ms", ns / 1e6) for p, ns in zip(names, bare, strict=True)),
        ("CPU", "cores", found.cores),
        ("CPU a message", "µs", found.cpu_us),
        ("resident memory, greatest", "MB", max(found.memory_bytes) / 1e6),
        ("resident memory, growth", "", growth(found.memory_bytes)),
        ("buffer, fullest", "MB", worker["fullest_bytes"] / 1e6),
    )


def add_bars(report: Report, runs: list[Measured], *, stall: bool) -> None:
    """Hold the worst of the encrypted runs against what is asked for; latencies count where the disk does not hang."""
    most: dict[str, tuple[float, Sequence[float]]] = {
        "messages unreported": (0, [len(found.account.unreported) for found in runs]),
        "CPU of the capture, cores": (0.70, [found.cores for found in runs]),
        "resident memory, MB": (500.0, [max(found.memory_bytes) / 1e6 for found in runs]),
    }
    if not stall:
        percentiles_ms = [[ns / 1e6 for ns in found.worker["durable_ns"]] for found in runs]
        most |= {
            "arrival to durable, P95, ms": (20.0, [p95 for _, p95, _, _ in percentiles_ms]),
            "arrival to durable, P99, ms": (50.0, [p99 for _, _, p99, _ in percentiles_ms]),
            "messages inside reported gaps": (0, [found.account.in_gaps for found in runs]),
            "resident memory, last third over second": (
                1.10,
                [1 + growth(found.memory_bytes) for found in runs],
            ),
        }
    for what, (required, values) in most.items():
        report.bar(what, required, max(values), at_most=True)
    report.bar("segments sealed", SEGMENTS, min(found.sealed for found in runs))


def growth(memory_bytes: list[int]) -> float:
    """By what share the median of the last third is above that of the second."""
    third = max(len(memory_bytes) // 3, 1)
    second, last = memory_bytes[third : 2 * third] or memory_bytes, memory_bytes[-third:]
    return float(np.median(last) / np.median(second)) - 1


def measured(rate: int, seconds: float, *, encrypted: bool, stall: bool) -> Measured:
    """Run exchange and capture side by side, then hold the ledger against the log."""
    with tempfile.TemporaryDirectory(prefix="obp-bench-", dir=os.environ.get("OBP_BENCH_DIR")) as name:
        folder = Path(name)
        keys = None
        if encrypted:
            MasterKeys.new("new keys").save(folder / "keys.json")
            keys = folder / "keys.json"
        ledger = folder / "sent.parquet"
        with simulated_exchange(rate, ledger) as (addresses, _):
            command = _worker(addresses, folder, rate * seconds, keys)
            if stall:
                command += ["--stall", str(SETTLE_S + seconds / 2), str(STALL_S)]
            found = _watched(command, folder, seconds)
        log = Path(found.worker["folder"])
        found.sealed = sum(1 for _ in log.glob("*.parquet"))
        found.account = account(pq.read_table(ledger), read_archive(log, load_master_keys(keys)))
        return found


def _worker(addresses: dict[str, Any], folder: Path, changes: float, keys: Path | None) -> list[str]:
    market = addresses["markets"]["usdm"]
    segment = int(min(max(changes * BYTES_PER_CHANGE / (2 * SEGMENTS), 1_000_000), 100_000_000))
    command = [*WORKER, "--root", str(folder / "captures"), "--symbols", SYMBOLS, "--segment", str(segment)]
    command += ["--ws-url", market["websocket"], "--rest-url", market["rest"]]
    command += ["--ca-file", addresses["certificate"]]
    return command + (["--key-file", str(keys)] if keys else [])


def _watched(command: list[str], folder: Path, seconds: float) -> Measured:
    """Run the capture for some seconds from its first message on; sync a file of our own beside it meanwhile."""
    found = Measured()
    capture = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    process = psutil.Process(capture.pid)
    try:
        _wait_for_recording(capture)
        time.sleep(SETTLE_S)
        begun, cpu_s = time.monotonic(), sum(process.cpu_times()[:2])
        with (folder / "bare").open("wb", buffering=0) as bare:
            while time.monotonic() - begun < seconds and capture.poll() is None:
                bare.write(b"\0" * BARE_BYTES)
                at_ns = time.monotonic_ns()
                os.fsync(bare.fileno())
                found.bare_ns.append(time.monotonic_ns() - at_ns)
                if len(found.bare_ns) % round(1 / BARE_EVERY_S) == 1:
                    found.memory_bytes.append(process.memory_info().rss)
                time.sleep(BARE_EVERY_S)
        if capture.poll() is None:
            found.cores = (sum(process.cpu_times()[:2]) - cpu_s) / (time.monotonic() - begun)
        output, _ = capture.communicate()
    finally:
        if capture.poll() is None:
            capture.kill()
            capture.communicate()
    if capture.returncode:
        raise BenchmarkError(
            expected="a capture that records until it is told to stop",
            found=f"exit code {capture.returncode}",
            where="benchmarks.capture_worker",
            remedy="Its own error is above.",
        )
    found.worker = json.loads(output)
    return found


def _wait_for_recording(capture: subprocess.Popen[str]) -> None:
    """Wait until the capture says that messages arrive, or has ended; a silent one is an error."""
    assert capture.stdout is not None
    if not select.select([capture.stdout], [], [], START_S)[0]:
        raise BenchmarkError(
            expected=f"the capture's first message within {START_S:g} s",
            found="none",
            where="benchmarks.capture_worker",
            remedy="See whether the exchange serves, and whether the machine is too busy to start a process.",
        )
    line = capture.stdout.readline()
    if line and line.strip() != RECORDING:
        raise BenchmarkError(
            expected=f"the line {RECORDING!r} before anything else",
            found=repr(line[:80]),
            where="benchmarks.capture_worker",
            remedy="Run it by hand to see what it prints.",
        )


if __name__ == "__main__":
    sys.exit(run(main))
