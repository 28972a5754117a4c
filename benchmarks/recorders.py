"""A capture beside cryptofeed: which messages does each have, and which losses does it tell of?

Both record depth and tickers of three symbols from one local exchange over TLS, each in a process of its own, under the
same schedule: every connection that is open at a moment gets the same fault. A connection to the exchange that
nobody disturbs makes its ledger a list of all that was published. Against this list are held: our raw log;
cryptofeed's raw files; and what its callbacks of book deltas and tickers were given.

A message is reported as lost where a recorder tells that something may be missing between the messages around it: by
a `gap` row; in cryptofeed's records by a new book, or by a line of its log within a second, whatever it says.

Run: `obp bench recorders [--json] [--rounds N]`, or `python -m benchmarks.recorders …`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import peers
from benchmarks.capture_account import HEAD, Archive, Gap, account
from benchmarks.peers_cryptofeed import LINES, RAW
from benchmarks.report import OURS, ROOT, Report, arguments, run
from benchmarks.soak import recorded, recording
from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.errors import BenchmarkError
from order_book_platform.exchange import (
    ExchangeOptions,
    ExchangeServer,
    LocalExchange,
    SimulatedFeed,
    parse_faults,
    venue,
)
from order_book_platform.exchange.market_data_connection import MarketDataConnection
from order_book_platform.exchange.shell.self_signed_certificate import server_context, write_certificate

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CHANGES_PER_SECOND = 1_500
"""Level changes of each symbol."""
STREAMS = [f"{symbol.lower()}@{kind}" for symbol in SYMBOLS for kind in ("depth@100ms", "bookTicker")]
KINDS = ("depth", "bookTicker")
ROUNDS = 4
ROUND_S = 90.0
SCHEDULE = (
    (0.05, "disconnect@1"),
    (0.15, "drop@1:depth"),
    (0.20, "duplicate@1:depth,duplicate@1:bookTicker"),
    (0.25, "reorder@1:depth,reorder@1:bookTicker"),
    (0.30, "drop@1+2+3:depth"),
    (0.40, "silence@1:ethusdt@bookTicker"),
    (0.50, "silence@1:btcusdt@depth"),
)
"""When in a round, as a share of it, every open connection gets faults, counted from its next message on."""
START_WITHIN_S = 60.0
SETTLE_S = 5.0
"""Seconds that both record before the schedule begins, and after its end."""
NOTICE_NS = NS_PER_SECOND
RAW_LINE = re.compile(r"(?P<time>\d+\.\d+): (?P<text>\{.*\})")
RAW_CONNECT = re.compile(r"wss://.* <-> (?P<time>\d+\.\d+)")
CRYPTOFEED = ("cryptofeed, raw data collection", "cryptofeed, callbacks")


@dataclass(slots=True)
class Recorded:
    """What came of one run.

    Attributes:
        opened: row of the ledger about the connection that nobody disturbed, number 1.
        published: rows about all messages on it while every recorder recorded.
        archives: what each recorder has, by its name.
    """

    opened: pa.Table
    published: pa.Table
    archives: dict[str, Archive] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    parser = arguments("recorders", (__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times that the schedule is gone through")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds has to be positive")
    report = Report("recorders")
    work = f"{chosen.rounds} rounds of {ROUND_S:g} s, {len(SYMBOLS)} symbols of USD-M, TLS"
    missing = _missing(report)
    found = measured(chosen.rounds, beside=not missing)
    for name in (OURS, *CRYPTOFEED):
        if name in found.archives:
            add_figures(report, work, name, found)
        else:
            report.missing(name, work, "messages kept", "", missing)
    report.show(as_json=chosen.json)


def _missing(report: Report) -> str:
    """Add cryptofeed's version; gives what to do where it is not installed."""
    code = "from importlib import metadata; print(metadata.version('cryptofeed'))"
    python = peers.PYTHON if peers.PYTHON.exists() else Path(sys.executable)
    done = subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)
    if not done.returncode:
        report.versions["cryptofeed"] = done.stdout.strip()
    return f"cryptofeed is not installed; {peers.REMEDY}" if done.returncode else ""


