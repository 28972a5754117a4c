"""Ours and other systems on one stream, in turn, each held to the same book."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.flatness import drain
from benchmarks.peers import REMEDY, Peer, Truth, write_stream
from benchmarks.peers_worker import levels
from benchmarks.report import OURS, Report, in_turn, rates, timed
from benchmarks.streams import Stream
from order_book_platform.replay.book import Book

SHORTEST = 50_000


@dataclass(frozen=True, slots=True)
class Ours:
    """One way to replay.

    Attributes:
        work: what it gives.
        depth: levels a side.
        cadence: of `Book`.
        required: deltas/s it has to reach; None where nothing is required.
    """

    work: str
    depth: int
    cadence: str
    required: float | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """One system beside ours.

    Attributes:
        label: in the results.
        module: its worker.
        system: as its worker names it.
        rival: our work that it is held against.
        remark: how it is driven, and what it does besides.
        required: how many times as fast ours has to be; None where nothing is required.
        share: it gets one in so many deltas of the stream, from its start, for slow systems more than 1.
    """

    label: str
    module: str
    system: str
    rival: Ours
    remark: str
    required: float | None = None
    share: int = 1

    @property
    def name(self) -> str:
        """Unlike that of any other on the same stream."""
        return f"{self.label}: {self.rival.work}"

    def rows(self, stream: Stream) -> int:
        """Deltas of a stream that it gets: enough for the opening book in any case."""
        return min(len(stream.batch), max(SHORTEST, len(stream.batch) // self.share))


def truth_of(stream: Stream) -> Truth:
    """Best prices after each message and the top 20 at the end, from our own replay."""
    book = Book(stream.tick_pips, depth=1, cadence="message")
    # A row ends with price and size of the best bid, then of the best ask.
    best = [rows[:, [-4, -2]] for rows in book.feed(stream.batch)]
    bids, asks = (book.levels(side) for side in (0, 1))
    return Truth(
        np.concatenate(best),
        levels(
            list(zip(bids.encoded_price.tolist(), bids.encoded_size.tolist(), strict=True)),
            list(zip(asks.encoded_price.tolist(), asks.encoded_size.tolist(), strict=True)),
            pips_per_unit=1,
        ),
    )


def replayed(stream: Stream, work: Ours) -> int:
    """Replay a stream through a new book; gives the time in ns."""
    book = Book(stream.tick_pips, depth=work.depth, cadence=work.cadence)
    return timed(lambda: drain(book, stream.batch))


def measure(
    report: Report, stream: Stream, works: Sequence[Ours], others: Sequence[Other], runs: int
) -> dict[Ours, float]:
    """Run ours and the others on one stream in turn, and report rates, ratios and bars.

    Args:
        report: takes the figures.
        stream: all of it for ours.
        works: what ours has to do.
        others: what it is held against; the rival of each is among `works`.
        runs: turns that count.

    Returns:
        Our median rate at each work, deltas/s.

    Raises:
        BenchmarkError: a system keeps another book than ours.
    """
    contestants: dict[str, Callable[[], int]] = {work.work: partial(replayed, stream, work) for work in works}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_stream(stream, folder)
        peers: dict[tuple[str, int], Peer] = {}
        truths: dict[int, Truth] = {}
        for other in others:
            rows = other.rows(stream)
            if (other.module, rows) not in peers:
                peers[other.module, rows] = stack.enter_context(Peer(other.module, folder, rows))
            peer = peers[other.module, rows]
            report.versions |= peer.versions
            if peer.missing:
                absent[other.name] = f"{peer.missing} is not installed; {REMEDY}"
                continue
            if rows not in truths:
                truths[rows] = truth_of(stream.head(rows))
            contestants[other.name] = partial(peer.run, other.system, truths[rows])
        times = in_turn(contestants, runs)
    ours = _report_ours(report, stream, works, times)
    _report_others(report, stream, others, times, ours, absent)
    return {work: float(np.median(ours[work])) for work in works}


def _report_ours(
    report: Report, stream: Stream, works: Sequence[Ours], times: dict[str, list[int]]
) -> dict[Ours, list[float]]:
    deltas = len(stream.batch)
    ours = {work: rates(deltas, times[work.work]) for work in works}
    for work, reached in ours.items():
        value = report.add(OURS, _described(work, stream, deltas), "throughput", "deltas/s", reached)
        if work.required is not None:
            report.bar(f"{work.work}, one core, deltas/s", work.required, value)
    return ours


def _report_others(
    report: Report,
    stream: Stream,
    others: Sequence[Other],
    times: dict[str, list[int]],
    ours: dict[Ours, list[float]],
    absent: dict[str, str],
) -> None:
    for other in others:
        rows = other.rows(stream)
        work = f"{_described(other.rival, stream, rows)}; {other.remark}"
        ratio = None
        if other.name in absent:
            report.missing(other.label, work, "throughput", "deltas/s", absent[other.name])
        else:
            theirs = rates(rows, times[other.name])
            report.add(other.label, work, "throughput", "deltas/s", theirs)
            what = f"{other.rival.work}, {stream.name}"
            ratio = report.ratio(OURS, other.label, what, ours[other.rival], theirs)
        if other.required is not None:
            report.bar(f"{other.rival.work}, times as fast as {other.label}", other.required, ratio)


def _described(work: Ours, stream: Stream, deltas: int) -> str:
    return f"{work.work}, {stream.name}, {deltas:,} deltas"
