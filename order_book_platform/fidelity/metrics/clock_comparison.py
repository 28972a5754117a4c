"""Comparison of best prices of book and tickers by time: by the exchange's clock, and by arrival.

A book row is compared with the last ticker whose time is not above its own. docs/adr/0016 says what that can show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import NumberedRows, count_nulls
from order_book_platform.datasets.reconstructed_books.reader import BestRows
from order_book_platform.datasets.tickers_and_trades import TickerRows
from order_book_platform.fidelity.metric_declarations import SIDES, TICKERS
from order_book_platform.fidelity.metrics.comparison_counts import root_mean, share
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS, pair_with_last
from order_book_platform.kernels.fidelity import clock_merge
from order_book_platform.model.arrays import Int64Array
from order_book_platform.storage import ParquetRows

Clock = Literal["transaction_time", "origin_time"]
CLOCKED_SHARE = 0.99
"""Share of the tickers that must carry a clock for it to serve: at most as many book rows then see an older ticker."""
_EARLIEST = int(np.iinfo(np.int64).min)
_TICKER_WORDS = {
    "transaction_time": "whose T is not above the message's.",
    "origin_time": "whose E is not above the message's.",
    "received_time": "that had arrived.",
}
_LETTERS = {"transaction_time": "T", "origin_time": "E"}


def shared_clock(tickers: ParquetRows, deltas: ParquetRows) -> Clock | None:
    """Return the exchange's clock that both streams carry.

    Returns:
        `transaction_time` (T: when the book changed), else `origin_time` (E: when the event was sent), if at least
        `CLOCKED_SHARE` of the tickers carry it; None where too few carry either.
    """
    clocks: tuple[Clock, ...] = ("transaction_time", "origin_time")
    for clock in clocks if "transaction_time" in deltas.non_null_columns else clocks[1:]:
        if tickers.num_rows - count_nulls(tickers, clock) >= CLOCKED_SHARE * tickers.num_rows:
            return clock
    return None


def transaction_times(deltas: ParquetRows, batch_rows: int = 1 << 20) -> Iterator[NumberedRows]:
    """Yield sequence number and transaction time, ns, of every message of `raw_deltas` that has one."""
    latest: int | None = None
    for batch in deltas.batches(batch_rows, columns=["sequence_number", "transaction_time"]):
        numbers, times = batch.column("sequence_number").to_numpy(), batch.column("transaction_time")
        begins = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
        if latest is not None and len(begins) and numbers[0] == latest:
            begins = begins[1:]
        latest = int(numbers[-1]) if len(numbers) else latest
        begins = begins[times.is_valid().to_numpy(zero_copy_only=False)[begins]]
        yield NumberedRows(numbers[begins], times.fill_null(0).to_numpy()[begins])


def by_transaction_time(books: Iterator[BestRows], deltas: ParquetRows) -> Iterator[BestRows]:
    """Yield book rows with the transaction time of their message as their time; rows without one are left out."""
    for rows, messages in pair_with_last(books, transaction_times(deltas), equal=True):
        yield replace(rows, time_ns=messages.time_ns)


class ClockSweep:
    """One comparison of two streams by one clock; keeps the rows that the other stream has not reached yet.

    Times that go back are raised to the latest one before them, since a later message builds on the earlier ones.
    The ticker is taken `shift_ns` later, 0 for the true comparison. `kernels.fidelity.clock_merge` names the places of
    `counts`, int64, and of the sums of squares, float64.
    """

    def __init__(self, encoded_tick: int, shift_ns: int = 0) -> None:
        self._encoded_tick = encoded_tick
        self._shift_ns = shift_ns
        self.counts = np.zeros(clock_merge.COUNTS_SIZE, np.int64)
        self.squares = np.zeros(clock_merge.SQUARES_SIZE)
        self._state = np.zeros(clock_merge.STATE_SIZE, np.int64)
        self._books, self._tickers = BestRows.none(), TickerRows.none()
        self._latest = [_EARLIEST, _EARLIEST]
        self._ended = False

    def add_books(self, time_ns: Int64Array, rows: BestRows) -> None:
        """Take in the next book rows; `time_ns` int64[n] are their times by this clock, ns."""
        rows = replace(rows, time_ns=self._never_falling(0, time_ns))
        self._books = BestRows.concat([self._books, rows])
        self._advance()

    def add_tickers(self, time_ns: Int64Array, rows: TickerRows) -> None:
        """Take in the next tickers; `time_ns` int64[n] are their times by this clock, ns."""
        rows = replace(rows, time_ns=self._never_falling(1, time_ns) - self._shift_ns)
        self._tickers = TickerRows.concat([self._tickers, rows])
        self._advance()

    def end_tickers(self) -> None:
        """Note that no more tickers come: book rows after the last one have no partner."""
        self._ended = True
        self._advance()

    @property
    def waits(self) -> bool:
        """Whether book rows are left that a later ticker may be the partner of."""
        return len(self._books) > 0

    @property
    def held(self) -> int:
        """Number of rows of both streams that are kept until the other stream has come as far."""
        return len(self._books) + len(self._tickers)

    def _never_falling(self, stream: int, time_ns: Int64Array) -> Int64Array:
        raised = np.maximum(np.maximum.accumulate(time_ns), self._latest[stream])
        self._latest[stream] = int(raised[-1]) if len(raised) else self._latest[stream]
        return raised

    def _advance(self) -> None:
        books, tickers, done = self._books, self._tickers, np.zeros(2, np.int64)
        clock_merge.merge_by_clock(
            *(books.time_ns, books.encoded_price, books.encoded_size, books.known),
            *(tickers.time_ns, tickers.encoded_price[:, :, 0], tickers.encoded_size[:, :, 0]),
            *(self._encoded_tick, self._ended, self._state, self.counts, self.squares, done),
        )
        self._books = BestRows.none() if self._ended else books.take(slice(int(done[0]), None))
        self._tickers = tickers.take(slice(int(done[1]), None))

    def exact(self, kind: int) -> float | None:
        """Return the share of rows equal in both prices (`PRICE_EXACT`), or in both sizes too (`EXACT`)."""
        return share(int(self.counts[kind]), int(self.counts[clock_merge.ROWS]))

    def rms_ticks(self, side: int) -> float | None:
        """Return the root mean square error of a side's best price where the book claims to know it, ticks."""
        squares, rows = self.squares[clock_merge.SQUARES + side], self.counts[clock_merge.PRICED + side]
        return root_mean(float(squares), int(rows))

    def held_rms_ticks(self, side: int) -> float | None:
        """Return the same over time: a book row holds until the next one, while tickers go on."""
        squares = self.squares[clock_merge.WEIGHED_SQUARES + side]
        return root_mean(float(squares), int(self.counts[clock_merge.WEIGHED_NS + side]))


