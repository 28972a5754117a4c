"""Does a delta cost the same at the end of a long stream, and in a crowded book?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import OURS, Report, in_turn, timed
from benchmarks.streams import Levels, Stream, changes, crowded, message_after
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.replay.book import Book
from order_book_platform.settings import SourceSettings

LEVELS = (100, 1_000, 10_000, 100_000)
BATCH_ROWS = SourceSettings().batch_rows
FLAT = 0.2
"""A cost may differ by so much from the median of its series."""


def drain(book: Book, batch: DeltaBatch) -> int:
    """Feed a stream as the platform does, so many rows at a time; gives the number of rows that came out."""
    numbers, start, rows = batch.sequence_number, 0, 0
    while start < len(batch):
        stop = start + BATCH_ROWS
        # Between two messages.
        stop = int(np.searchsorted(numbers, numbers[stop])) if stop < len(batch) else len(batch)
        rows += sum(len(piece) for piece in book.feed(batch.slice(start, stop)))
        start = stop
    return rows


def turned_back(book: Book, opening: DeltaBatch, part: DeltaBatch) -> DeltaBatch:
    """The message after `part` that makes a book what it was after its opening message."""
    bids, asks = (book.levels(side) for side in (0, 1))
    old = Levels(
        np.repeat([True, False], [len(bids.encoded_price), len(asks.encoded_price)]),
        np.concatenate([bids.encoded_price, asks.encoded_price]),
        np.concatenate([bids.encoded_size, asks.encoded_size]),
    )
    new = Levels(opening.is_bid, opening.encoded_price, opening.encoded_size)
    return message_after(part, changes(old, new))


def long_run(stream: Stream, deltas: int) -> int:
    """Time in ns for so many deltas, best bid and ask after each message; a shorter stream is repeated.

    A repetition starts from the opening book again, later in time and sequence; making it so is not timed.

    Args:
        stream: its clocks are moved on while it runs, and back afterwards.
        deltas: without the opening book.
    """
    opening, rest = split(stream)
    clocks = (stream.batch.origin_time, stream.batch.received_time, stream.batch.sequence_number)
    spans = [int(clock[-1] - clock[0]) + 2 for clock in clocks]
    book = Book(stream.tick_pips, depth=1, cadence="message")
    drain(book, opening)
    elapsed_ns, done, turns = 0, 0, 0
    while done < deltas:
        part = rest.slice(0, min(len(rest), deltas - done))
        elapsed_ns += timed(lambda part=part: drain(book, part))  # type: ignore[misc]
        done += len(part)
        if done < deltas:
            drain(book, turned_back(book, opening, part))
            _move(clocks, spans, 1)
            turns += 1
    _move(clocks, spans, -turns)
    return elapsed_ns


def _move(clocks: tuple[NDArray[np.int64], ...], spans: list[int], turns: int) -> None:
    for clock, span in zip(clocks, spans, strict=True):
        np.add(clock, turns * span, out=clock)


def split(stream: Stream) -> tuple[DeltaBatch, DeltaBatch]:
    """The opening book, and what follows it."""
    return stream.batch.slice(0, stream.opening), stream.batch.slice(stream.opening, len(stream.batch))


def crowded_run(stream: Stream) -> int:
    """Time in ns for all deltas after the opening book, top 20 on change."""
    opening, rest = split(stream)
    book = Book(stream.tick_pips, depth=20, cadence="change")
    drain(book, opening)
    return timed(lambda: drain(book, rest))


def measure_length(report: Report, stream: Stream, lengths: tuple[int, ...], runs: int) -> None:
    """Cost per delta of a short, a longer and a very long replay."""
    times = in_turn({str(n): lambda n=n: long_run(stream, n) for n in lengths}, runs)  # type: ignore[misc]
    costs = []
    for length in lengths:
        work = f"best bid/ask per message, {length:,} deltas on end"
        costs.append(_cost(report, work, times[str(length)], length))
    report.bar(
        "cost per delta, short to long replay: farthest from the median", FLAT, spread(costs), at_most=True
    )


def measure_levels(report: Report, deltas: int, runs: int) -> None:
    """Cost per delta in books of more and more live levels; once for updates near the best price, once everywhere."""
    for everywhere in (False, True):
        streams = {str(n): crowded(n, deltas, everywhere=everywhere) for n in LEVELS}
        times = in_turn({n: lambda s=s: crowded_run(s) for n, s in streams.items()}, runs)  # type: ignore[misc]
        costs = [_cost(report, f"top 20 on change, {s.name}", times[n], deltas) for n, s in streams.items()]
        what = f"cost per delta, {LEVELS[0]:,} to {LEVELS[-1]:,} live levels"
        if everywhere:
            work = f"{what}, updates hit all levels alike: farthest from the median"
            report.add(OURS, work, "spread", "1", [spread(costs)])
        else:
            report.bar(f"{what}: farthest from the median", FLAT, spread(costs), at_most=True)


def _cost(report: Report, work: str, times_ns: list[int], deltas: int) -> float:
    return report.add(OURS, work, "cost", "ns/delta", [each / deltas for each in times_ns])


def spread(costs: list[float]) -> float:
    """How far the farthest cost is from the median one, as a share of it."""
    middle = float(np.median(costs))
    return max(abs(cost / middle - 1) for cost in costs)
