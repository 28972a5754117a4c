"""Which references may serve as evidence: held out, inside the span of the book, and sound in themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.tickers import TickerRows
from order_book_platform.fidelity.metrics.tallies import BookFacts
from order_book_platform.kernels.fidelity.sequence_lookup import HIGHEST, MESSAGES, STATE_SIZE, place_messages
from order_book_platform.kernels.fidelity.time_order import TIMES, find_disorder
from order_book_platform.kernels.ingest.snapshot_defects import find_defects
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform.storage import ParquetRows

R = TypeVar("R", bound=ReferenceRows)

DEFECTS = tuple(defect.name.lower() for defect in SnapshotDefect if defect is not SnapshotDefect.NONE)
"""What makes a reference unfit in itself; a row is charged with one of them."""
STEP_BACK_NS = NS_PER_SECOND
"""Clocks are set back and streams jitter, by less than the nearest placebo is away. A row whose time is farther ahead
of the next one's is wrong about it."""


@dataclass(slots=True)
class ReferenceCounts:
    """What became of the rows of one reference dataset; the fields add up to `rows`.

    Attributes:
        rows: all of them.
        used: seeded, extended, repaired or were rejected: never evidence.
        out_of_order: sequence number below an earlier one, or number or time that the next row contradicts.
        defects: row count by defect, of `DEFECTS`.
        other_day: time more than a day away from the partition's.
        far_off: best price below half the lowest or above twice the highest that the book had all day, or a sequence
            number as far from the day's as they run in a day.
        doubtful: a golden sample's rows that it does not itself vouch for.
        before_seed: before the book's first seeded row.
        after_end: after the last message the book was built from.
        held_out: evidence.
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
        """Rows that are unfit in themselves."""
        return self.out_of_order + self.other_day + self.far_off + sum(self.defects.values())

    def unmatched(self, compared: int) -> int:
        """Rows without a partner, those among them that have no place in the stream's order.

        Args:
            compared: evidence that has one.
        """
        return self.before_seed + self.after_end + self.out_of_order + self.held_out - compared

    def to_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return asdict(self)


ANY = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
"""The range of everything."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """What a reference of this symbol and day can be; wide enough for whatever a book does wrong in between.

    Attributes:
        times_ns: first and last time, ns.
        prices_pips: lowest and highest best price.
        numbers: lowest and highest sequence number.
    """

    times_ns: tuple[int, int] = ANY
    prices_pips: tuple[int, int] = ANY
    numbers: tuple[int, int] = ANY

    @classmethod
    def of(cls, day: date, facts: BookFacts, last: int | None = None) -> Plausible:
        """Within a day of the UTC day, half and twice the prices that the book had, and a day's sequence numbers.

        Args:
            day: UTC.
            facts: of the book.
            last: highest sequence number of its messages; None: there were none, and any number will do.
        """
        start = day_start_ns(day)
        times = start - NS_PER_DAY, start + 2 * NS_PER_DAY
        prices = facts.lowest_pips // 2, 2 * facts.highest_pips
        if MISSING_PIPS in (facts.lowest_pips, facts.highest_pips):
            prices = ANY
        return cls(times, prices, _numbers_near(facts, last))


def _numbers_near(facts: BookFacts, last: int | None) -> tuple[int, int]:
    """As far from the book's sequence numbers as these run in a day at its pace, at least as far as they ran."""
    if facts.first_seed is None or last is None:
        return ANY
    ran = max(last - facts.first_seed, 0)
    reach = max(ran, ran * NS_PER_DAY // max(facts.span_ns, 1))
    return max(facts.first_seed - reach, ANY[0]), min(last + reach, ANY[1])


class HeldOut:
    """Selects the evidence from a stream of references and counts the rest.

    Order is judged last, and among the rows that are sound otherwise: what is unfit says nothing about the others. Of
    two rows that contradict each other the first is struck where the second goes well with those before, so a single
    number or time that is far too high costs one row. For that a batch is held until the next one comes.

    Args:
        used: int64[m], sequence numbers that must never be counted.
        first: first sequence number the book can be judged at; None: the book was never seeded.
        last: last message the book was built from; None: there was none.
        tick_pips: of the prices.
        plausible: what lies outside is of another symbol or day.
    """

    def __init__(
        self,
        used: Int64Array,
        first: int | None,
        last: int | None,
        tick_pips: int,
        plausible: Plausible = Plausible(),
    ) -> None:
        self._tick_pips = tick_pips
        self._plausible = plausible
        self._used = np.sort(used, kind="stable")
        self._first = first
        self._last = last
        self._latest: Int64Array | None = None
        self._latest_time = ANY[0]
        self.counts = ReferenceCounts()

    def unused(self, numbers: Int64Array) -> Int64Array:
        """The sequence numbers that may be counted, ascending, each once, int64[m]."""
        if self._first is None or self._last is None:
            return numbers[:0]
        ascending = np.sort(numbers, kind="stable")  # in no time if they are in order already
        ascending = ascending[
            np.searchsorted(ascending, self._first) : np.searchsorted(ascending, self._last, side="right")
        ]
        kept = np.ones(len(ascending), dtype=np.bool_)
        kept[1:] = ascending[1:] != ascending[:-1]
        at, found = _find(self._used, ascending)
        kept[at[found]] = False
        return ascending[kept]

    def admit(self, numbers: Int64Array) -> BoolArray:
        """Which rows need to be looked at, bool[n]; the others were used, and are counted."""
        unused = ~_are_in(numbers, self._used)
        refused = len(numbers) - int(np.count_nonzero(unused))
        self.counts.rows += refused
        self.counts.used += refused
        return unused

    def select(self, references: Iterator[R]) -> Iterator[R]:
        """Yield the rows that are evidence, their time made never falling."""
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
        """The rows that are in order, judged with the first of those that follow, if any."""
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
        """Strike out row after row, each for one reason; what is left is evidence if it is in order."""
        counts, numbers = self.counts, rows.sequence_number
        keep = np.ones(len(rows), dtype=np.bool_)

        def strike(unfit: BoolArray) -> int:
            struck = int((keep & unfit).sum())
            np.logical_and(keep, ~unfit, out=keep)
            return struck

        counts.rows += len(rows)
        counts.used += strike(_are_in(numbers, self._used))
        charged = np.empty(len(rows), dtype=np.uint8)
        find_defects(
            np.ascontiguousarray(rows.encoded_price),
            np.ascontiguousarray(rows.encoded_size),
            self._tick_pips,
            charged,
        )
        for defect, name in enumerate(DEFECTS, start=1):
            counts.defects[name] += strike(charged == defect)
        counts.other_day += strike(_outside(rows.time_ns, self._plausible.times_ns))
        best = rows.encoded_price[:, :, 0]
        bids, asks = (_outside(best[:, side], self._plausible.prices_pips) for side in range(2))
        counts.far_off += strike(bids | asks)
        nowhere = np.ones(len(rows), dtype=np.bool_)
        counts.before_seed += strike(nowhere if self._first is None else numbers < self._first)
        counts.after_end += strike(nowhere if self._last is None else numbers > self._last)
        counts.far_off += strike(_outside(numbers, self._plausible.numbers))
        return keep


def _times(rows: ReferenceRows) -> Int64Array:
    """int64[n, C], the times of the rows by every clock that they have."""
    clocks = [rows.time_ns, rows.arrival_ns] if isinstance(rows, TickerRows) else [rows.time_ns]
    return np.stack(clocks, axis=1)


def _outside(values: Int64Array, limits: tuple[int, int]) -> BoolArray:
    """Which values are below or above, bool of their shape."""
    return (values < limits[0]) | (values > limits[1])


def _are_in(numbers: Int64Array, ascending: Int64Array) -> BoolArray:
    """Which numbers are among the ascending ones, bool[n]."""
    if len(numbers):  # fewer of them are found faster
        lowest = np.searchsorted(ascending, numbers.min())
        ascending = ascending[lowest : np.searchsorted(ascending, numbers.max(), side="right")]
    return _find(numbers, ascending)[1]


def _find(numbers: Int64Array, ascending: Int64Array) -> tuple[NDArray[np.intp], BoolArray]:
    """Where each number stands among the ascending ones or would stand, and whether it does."""
    places = np.searchsorted(ascending, numbers)
    found: BoolArray = places < len(ascending)
    found[found] = ascending[places[found]] == numbers[found]
    return places, found


def find_messages(
    numbers: Int64Array, deltas: ParquetRows, batch_rows: int = 1 << 20
) -> tuple[Int64Array, int | None]:
    """Look up sequence numbers among the messages of `raw_deltas`, reading only that column.

    Args:
        numbers: int64[m], any order.
        deltas: file with schema `RAW_DELTAS`.
        batch_rows: rows at a time; never changes a result.

    Returns:
        int64[m], which message has that number, counted from 1, or 0 where none has; and the highest number of any
        message, None without messages.
    """
    wanted, back = np.unique(numbers, return_inverse=True)
    places = np.zeros(len(wanted), dtype=np.int64)
    state = np.zeros(STATE_SIZE, dtype=np.int64)
    for batch in deltas.batches(batch_rows, columns=["sequence_number"]):
        place_messages(batch.column(0).to_numpy(), wanted, state, places)
    return places[back], int(state[HIGHEST]) if state[MESSAGES] else None