def add_figures(report: Report, work: str, name: str, found: Recorded) -> None:
    """Count what a recorder has of everything that was published while all of them recorded."""
    unreported = 0
    for kind in KINDS:
        streams = found.published["stream"].cast(pa.string())
        of_kind = found.published.filter(pc.match_substring(streams, f"@{kind}"))
        result = account(pa.concat_tables([found.opened, of_kind]), found.archives[name])
        for metric, value in (
            ("published", result.sent),
            ("kept", result.archived),
            ("lost", result.sent - result.archived),
            ("lost and reported", result.in_gaps),
            ("lost and unreported", len(result.unreported)),
        ):
            report.add(name, work, f"{kind} messages {metric}", "", [float(value)])
        unreported += len(result.unreported)
    if name == OURS:
        report.bar("messages lost and unreported, ours", 0, unreported, at_most=True)


def measured(rounds: int, *, beside: bool) -> Recorded:
    """Let both record, or ours alone, and read what they have."""
    with tempfile.TemporaryDirectory(prefix="obp-bench-", dir=os.environ.get("OBP_BENCH_DIR")) as name:
        folder = Path(name)
        ledger, begin_ns, end_ns = asyncio.run(_record(rounds, folder, beside))
        own = ledger.filter(pc.equal(ledger["connection"], 1))
        kinds, times_ns = own["kind"].cast(pa.string()), own["time_ns"]
        is_counted = pc.and_(pc.greater_equal(times_ns, begin_ns), pc.less(times_ns, end_ns))
        found = Recorded(
            own.filter(pc.equal(kinds, "open")), own.filter(pc.and_(pc.equal(kinds, "message"), is_counted))
        )
        found.archives[OURS] = recorded(folder)
        if beside:
            found.archives |= dict(
                zip(CRYPTOFEED, (read_raw_files(folder), read_callbacks(folder)), strict=True)
            )
        for archive in found.archives.values():
            _join_connections(archive)
        return found


def _join_connections(archive: Archive) -> None:
    """Make the messages of all connections one connection's, that of the list."""
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for (_, stream), messages in archive.messages.items():
        parts[stream].append(messages)
    archive.messages = {(1, stream): np.concatenate(each) for stream, each in parts.items()}
    archive.opened_ns = {1: 1 << 62}


async def _record(rounds: int, folder: Path, beside: bool) -> tuple[pa.Table, int, int]:
    """Serve, and let the recorders go through the schedule; gives the ledger and both ends of the schedule, ns."""
    clock = Clock()
    feeds = [SimulatedFeed(symbol, venue("usdm"), CHANGES_PER_SECOND) for symbol in SYMBOLS]
    exchange = LocalExchange({"usdm": feeds}, ExchangeOptions(), clock.now_ns())
    everything = exchange.markets["usdm"].connect(
        "/public/stream", "streams=" + "/".join(STREAMS), clock.now_ns()
    )
    assert isinstance(everything, MarketDataConnection)
    certificate, key = write_certificate(folder / "tls", clock.now_ns())
    async with ExchangeServer(exchange, tls=server_context(certificate, key)) as server:
        market = {"websocket": server.websocket_url("usdm"), "rest": server.rest_url("usdm")}
        options = ["--symbols", ",".join(SYMBOLS)]
        streams = json.dumps(KINDS)
        with ExitStack() as stack:
            ours = recording(folder, market, str(certificate), options, streams=streams)
            processes = [stack.enter_context(ours)]
            if beside:
                processes.append(stack.enter_context(_cryptofeed(folder, market, certificate)))
            reading = asyncio.create_task(_read(everything))
            await _connected(exchange, processes)
            begin_ns = clock.now_ns()
            await _disturbed(exchange, rounds, clock)
            end_ns = clock.now_ns()
            await asyncio.sleep(SETTLE_S)
            for process in processes:  # the exchange has to answer while they close their connections
                process.terminate()
                await asyncio.to_thread(process.wait)
            reading.cancel()
    return exchange.ledger.table(), begin_ns, end_ns


async def _read(connection: MarketDataConnection) -> None:
    """Take away what a connection without a socket is sent."""
    while True:
        connection.outbox.clear()
        await asyncio.sleep(0.1)


async def _connected(exchange: LocalExchange, processes: list[subprocess.Popen[str]]) -> None:
    """Wait until every recorder has a connection, and a while longer."""
    deadline_s = time.monotonic() + START_WITHIN_S
    while len(exchange.connections()) <= len(processes):
        ended = [process.args for process in processes if process.poll() is not None]
        if ended or time.monotonic() > deadline_s:
            raise BenchmarkError(
                expected=f"{len(processes)} recorders that connect within {START_WITHIN_S:g} s",
                found=f"{len(exchange.connections()) - 1}",
                where=str((ended or [processes[-1].args])[0]),
                remedy="Run it by hand against `obp exchange --tls` to see why.",
            )
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_S)


