"""Which references may serve as evidence: held out, inside the span of the book, and sound in themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TypeVar

import numpy as np

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.fidelity.metrics import BookFacts
from order_book_platform.fidelity.rows import ReferenceRows, in_order
from order_book_platform.kernels.defects import find_defects
from order_book_platform.kernels.numbers import place_numbers
from order_book_platform.model.batches import BoolArray, Int64Array
from order_book_platform.model.schemas import MISSING_PIPS
from order_book_platform.model.snapshots import SnapshotDefect
from order_book_platform.storage import ParquetRows

R = TypeVar("R", bound=ReferenceRows)

DEFECTS = tuple(defect.name.lower() for defect in SnapshotDefect if defect is not SnapshotDefect.NONE)
"""What makes a reference unfit in itself; a row is charged with one of them."""


@dataclass(slots=True)
class ReferenceCounts:
    """What became of the rows of one reference dataset; the fields add up to `rows`.

    Attributes:
        rows: all of them.
        used: seeded, extended, repaired or were rejected: never evidence.
        out_of_order: sequence number below an earlier one.
        defects: row count by defect, of `DEFECTS`.
        other_day: time more than a day away from the partition's.
        far_off: best price below half the lowest or above twice the highest that the book had all day.
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

    def to_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {**asdict(self), "defects": dict(self.defects)}


ANY = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
"""The range of everything."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """What a reference of this symbol and day can be; wide enough for whatever a book does wrong in between.

    Attributes:
        times_ns: first and last time, ns.
        prices_pips: lowest and highest best price.
    """

    times_ns: tuple[int, int] = ANY
    prices_pips: tuple[int, int] = ANY

    @classmethod
    def of(cls, day: date, facts: BookFacts) -> Plausible:
        """Within a day of the UTC day, and within half and twice the prices that the book had."""
        start = day_start_ns(day)
        times = start - NS_PER_DAY, start + 2 * NS_PER_DAY
        if MISSING_PIPS in (facts.lowest_pips, facts.highest_pips):
            return cls(times)
        return cls(times, (facts.lowest_pips // 2, 2 * facts.highest_pips))


class HeldOut:
    """Selects the evidence from a stream of references and counts the rest.

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
        self._used = np.unique(used)
        self._first = first
        self._last = last
        self._latest_number = np.iinfo(np.int64).min
        self._latest_time = np.iinfo(np.int64).min
        self.counts = ReferenceCounts()

    def select(self, references: Iterator[R]) -> Iterator[R]:
        """Yield the rows that are evidence, their time made never falling."""
        for rows in references:
            keep = self._keep(rows)
            chosen = rows if keep.all() else rows.take(keep)
            if not len(chosen):
                continue
            time_ns = np.maximum(np.maximum.accumulate(chosen.time_ns), self._latest_time)
            self._latest_time = int(time_ns[-1])
            yield replace(chosen, time_ns=time_ns)

    def _keep(self, rows: ReferenceRows) -> BoolArray:
        """Strike out row after row, each for one reason; what is left is evidence."""
        counts, numbers = self.counts, rows.sequence_number
        keep = np.ones(len(rows), dtype=np.bool_)

        def strike(unfit: BoolArray) -> int:
            struck = int((keep & unfit).sum())
            np.logical_and(keep, ~unfit, out=keep)
            return struck

        counts.rows += len(rows)
        counts.used += strike(_are_in(numbers, self._used))
        counts.out_of_order += strike(~in_order(numbers, self._latest_number))
        charged = np.empty(len(rows), dtype=np.uint8)
        find_defects(
            np.ascontiguousarray(rows.price_pips),
            np.ascontiguousarray(rows.size_pips),
            self._tick_pips,
            charged,
        )
        for defect, name in enumerate(DEFECTS, start=1):
            counts.defects[name] += strike(charged == defect)
        counts.other_day += strike(_outside(rows.time_ns, self._plausible.times_ns))
        best = rows.price_pips[:, :, 0]
        bids, asks = (_outside(best[:, side], self._plausible.prices_pips) for side in range(2))
        counts.far_off += strike(bids | asks)
        nowhere = np.ones(len(rows), dtype=np.bool_)
        counts.before_seed += strike(nowhere if self._first is None else numbers < self._first)
        counts.after_end += strike(nowhere if self._last is None else numbers > self._last)
        counts.held_out += int(keep.sum())
        self._latest_number = max(self._latest_number, int(numbers.max(initial=self._latest_number)))
        return keep


def _outside(values: Int64Array, limits: tuple[int, int]) -> BoolArray:
    """Which values are below or above, bool of their shape."""
    return (values < limits[0]) | (values > limits[1])


def _are_in(numbers: Int64Array, ascending: Int64Array) -> BoolArray:
    """Which numbers are among the ascending ones, bool[n]."""
    places = np.searchsorted(ascending, numbers)
    found: BoolArray = places < len(ascending)
    found[found] = ascending[places[found]] == numbers[found]
    return found


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
    highest: int | None = None
    messages, latest = 0, None
    for batch in deltas.batches(batch_rows, columns=["sequence_number"]):
        column = batch.column(0).to_numpy()
        if len(column):
            # A message has many rows; numpy passes over them faster than a loop that looks at each.
            begins = np.flatnonzero(column[1:] != column[:-1]) + 1
            numbers_met = np.concatenate([column[:1], column[begins]])
            messages -= int(column[0] == latest)  # a message that began in the batch before
            last = place_numbers(numbers_met, wanted, messages, places)
            messages, latest = messages + len(numbers_met), column[-1]
            highest = last if highest is None else max(highest, last)
    return places[back], highest