class ClockComparison:
    """Compares best prices of book and tickers by the exchange's clock and by arrival, with placebos.

    `clock` is which of the exchange's clocks `time_ns` of the rows is, None where tickers carry none; `untimed` tickers
    are left out because they lack it.
    """

    def __init__(self, encoded_tick: int, clock: Clock | None, untimed: int = 0) -> None:
        shifts = (0, *PLACEBO_SHIFTS_NS)
        self._clock = clock
        self._untimed = untimed
        self._by_clock = [ClockSweep(encoded_tick, shift) for shift in shifts]
        self._by_arrival = [ClockSweep(encoded_tick, shift) for shift in shifts]
        self._sweeps = [*(self._by_clock if clock else []), *self._by_arrival]

    def run(self, books: Iterator[BestRows], tickers: Iterator[TickerRows]) -> None:
        """Take in both streams. The one whose rows so far arrived earlier is read next, so that few rows wait.

        A stream that begins late, or says nothing for long, has its next rows read at once: the other one then runs
        past them, and no more of it is held than a batch and what the clocks differ by. The books begin at the first
        seeded row, and the tickers are those that are fit to be compared with.
        """
        ours, theirs = next(books, None), next(tickers, None)
        our_latest = their_latest = _EARLIEST
        while ours is not None and theirs is not None:
            if our_latest <= their_latest:
                self._add_books(ours)
                our_latest, ours = int(ours.arrival_ns[-1]), next(books, None)
            else:
                self._add_tickers(theirs, self._sweeps)
                their_latest, theirs = int(theirs.arrival_ns[-1]), next(tickers, None)
        while theirs is not None:
            self._add_tickers(theirs, [each for each in self._sweeps if each.waits])
            theirs = next(tickers, None)  # to its end: whoever counts it sees all of it
        for each in self._sweeps:
            each.end_tickers()
        while ours is not None:
            self._add_books(ours)
            ours = next(books, None)

    @property
    def held(self) -> int:
        """Number of rows that are kept, over all comparisons."""
        return sum(each.held for each in self._sweeps)

    def _add_books(self, rows: BestRows) -> None:
        for each in self._sweeps:
            each.add_books(self._times(each, rows), rows)

    def _add_tickers(self, rows: TickerRows, sweeps: Sequence[ClockSweep]) -> None:
        for each in sweeps:
            each.add_tickers(self._times(each, rows), rows)

    def _times(self, each: ClockSweep, rows: BestRows | TickerRows) -> Int64Array:
        return rows.arrival_ns if each in self._by_arrival else rows.time_ns

    def metrics(self, book_rows: int) -> list[Metric]:
        """Return `bbo_…_time`, `bbo_…_arrival` and `sampling_rms_tw_…` of a book of so many rows."""
        alignment = self._clock or "none"
        left_out = (
            f" Tickers without {_LETTERS[alignment]}, left out: {self._untimed:,}." if self._untimed else ""
        )
        # What holding the book costs is measured by the best clock there is.
        sweeps, clock = (self._by_clock, alignment) if self._clock else (self._by_arrival, "received_time")
        return [
            *_differences("time", self._by_clock, alignment, book_rows, left_out),
            *_differences("arrival", self._by_arrival, "received_time", book_rows),
            *_holding_errors(sweeps, clock, book_rows),
        ]


