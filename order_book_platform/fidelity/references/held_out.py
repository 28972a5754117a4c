"""Selection of the references that a book may be compared with: held out, within its span, sound in themselves.

An origin time can be 0, where the exchange gave none, or another day's. One such row must not spoil a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns
from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows, ReferenceRows
from order_book_platform.datasets.tickers_and_trades import TickerRows
from order_book_platform.fidelity.metrics.book_metrics import BookSummary
from order_book_platform.kernels.fidelity.message_order import (
    HIGHEST,
    MESSAGES,
    STATE_SIZE,
    TIMES,
    find_disorder,
    place_messages,
)
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Int64Array
from order_book_platform.replay.snapshot_scheduler import snapshot_defects
from order_book_platform.storage import ParquetRows

R = TypeVar("R", bound=ReferenceRows)
T = TypeVar("T", bound=NumberedRows)

DEFECTS = tuple(defect.name.lower() for defect in SnapshotDefect if defect is not SnapshotDefect.NONE)
"""Names of the defects that make a reference unfit in itself; a row is counted under one of them."""
STEP_BACK_NS = NS_PER_SECOND
"""Clocks are set back and streams jitter by less than the distance of the nearest placebo. The time of a row that is
farther ahead of the next row's is wrong."""


@dataclass(slots=True)
class ReferenceCounts:
    """Counts of the rows of one reference dataset by what became of them; the fields add up to `rows`.

    Attributes:
        used: Rows that seeded, extended or repaired the book, or were rejected for it: never compared.
        out_of_order: Rows whose sequence number is below an earlier one, or whose number or time the next row
            contradicts.
        defects: Number of rows by defect, one of `DEFECTS`.
        other_day: Rows whose time is more than a day away from the partition's day.
        far_off: Rows with a best price below half the lowest or above twice the highest that the book had all day, or
            with a sequence number as far from the day's as they run in a day.
        doubtful: Rows of a golden sample that the sample itself does not vouch for.
        before_seed: Rows before the book's first seeded row.
        after_end: Rows after the last message that the book was built from.
        held_out: Rows that the book is compared with.
    """

    rows: int = 0
    used: int = 0
    out_of_order: int = 0
    defects: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEFECTS, 0))
    other_day: int = 0
    far_off: int = 0
    doubtful: int = 0
    before_seed: int = 0
    after_end: int = 0
    held_out: int = 0

    @property
    def bad(self) -> int:
        """Number of rows that are unfit in themselves."""
        return self.out_of_order + self.other_day + self.far_off + sum(self.defects.values())

    def unmatched(self, compared: int) -> int:
        """Return the number of rows without a partner, also those out of order; `compared` held-out rows have one."""
        return self.before_seed + self.after_end + self.out_of_order + self.held_out - compared

    def to_dict(self) -> dict[str, object]:
        """Return the counts as a dictionary, for report.json."""
        return asdict(self)


ANY = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
"""The range of all int64."""
NO_NUMBERS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Plausible:
    """Limits of what a reference of a symbol and day can be, wide enough not to hide any error of the book.

    Attributes:
        times_ns: First and last plausible time, ns.
        encoded_prices: Lowest and highest plausible best price, encoded.
        numbers: Lowest and highest plausible sequence number.
    """

    times_ns: tuple[int, int] = ANY
    encoded_prices: tuple[int, int] = ANY
    numbers: tuple[int, int] = ANY

    @classmethod
    def of(cls, day: date, summary: BookSummary, last: int | None = None) -> Plausible:
        """Return the limits: a day around the UTC day, half and twice the book's prices, a day's sequence numbers.

        `last` is the highest sequence number of the book's messages; without messages any number is plausible.
        """
        prices = summary.encoded_lowest // 2, 2 * summary.encoded_highest
        if MISSING_PIPS in (summary.encoded_lowest, summary.encoded_highest):
            prices = ANY
        return cls(plausible_times(day), prices, _numbers_near(summary, last))