async def _disturbed(exchange: LocalExchange, rounds: int, clock: Clock) -> None:
    """Go through the schedule; each fault concerns every connection of a recorder that is open at its time."""
    begun_s = time.monotonic()
    for turn in range(rounds):
        for share, faults in SCHEDULE:
            await asyncio.sleep(max(begun_s + (turn + share) * ROUND_S - time.monotonic(), 0))
            for connection in exchange.connections()[1:]:
                for fault in parse_faults(faults):
                    connection.dice.add(fault, clock.now_ns())
    await asyncio.sleep(max(begun_s + rounds * ROUND_S - time.monotonic(), 0))


@contextmanager
def _cryptofeed(folder: Path, market: dict[str, str], certificate: Path) -> Iterator[subprocess.Popen[str]]:
    """Run cryptofeed in a process of its own."""
    python = peers.PYTHON if peers.PYTHON.exists() else Path(sys.executable)
    symbols = ",".join(f"{symbol.removesuffix('USDT')}-USDT-PERP" for symbol in SYMBOLS)
    command = [str(python), "-m", "benchmarks.peers_cryptofeed", market["websocket"], market["rest"], symbols]
    trust = {"SSL_CERT_FILE": str(certificate), "REQUESTS_CA_BUNDLE": str(certificate)}
    with (folder / "cryptofeed.said").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*command, str(folder)], stdout=said, stderr=said, text=True, cwd=ROOT, env=os.environ | trust
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


# --- what cryptofeed has ---------------------------------------------------------------------------------------------

Entry = tuple[int, str, tuple[int, int] | None]
"""Time, ns; stream, empty for all; of a message the id that it follows and its last one, of a notice None."""


def read_raw_files(folder: Path) -> Archive:
    """Read cryptofeed's raw files of websockets, and as notices their lines about connections and its log."""
    entries = _notices(folder)
    for file in sorted((folder / RAW).glob("*.ws.*")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if found := RAW_LINE.fullmatch(line):
                head = re.match(HEAD, found["text"])
                if head is not None:
                    entries.append((_ns(found["time"]), head["stream"], _ids(head)))
            elif found := RAW_CONNECT.fullmatch(line):
                entries.append((_ns(found["time"]), "", None))
    return _archive(entries)


def read_callbacks(folder: Path) -> Archive:
    """Read what cryptofeed's callbacks were given, with new books and its log as notices."""
    entries = _notices(folder)
    for kind, time_ns, *rest in _lines(folder):
        if kind == "log":
            continue
        symbol = rest[0].removesuffix("-PERP").replace("-", "").lower()
        if kind == "ticker":
            entries.append((time_ns, f"{symbol}@bookTicker", (rest[1] - 1, rest[1])))
        else:
            entries.append(
                (time_ns, f"{symbol}@depth@100ms", (rest[3], rest[2]) if kind == "delta" else None)
            )
    return _archive(entries)


def _lines(folder: Path) -> Iterator[list[Any]]:
    for line in (folder / LINES).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _notices(folder: Path) -> list[Entry]:
    """Lines of cryptofeed's log; they concern all streams."""
    return [(time_ns, "", None) for kind, time_ns, *_ in _lines(folder) if kind == "log"]


def _ns(seconds: str) -> int:
    return round(float(seconds) * NS_PER_SECOND)


def _ids(head: re.Match[str]) -> tuple[int, int]:
    """The id behind which a message begins, and its last one."""
    number = int(head["number"])
    return int(head["before"] or int(head["first"] or number) - 1), number


def _archive(entries: list[Entry]) -> Archive:
    """Make an archive of messages and notices; a notice counts like a gap that begins a second before it."""
    found = Archive()
    messages: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for row, (time_ns, stream, ids) in enumerate(sorted(entries, key=itemgetter(0))):
        if ids is None:
            streams = frozenset([stream] if stream else [])
            found.gaps.append(Gap("disconnected", streams, time_ns - NOTICE_NS, time_ns, 0, row))
        else:
            messages[stream].append((*ids, time_ns, row))
    found.messages = {(1, stream): np.array(each) for stream, each in messages.items()}
    return found


if __name__ == "__main__":
    sys.exit(run(main))