def _differences(
    clock: str, sweeps: Sequence[ClockSweep], alignment: str, book_rows: int, left_out: str = ""
) -> Iterator[Metric]:
    """Yield how often and how far the best prices differ by one clock, in the true comparison and its placebos."""
    true, *late = sweeps
    rows = int(true.counts[clock_merge.ROWS])
    ticker = (
        "Tickers carry none of the exchange's times." if alignment == "none" else _TICKER_WORDS[alignment]
    )
    metric = partial(Metric.of, reference=TICKERS, alignment=alignment, unmatched=book_rows - rows)
    for name, kind, what in (
        (f"bbo_exact_{clock}", clock_merge.PRICE_EXACT, "both best prices"),
        (f"bbo_exact_{clock}_size", clock_merge.EXACT, "both best prices and sizes"),
    ):
        note = (
            f"{true.counts[kind]:,} of {rows:,} book rows show {what} of the last ticker {ticker}{left_out}"
        )
        yield metric(name, true.exact(kind), rows, note, placebos=[sweep.exact(kind) for sweep in late])
    for side, side_name in enumerate(SIDES):
        n = int(true.counts[clock_merge.PRICED + side])
        note = (
            f"In ticks, over the {n:,} book rows that claim to know the best {side_name}; the last ticker "
            f"{ticker}{left_out}"
        )
        placebos = [sweep.rms_ticks(side) for sweep in late]
        yield metric(f"bbo_rms_{clock}_{side_name}", true.rms_ticks(side), n, note, placebos=placebos)


def _holding_errors(sweeps: Sequence[ClockSweep], alignment: str, book_rows: int) -> Iterator[Metric]:
    """Yield what holding the book between two messages costs."""
    true, *late = sweeps
    rows = int(true.counts[clock_merge.ROWS])
    for side, side_name in enumerate(SIDES):
        held_s = true.counts[clock_merge.WEIGHED_NS + side] / NS_PER_SECOND
        yield Metric.of(
            f"sampling_rms_tw_{side_name}",
            true.held_rms_ticks(side),
            rows,
            f"In ticks, over {held_s:,.3f} s: how far the best {side_name} of the book, held until its next row, is "
            "from that of the ticker.",
            reference=TICKERS,
            alignment=alignment,
            unmatched=book_rows - rows,
            placebos=[sweep.held_rms_ticks(side) for sweep in late],
        )
