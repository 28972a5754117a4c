"""A capture for half an hour, disconnected every minute: does anything grow, and is a message lost without a word?

`obp exchange` sends level changes, tickers and trades of four symbols over TLS and breaks every connection that is a
minute old. `obp capture` records them with encryption, in a process of its own that notes once a second what it holds
(`benchmarks.soak_process`); its metrics are fetched every 15 s. What grows is told by a straight line through the
samples behind a warm-up: how much it rises from the first of them to the last. Afterwards the exchange's ledger is held
against the log.

Run: `obp bench soak [--json] [--minutes N] [--rate N]`, or `python -m benchmarks.soak …`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.capture_account import Account, Archive, account, read_archive
from benchmarks.exchange import OBP, simulated_exchange
from benchmarks.report import OURS, ROOT, Report, arguments, run
from order_book_platform.errors import BenchmarkError
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys

RATE = 7_000
"""Level changes a second of all symbols together; with tickers and trades some 1,500 messages."""
SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT"
MINUTES = 30.0
BREAK_EVERY_S = 60
SCRAPE_EVERY_S = 15.0
WARM_UP = 1 / 6
"""Share of the time that does not count: caches fill, the first segments are sealed, the allocator settles."""
SEGMENT_BYTES = 16_000_000
"""Size at which a segment is sealed: one in half a minute, so that what sealing leaves behind adds up, too."""
GROWTH = 0.02
"""By what share of its median something may rise in the time that counts."""
PROGRAM = [sys.executable, "-m", "benchmarks.soak_process"]


@dataclass(slots=True)
class Soaked:
    """Figures of one run.

    Attributes:
        samples: what the capture held, by name, one value a second.
        breaks: connections that the exchange broke.
        account: what became of everything that was sent.
    """

    samples: dict[str, np.ndarray]
    breaks: int
    account: Account

    def growth(self, name: str) -> tuple[float, float]:
        """Fit a straight line through the samples behind the warm-up.

        Returns:
            Their median, and by how much the line rises from the first of them to the last.
        """
        times_s, values = self.samples["time_s"], self.samples[name]
        counts = times_s >= times_s[0] + WARM_UP * np.ptp(times_s)
        times_s, values = times_s[counts], values[counts]
        slope = np.polynomial.Polynomial.fit(times_s, values, 1).convert().coef[-1]
        return float(np.median(values)), float(slope * np.ptp(times_s))


def main() -> None:
    """Measure and print."""
    parser = arguments("soak", (__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=RATE, help="level changes a second")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length of the run")
    chosen = parser.parse_args()
    if chosen.rate < 1 or chosen.minutes <= 0:
        parser.error("--rate and --minutes have to be positive")
    report = Report("soak")
    work = f"{chosen.rate:,} level changes/s, 4 symbols, TLS, encryption, {chosen.minutes:g} min, a break a minute"
    add_figures(report, work, soaked(chosen.rate, chosen.minutes * 60))
    report.show(as_json=chosen.json)


def add_figures(report: Report, work: str, found: Soaked) -> None:
    """Add the figures, and hold them against what is asked for."""
    counted, samples = found.account, found.samples
    for metric, unit, value in (
        ("messages", "1/s", samples["messages"][-1] / np.ptp(samples["time_s"])),
        ("connections broken", "", found.breaks),
        ("messages sent", "", counted.sent),
        ("messages archived", "", counted.archived),
        ("messages inside reported gaps", "", counted.in_gaps),
        ("messages unreported", "", len(counted.unreported)),
        ("gaps", "", sum(counted.gaps.values())),
        ("resident memory, greatest", "MB", float(np.max(samples["memory_bytes"])) / 1e6),
    ):
        report.add(OURS, work, metric, unit, [float(value)])
    report.bar("messages unreported", 0, len(counted.unreported), at_most=True)
    for name, what, unit, scale in (
        ("memory_bytes", "resident memory", "MB", 1e6),
        ("blocks", "blocks of Python's memory", "", 1),
        ("descriptors", "descriptors", "", 1),
        ("tasks", "tasks", "", 1),
        ("threads", "threads", "", 1),
    ):
        median, rise = found.growth(name)
        report.add(OURS, work, f"{what}, median", unit, [median / scale])
        report.add(OURS, work, f"{what}, rise of the line", unit, [rise / scale])
        report.bar(f"{what}, rise of the line by the median", GROWTH, rise / max(median, 1), at_most=True)


def soaked(rate: int, seconds: float) -> Soaked:
    """Run exchange and capture side by side, then hold the ledger against the log."""
    with tempfile.TemporaryDirectory(prefix="obp-bench-", dir=os.environ.get("OBP_BENCH_DIR")) as name:
        folder = Path(name)
        ledger, noted, port = folder / "sent.parquet", folder / "samples.jsonl", _free_port()
        with (
            simulated_exchange(rate, ledger, SYMBOLS, f"disconnect~{BREAK_EVERY_S}s") as (addresses, _),
            recording(
                folder,
                addresses["markets"]["usdm"],
                addresses["certificate"],
                ["--symbols", SYMBOLS, "--metrics-port", str(port)],
                program=[*PROGRAM, str(noted)],
                segment=str(SEGMENT_BYTES),
            ) as capture,
        ):
            _scrape(capture, port, time.monotonic() + seconds)
        rows = [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]
        sent = pq.read_table(ledger)
        broken = pc.and_(
            pc.equal(sent["kind"].cast("string"), "close"),
            pc.equal(sent["stream"].cast("string"), "disconnect"),
        )
        return Soaked(
            {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]},
            sent.filter(broken).num_rows,
            account(sent, recorded(folder)),
        )


@contextmanager
def recording(
    folder: Path,
    market: dict[str, Any],
    certificate: str,
    options: list[str],
    program: list[str] = OBP,
    **settings: str,
) -> Iterator[subprocess.Popen[str]]:
    """Run `obp capture` of USD-M with encryption in a process of its own; it is told to stop at the end.

    Args:
        folder: where its keys and captures are.
        market: addresses of the exchange, as it prints them.
        certificate: file of the certificate to trust.
        options: more options of the command.
        program: what is run with the command's name and options.
        settings: settings of the section `capture`.

    Raises:
        BenchmarkError: it failed.
    """
    MasterKeys.new("new keys").save(folder / "keys.json")
    command = [*program, "capture", "--market", "usdm", "--ca-file", certificate]
    command += ["--ws-url", market["websocket"], "--rest-url", market["rest"], *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OBP_")}
    environment |= {
        "OBP_LAKE_ROOT": str(folder / "lake"),
        "OBP_DATA_ROOT": str(folder / "data"),
        "OBP_CAPTURE_ROOT": str(folder / "captures"),
        "OBP_FIRST_DAY": "2024-01-01",
        "OBP_INSTRUMENTS": '[{"symbol": "BINANCE_FUTURES:BTC-USDT-PERP"}]',
    }
    capture = {"key_file": str(folder / "keys.json"), "clock_source": "none", **settings}
    environment |= {f"OBP_CAPTURE__{name.upper()}": value for name, value in capture.items()}
    with (folder / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, text=True, cwd=ROOT, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
        if process.returncode:
            said.seek(0)
            raise BenchmarkError(
                expected="a capture that records until it is told to stop",
                found=f"exit code {process.returncode}: {' '.join(said.read().split())[-500:]}",
                where="obp capture",
                remedy="Its own error is in the text.",
            )


def recorded(folder: Path) -> Archive:
    """Read what `recording` has recorded."""
    return read_archive(folder / "captures" / "usdm" / "raw", load_master_keys(folder / "keys.json"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _scrape(process: subprocess.Popen[str], port: int, until_s: float) -> None:
    """Fetch the metrics every 15 s, until a monotonic time or until the process has ended."""
    next_s = time.monotonic() + SCRAPE_EVERY_S
    while process.poll() is None and time.monotonic() < until_s:
        if time.monotonic() >= next_s:
            next_s += SCRAPE_EVERY_S
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                answer.read()
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(run(main))
