"""The local exchange under load: what it sends, how late, and how much of a core that takes.

`obp exchange` runs as a process of its own with simulated symbols, TLS and a ledger in a Parquet file. A plain client
of `websockets` in this process subscribes to depth, best prices and trades of every symbol and counts what arrives.
Delay is arrival minus the `E` of a message, on one clock; `E` has whole milliseconds.

Run: `obp bench exchange [--json] [--rate N] [--seconds S]`, or `python -m benchmarks.exchange …`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from websockets.asyncio.client import connect

from benchmarks.report import OURS, ROOT, Report, arguments, run
from order_book_platform.errors import BenchmarkError

RATE = 100_000
"""Level changes a second of all symbols together."""
SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,BNBUSDT,DOGEUSDT,ADAUSDT,LTCUSDT"
SETTLE_S = 3.0
"""Seconds before counting begins: the exchange starts, and what was due meanwhile is sent."""
SAMPLED = 50
"""One message in so many is timed."""
OBP = [sys.executable, "-c", "from order_book_platform.cli import main; main()"]
COMMAND = [*OBP, "exchange", "--json"]


@dataclass(slots=True)
class Received:
    """Counts of a client.

    Attributes:
        seconds: time that was counted.
        messages: messages.
        changes: level changes of depth messages.
        delays_ms: arrival − `E` of sampled messages.
        cores: cores that the exchange used.
        memory_bytes: resident memory of the exchange at the end.
    """

    seconds: float = 0.0
    messages: int = 0
    changes: int = 0
    delays_ms: list[float] = field(default_factory=list)
    cores: float = 0.0
    memory_bytes: int = 0


def main() -> None:
    """Measure and print."""
    parser = arguments("exchange", (__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=RATE, help="level changes a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="time that is counted")
    chosen = parser.parse_args()
    if chosen.rate < 1 or chosen.seconds <= 0:
        parser.error("--rate and --seconds have to be positive")
    found = measured(chosen.rate, chosen.seconds)
    report = Report("exchange")
    work = f"{chosen.rate:,} level changes/s ordered, 8 symbols, TLS, ledger"
    for metric, unit, value in (
        ("level changes", "1/s", found.changes / found.seconds),
        ("messages", "1/s", found.messages / found.seconds),
        ("CPU", "cores", found.cores),
        ("resident memory", "MB", found.memory_bytes / 1e6),
        *((f"delay P{p}", "ms", float(np.percentile(found.delays_ms, p))) for p in (50, 95, 99)),
    ):
        report.add(OURS, work, metric, unit, [value])
    report.bar("level changes a second of those ordered", 0.95, found.changes / found.seconds / chosen.rate)
    report.bar("cores", 1.0, found.cores, at_most=True)
    report.show(as_json=chosen.json)


def measured(rate: int, seconds: float) -> Received:
    """Run the exchange, and count for some seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="obp-bench-") as folder,
        simulated_exchange(rate, Path(folder) / "sent.parquet") as (addresses, process),
    ):
        return asyncio.run(_received(addresses, psutil.Process(process.pid), seconds))


@contextmanager
def simulated_exchange(
    rate: int, ledger: Path, symbols: str = SYMBOLS, faults: str = ""
) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """Run `obp exchange` with simulated symbols and TLS; it is stopped, and its ledger complete, after the block.

    Args:
        rate: level changes a second of all symbols together.
        ledger: the Parquet file that takes down what was sent.
        symbols: symbols of USD-M, with commas between.
        faults: faults to order.

    Yields:
        The addresses that the exchange printed, and its process.

    Raises:
        BenchmarkError: it ended before it served.
    """
    command = [*COMMAND, "--simulate", f"usdm:{symbols}", "--rate", str(rate), "--tls"]
    command += ["--ledger", str(ledger), "--fault", faults]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkError(
                expected="an exchange that serves",
                found=f"exit code {process.wait()}",
                where="obp exchange",
                remedy="Run it by hand to see why.",
            )
        yield json.loads(line), process
    finally:
        process.terminate()
        process.communicate()


async def _received(addresses: dict[str, Any], process: psutil.Process, seconds: float) -> Received:
    base = addresses["markets"]["usdm"]["websocket"]
    kinds = ("depth@100ms", "bookTicker", "trade")
    streams = "/".join(f"{symbol.lower()}@{kind}" for symbol in SYMBOLS.split(",") for kind in kinds)
    context = ssl.create_default_context(cafile=addresses["certificate"])
    url = f"{base}/public/stream?streams={streams}"
    found = Received()
    async with connect(url, ssl=context, compression=None, max_queue=None) as client:
        begun = time.monotonic()
        while time.monotonic() - begun < SETTLE_S:
            await client.recv()
        begun, cpu_s = time.monotonic(), sum(process.cpu_times()[:2])
        while found.seconds < seconds:
            text = await client.recv()
            assert isinstance(text, str)
            found.messages += 1
            if "@depth" in text[:30]:
                found.changes += text.count('["')
            if found.messages % SAMPLED == 0:
                start = text.index('"E":') + 4
                found.delays_ms.append(time.time() * 1000 - int(text[start : start + 13]))
                found.seconds = time.monotonic() - begun
    found.cores = (sum(process.cpu_times()[:2]) - cpu_s) / found.seconds
    found.memory_bytes = process.memory_info().rss
    return found


if __name__ == "__main__":
    sys.exit(run(main))
