"""Trades as a reference: a trade happens at a price between the best bid and the best ask of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self, TypeVar

import numpy as np

from order_book_platform.datasets.columns import NumberedRows
from order_book_platform.datasets.tickers_and_trades import TradeRows, read_trades
from order_book_platform.fidelity.metric_declarations import TICKERS
from order_book_platform.fidelity.metrics.comparison_counts import share
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.size_correlation import sample_step
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS
from order_book_platform.kernels.fidelity.trades_in_range import count_in_range
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows

WINDOW_NS = 10_000_000
"""How far apart the times of a trade and of the best prices it was made at may be, ns."""

T = TypeVar("T", bound=NumberedRows)

_SHIFTS_NS = np.array(PLACEBO_SHIFTS_NS)
_REACH_NS = max(PLACEBO_SHIFTS_NS)
_EARLIEST = int(np.iinfo(np.int64).min)


class TradeRange:
    """Counts the trades, and their placebos, inside the range that best prices had around the time of the trade.

    Best prices are pushed; trades are read as far as these have come. The placebo of a trade is the price of the first
    trade at least 1 s (10 s) later: one that happened, but not then. Every `step`-th trade has placebos.

    Args:
        trades: Trades in order of time.
        next_too: Whether the first best prices at or after the window's end belong to the range. A message tells what
            has happened since the one before, so a trade's own effect stands in the next row.
        window_ns: How far around a trade's time best prices count, ns.
        step: Distance of the trades that have placebos; by default every trade has.

    Attributes:
        trades: Number of trades read so far.
        counted: int64[3], trades that were judged, and their placebos 1 s and 10 s later.
        inside: int64[3], those of them inside the range.
    """

    def __init__(
        self, trades: Iterator[TradeRows], *, next_too: bool, window_ns: int = WINDOW_NS, step: int = 1
    ) -> None:
        self._stream: Iterator[TradeRows] | None = trades
        self._next_too = next_too
        self._window_ns = window_ns
        self._step = step
        self._held = TradeRows.none()
        self._time, self._best = np.empty(0, np.int64), np.empty((0, 2), np.int64)
        self._latest = _EARLIEST
        self.trades = 0
        self.counted, self.inside = (np.zeros(1 + len(_SHIFTS_NS), np.int64) for _ in range(2))

    @classmethod
    def of(cls, file: ParquetRows | None, encoding: PartitionEncoding, *, next_too: bool) -> Self:
        """Return a counter of the trades of a day, if there are any, beside best prices with this encoding."""
        if file is None:
            return cls(iter([]), next_too=next_too)
        return cls(read_trades(file, encoding), next_too=next_too, step=sample_step(file.num_rows))

    def add(self, time_ns: Int64Array, encoded_best: Int64Array) -> None:
        """Take in encoded best bid and ask, int64[n, 2], `MISSING_PIPS` where there is none, at times int64[n], ns.

        Times that go back are raised to the latest before them.
        """
        if not len(time_ns):
            return
        raised = np.maximum(np.maximum.accumulate(time_ns), self._latest)
        self._latest = int(raised[-1])
        self._time = np.concatenate([self._time, raised])
        self._best = np.concatenate([self._best, encoded_best])
        # Rows of the very time at which these end may be yet to come.
        self._judge(self._latest - self._window_ns - 1)

    def watch(self, parts: Iterator[T], encoded_best: Callable[[T], Int64Array]) -> Iterator[T]:
        """Yield the same rows, timed by the clock of the trades, after their best prices have been taken in."""
        for part in parts:
            self.add(part.time_ns, encoded_best(part))
            yield part
        self.end()

    def end(self) -> None:
        """Note that no more best prices come, and read the trades to their end, to count them."""
        if len(self._time):
            self._judge(self._latest - self._window_ns)
        while self._read():
            self._held = TradeRows.none()

    def _read(self) -> bool:
        more = next(self._stream, None) if self._stream is not None else None
        if more is None:
            self._stream = None
            return False
        self.trades += len(more)
        self._held = TradeRows.concat([self._held, more])
        return True

    def _judge(self, until_ns: int) -> None:
        """Judge the trades up to a time, and drop the rows that no later trade needs."""
        while (not len(self._held) or self._held.time_ns[-1] < until_ns + _REACH_NS) and self._read():
            continue
        times = self._held.time_ns
        first = int(np.searchsorted(times, self._time[0] + self._window_ns))
        end = int(np.searchsorted(times, until_ns, side="right"))
        if first < end:
            # Sampled are whole multiples of the step among all trades, wherever the streams are cut.
            before = self.trades - len(self._held)
            count_in_range(
                *(times, self._held.encoded_price, first, end),
                *(self._time, self._best, self._window_ns, self._next_too, _SHIFTS_NS),
                *(first + -(before + first) % self._step, self._step, self.counted, self.inside),
            )
        self._held = self._held.take(slice(end, None))
        begin = self._latest if not len(self._held) else int(self._held.time_ns[0]) - self._window_ns
        row = max(int(np.searchsorted(self._time, begin, side="right")) - 1, 0)
        self._time, self._best = self._time[row:], self._best[row:]

    def metric(self, reference: str, alignment: str) -> Metric:
        """Return `trade_in_range`, after `end`, of best prices by the clock `alignment`.

        The reference is `tickers` if the best prices were theirs, `trades` if they were those of the book.
        """
        value, *placebos = (share(int(a), int(b)) for a, b in zip(self.inside, self.counted, strict=True))
        whose = "tickers" if reference == TICKERS else "the book, from one message to the next,"
        return Metric.of(
            "trade_in_range",
            value,
            int(self.counted[0]),
            f"{self.inside[0]:,} of {self.counted[0]:,} trades lie between the lowest best bid and the highest ask "
            f"of {whose} within {self._window_ns / 1e6:g} ms; the placebo is the price of a trade 1 s and 10 s later.",
            reference=reference,
            alignment=alignment,
            unmatched=self.trades - int(self.counted[0]),
            placebos=placebos,
        )