def _numbers_near(summary: BookSummary, last: int | None) -> tuple[int, int]:
    """Return sequence numbers as far from the book's as these run in a day at its pace, or as they ran if farther."""
    if summary.first_seed is None or last is None:
        return ANY
    ran = max(last - summary.first_seed, 0)
    reach = max(ran, ran * NS_PER_DAY // max(summary.span_ns, 1))
    return max(summary.first_seed - reach, ANY[0]), min(last + reach, ANY[1])


def plausible_times(day: date) -> tuple[int, int]:
    """Return the first and the last plausible time of a UTC day, ns: a day before its start and after its end."""
    start_ns = day_start_ns(day)
    return start_ns - NS_PER_DAY, start_ns + 2 * NS_PER_DAY


def first_time(books: ParquetRows, plausible_ns: tuple[int, int]) -> int:
    """Return the first plausible origin time of a book, ns; 0 where there is none."""
    for batch in books.batches(NARROW_ROWS, columns=["origin_time"]):
        sound = batch.column(0).to_numpy()
        sound = sound[_are_plausible(sound, plausible_ns)]
        if len(sound):
            return int(sound[0])
    return 0


def held_times(time_ns: Int64Array, plausible_ns: tuple[int, int], before_ns: int) -> Int64Array:
    """Replace each implausible time of int64[n], ns, by that of the row before it; `before_ns` is before the first.

    The same array is returned where nothing had to be changed.
    """
    sound = _are_plausible(time_ns, plausible_ns)
    if sound.all():
        return time_ns
    at = np.maximum.accumulate(np.where(sound, np.arange(len(time_ns)), -1))
    held: Int64Array = np.where(at >= 0, time_ns[at], before_ns)
    return held


def hold_times(parts: Iterator[T], plausible_ns: tuple[int, int], before_ns: int) -> Iterator[T]:
    """Yield the same rows with their times replaced as in `held_times`."""
    for part in parts:
        times = held_times(part.time_ns, plausible_ns, before_ns)
        if len(times):
            before_ns = int(times[-1])
        yield part if times is part.time_ns else replace(part, time_ns=times)


def _are_plausible(time_ns: Int64Array, plausible_ns: tuple[int, int]) -> BoolArray:
    return (time_ns >= plausible_ns[0]) & (time_ns <= plausible_ns[1])


class HeldOut:
    """Selects the references that the book is compared with from a stream, and counts the others.

    Order is judged last, among the rows that are sound otherwise, since an unfit row says nothing about the others. Of
    two rows that contradict each other the first is struck where the second agrees with those before, so a single
    number or time that is far too high costs one row. For that a batch is held until the next one comes.

    Args:
        used: int64[m], sequence numbers of the snapshots that must never be compared.
        first: First sequence number at which the book can be judged; None where the book was never seeded.
        last: Sequence number of the last message that the book was built from; None where there was none.
        encoded_tick: Encoded price of a tick.
        plausible: Limits outside of which a reference is of another symbol or day.

    Attributes:
        counts: Counts of the rows so far.
    """

    def __init__(
        self,
        used: Int64Array,
        first: int | None,
        last: int | None,
        encoded_tick: int,
        plausible: Plausible = Plausible(),
    ) -> None:
        self._encoded_tick = encoded_tick
        self._plausible = plausible
        self._used = np.sort(used, kind="stable")
        self._first = first
        self._last = last
        self._latest: Int64Array | None = None
        self._latest_time = ANY[0]
        self.counts = ReferenceCounts()

    @classmethod
    def of_any_number(cls, encoded_tick: int, plausible: Plausible) -> Self:
        """Return a selection that judges no sequence number by the book's, as for tickers."""
        return cls(NO_NUMBERS, *ANY, encoded_tick, plausible)

    def unused(self, numbers: Int64Array) -> Int64Array:
        """Return those of the sequence numbers int64[n] that may be compared, int64[m], ascending, each once."""
        if self._first is None or self._last is None:
            return numbers[:0]
        ascending = np.sort(numbers, kind="stable")  # takes no time if they are in order already
        ascending = ascending[
            np.searchsorted(ascending, self._first) : np.searchsorted(ascending, self._last, side="right")
        ]
        kept = np.ones(len(ascending), dtype=np.bool_)
        kept[1:] = ascending[1:] != ascending[:-1]
        at, found = _find(self._used, ascending)
        kept[at[found]] = False
        return ascending[kept]

    def admit(self, numbers: Int64Array) -> BoolArray:
        """Return which of the sequence numbers int64[n] were not used, bool[n], and count the others."""
        unused = ~_are_in(numbers, self._used)
        refused = len(numbers) - int(np.count_nonzero(unused))
        self.counts.rows += refused
        self.counts.used += refused
        return unused

    def select(self, references: Iterator[R]) -> Iterator[R]:
        """Yield the rows that the book is compared with; times that go back are raised to the latest before them."""
        held: R | None = None
        for rows in references:
            sound = self._sound(rows)
            fit = rows if sound.all() else rows.take(sound)
            if not len(fit):
                continue
            if held is not None:
                yield from self._in_order(held, fit)
            held = fit
        if held is not None:
            yield from self._in_order(held, None)

    def _in_order(self, rows: R, following: R | None) -> Iterator[R]:
        """Yield the rows that are in order, judged with the first of the rows that follow, if any."""
        numbers, times = rows.sequence_number, _times(rows)
        if following is not None:
            numbers = np.append(numbers, following.sequence_number[0])
            times = np.concatenate([times, _times(following.take(slice(0, 1)))])
        if self._latest is None:
            self._latest = np.full(TIMES + times.shape[1], ANY[0], dtype=np.int64)
        unfit = np.zeros(len(numbers), dtype=np.bool_)
        find_disorder(numbers, times, STEP_BACK_NS, following is None, self._latest, unfit)
        keep = ~unfit[: len(rows)]
        chosen = rows if keep.all() else rows.take(keep)
        self.counts.out_of_order += len(rows) - len(chosen)
        self.counts.held_out += len(chosen)
        if len(chosen):
            time_ns = np.maximum(np.maximum.accumulate(chosen.time_ns), self._latest_time)
            self._latest_time = int(time_ns[-1])
            yield replace(chosen, time_ns=time_ns)

    def _sound(self, rows: ReferenceRows) -> BoolArray:
        """Return which rows are sound, bool[n]; each of the others is counted for one reason."""
        counts, numbers = self.counts, rows.sequence_number
        keep = np.ones(len(rows), dtype=np.bool_)

        def strike(unfit: BoolArray) -> int:
            struck = int((keep & unfit).sum())
            np.logical_and(keep, ~unfit, out=keep)
            return struck

        counts.rows += len(rows)
        counts.used += strike(_are_in(numbers, self._used))
        charged = snapshot_defects(rows, self._encoded_tick)
        for defect, name in enumerate(DEFECTS, start=1):
            counts.defects[name] += strike(charged == defect)
        counts.other_day += strike(_outside(rows.time_ns, self._plausible.times_ns))
        best = rows.encoded_price[:, :, 0]
        bids, asks = (_outside(best[:, side], self._plausible.encoded_prices) for side in range(2))
        counts.far_off += strike(bids | asks)
        nowhere = np.ones(len(rows), dtype=np.bool_)
        counts.before_seed += strike(nowhere if self._first is None else numbers < self._first)
        counts.after_end += strike(nowhere if self._last is None else numbers > self._last)
        counts.far_off += strike(_outside(numbers, self._plausible.numbers))
        return keep


def _times(rows: ReferenceRows) -> Int64Array:
    """Return the times of the rows by every clock that they have, int64[n, C], ns."""
    clocks = [rows.time_ns, rows.arrival_ns] if isinstance(rows, TickerRows) else [rows.time_ns]
    return np.stack(clocks, axis=1)


def _outside(values: Int64Array, limits: tuple[int, int]) -> BoolArray:
    """Return which values lie outside the limits, bool of their shape."""
    return (values < limits[0]) | (values > limits[1])


def _are_in(numbers: Int64Array, ascending: Int64Array) -> BoolArray:
    """Return which numbers are among the ascending ones, bool[n]."""
    if len(numbers):  # a search among fewer of them is faster
        lowest = np.searchsorted(ascending, numbers.min())
        ascending = ascending[lowest : np.searchsorted(ascending, numbers.max(), side="right")]
    return _find(numbers, ascending)[1]


def _find(numbers: Int64Array, ascending: Int64Array) -> tuple[NDArray[np.intp], BoolArray]:
    """Return where each number stands, or would stand, among the ascending ones, and whether it is there."""
    places = np.searchsorted(ascending, numbers)
    found: BoolArray = places < len(ascending)
    found[found] = ascending[places[found]] == numbers[found]
    return places, found


def find_messages(
    numbers: Int64Array, deltas: ParquetRows, batch_rows: int = 1 << 20
) -> tuple[Int64Array, int | None]:
    """Look up sequence numbers, int64[m] in any order, among the messages of `raw_deltas`, reading only that column.

    Returns:
        int64[m], the message that has each number, counted from 1, or 0 where none has it; and the highest number of
        any message, None without messages.
    """
    wanted, back = np.unique(numbers, return_inverse=True)
    places = np.zeros(len(wanted), dtype=np.int64)
    state = np.zeros(STATE_SIZE, dtype=np.int64)
    for batch in deltas.batches(batch_rows, columns=["sequence_number"]):
        place_messages(batch.column(0).to_numpy(), wanted, state, places)
    return places[back], int(state[HIGHEST]) if state[MESSAGES] else None
