"""Trades as a reference: a trade happens at a price between the best bid and the best ask of its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from order_book_platform.datasets.columns import NumberedRows
from order_book_platform.datasets.trades import TradeRows
from order_book_platform.fidelity.metrics.metric import TICKER_GATES, TICKERS, Metric
from order_book_platform.fidelity.metrics.tallies import share
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS
from order_book_platform.kernels.fidelity.trades_in_range import count_in_range
from order_book_platform.model import Severity
from order_book_platform.model.arrays import Int64Array

WINDOW_NS = 10_000_000
"""So far apart may be the times of a trade and of the best prices it was made at, ns."""

T = TypeVar("T", bound=NumberedRows)

_SHIFTS_NS = np.array(PLACEBO_SHIFTS_NS)
_REACH_NS = max(PLACEBO_SHIFTS_NS)
_EARLIEST = int(np.iinfo(np.int64).min)


class TradeRange:
    """Counts the trades inside the range that best prices had around their time, and their placebos.

    Best prices are pushed, trades are read as far as these have come. The placebo of a trade is the price of the first
    trade at least 1 s (10 s) later: one that happened, but not then. Every `step`-th trade has placebos.

    Args:
        trades: in order of time.
        next_too: whether the first best prices at or after the window's end belong to the range. What a message tells
            has happened since the one before, so a trade's own effect stands in the next row.
        window_ns: how far around a trade's time best prices count.
        step: by default every trade has placebos.

    Attributes:
        trades: read so far.
        counted: int64[3], trades that were judged, and placebos.
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

    def add(self, time_ns: Int64Array, best_pips: Int64Array) -> None:
        """Take in best prices.

        Args:
            time_ns: int64[n], ns; what goes back is raised to the latest before it.
            best_pips: int64[n, 2], best bid and ask; `MISSING_PIPS` where there is none.
        """
        if not len(time_ns):
            return
        raised = np.maximum(np.maximum.accumulate(time_ns), self._latest)
        self._latest = int(raised[-1])
        self._time = np.concatenate([self._time, raised])
        self._best = np.concatenate([self._best, best_pips])
        # Rows of the very time at which these end may be yet to come.
        self._judge(self._latest - self._window_ns - 1)

    def watch(self, parts: Iterator[T], best_pips: Callable[[T], Int64Array]) -> Iterator[T]:
        """The same stream; its best prices are taken in on the way.

        Args:
            parts: rows whose `time_ns` is the clock of the trades.
            best_pips: int64[n, 2] of such rows.
        """
        for part in parts:
            self.add(part.time_ns, best_pips(part))
            yield part
        self.end()

    def end(self) -> None:
        """No more best prices come; the trades are read to their end, to be counted."""
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
        """Judge the trades up to a time, and let go of what no later one asks for."""
        while (not len(self._held) or self._held.time_ns[-1] < until_ns + _REACH_NS) and self._read():
            continue
        times = self._held.time_ns
        first = int(np.searchsorted(times, self._time[0] + self._window_ns))
        end = int(np.searchsorted(times, until_ns, side="right"))
        if first < end:
            # Sampled are whole multiples of the step among all trades, wherever the streams are cut.
            before = self.trades - len(self._held)
            count_in_range(
                times,
                self._held.encoded_price,
                first,
                end,
                self._time,
                self._best,
                self._window_ns,
                self._next_too,
                _SHIFTS_NS,
                first + -(before + first) % self._step,
                self._step,
                self.counted,
                self.inside,
            )
        self._held = self._held.take(slice(end, None))
        begin = self._latest if not len(self._held) else int(self._held.time_ns[0]) - self._window_ns
        row = max(int(np.searchsorted(self._time, begin, side="right")) - 1, 0)
        self._time, self._best = self._time[row:], self._best[row:]

    def metric(self, reference: str, alignment: str) -> Metric:
        """`trade_in_range`, after `end`.

        Args:
            reference: whose best prices they were: `tickers`, or `trades` for those of the book.
            alignment: the clock of the best prices.
        """
        shares = [share(int(a), int(b)) for a, b in zip(self.inside, self.counted, strict=True)]
        gate = TICKER_GATES["trade_in_range"] if reference == TICKERS else None
        if gate is not None and alignment != "transaction_time":
            gate = replace(gate, severity=Severity.WARN)
        whose = "tickers" if reference == TICKERS else "the book, from one message to the next,"
        return Metric(
            "trade_in_range",
            shares[0],
            int(self.counted[0]),
            gate,
            self.trades - int(self.counted[0]),
            alignment,
            reference,
            tuple(shares[1:]),
            f"{self.inside[0]:,} of {self.counted[0]:,} trades lie between the lowest best bid and the highest ask "
            f"of {whose} within {self._window_ns / 1e6:g} ms; the placebo is the price of a trade 1 s and 10 s later.",
        )
