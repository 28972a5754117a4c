"""Choosing where faults strike: a seeded plan of edits of rows, and the record that says exactly what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from order_book_platform.clock import duration_text
from order_book_platform.errors import SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import DEPTH
from order_book_platform.model.fixed_point import beyond_pips
from order_book_platform.simulate.faults import Faults
from order_book_platform.simulate.lake_files import LakeIndex
from order_book_platform.simulate.simulated_market import seeded_state

Row = dict[str, Any]
_TRIES = 1_000
_GHOST_LOOK_AHEAD = 200
"""Number of messages after a removal in which its level must not come back, so that the ghost can be seen."""
_MAX_DECIMALS = 8
BAD_SNAPSHOTS = ("crossed", "unsorted", "zero_size", "nan")


@dataclass(slots=True)
class Edits:
    """Edits of the rows of a table, by their positions before any edit.

    Ranges of rows are removed, start and stop; rows are inserted behind the row at a position, in this order; and the
    rows at some positions are replaced by others.
    """

    removed: list[tuple[int, int]] = field(default_factory=list)
    inserted: list[tuple[int, Row]] = field(default_factory=list)
    replaced: dict[int, Row] = field(default_factory=dict)


@dataclass(slots=True)
class FaultPlan:
    """All that is done to the files of one symbol and day, and its record; `clock_skew_ns` is added to all arrivals."""

    deltas: Edits = field(default_factory=Edits)
    books: Edits = field(default_factory=Edits)
    clock_skew_ns: int = 0
    record: list[dict[str, Any]] = field(default_factory=list)


def plan_faults(index: LakeIndex, key: PartitionKey, faults: Faults, seed: int) -> FaultPlan:
    """Place every fault in the middle half of the messages, no two in the same one.

    Each kind has random numbers of its own, so asking for one more kind leaves the others where they were unless they
    would meet. Too few messages, or none that suit, are a `SettingsError`.
    """
    planner = _Planner(index, key, faults, seed)
    planner.drop()
    planner.silence()
    planner.crossed()
    planner.ghost()
    planner.duplicates()
    planner.unsorted()
    planner.bad_snapshots()
    planner.clock_skew()
    return planner.plan


class _Planner:
    """Places one kind of fault after another, and remembers which messages are taken."""

    def __init__(self, index: LakeIndex, key: PartitionKey, faults: Faults, seed: int) -> None:
        self._index = index
        self._key = key
        self._faults = faults
        self._seed = seed
        self._low, self._high = index.messages // 4, 3 * index.messages // 4
        self._taken = np.zeros(index.messages, np.bool_)
        self.plan = FaultPlan()

    def drop(self) -> None:
        count = self._faults.drop
        if count:
            start, stop = self._reserve_range("drop", self._faults.drop_at, lambda start: start + count)
            self._remove("drop", start, stop)

    def silence(self) -> None:
        span = self._faults.silence_ns
        for n in range(self._faults.silence):
            start, stop = self._reserve_range(
                "silence", self._faults.silence_at, lambda start: self._first_after(start - 1, span), n
            )
            self._remove("silence", start, stop)

    def crossed(self) -> None:
        """Insert levels beyond the other side's best price, which come with one message and go with a later one."""
        span = self._faults.crossed_ns
        for n in range(self._faults.crossed):
            start, last = self._reserve_range(
                "crossed", self._faults.crossed_at, lambda start: self._first_after(start, span), n, 1
            )
            is_bid = bool(self._rng("crossed side", n).integers(2))
            row = self._crossing_row(start, last, is_bid)
            for message, size in ((start, row["size"]), (last, 0.0)):
                place = int(self._index.first_row[message + 1]) - 1
                head = self._index.deltas.read(place, place + 1).to_pylist()[0]
                self.plan.deltas.inserted.append((place, {**head, **row, "size": size}))
            self._record("crossed", start, last, **row)

    def ghost(self) -> None:
        if self._faults.ghost > self._high - self._low:
            raise self._too_short("ghost", f"at least {2 * self._faults.ghost} messages")
        for n in range(self._faults.ghost):
            rng = self._rng("ghost", n)
            starts = (int(rng.integers(self._low, max(self._low + 1, self._high))) for _ in range(_TRIES))
            place = next((found for start in starts if (found := self._find_ghost(start))), None)
            if place is None:
                raise self._too_short("ghost", "a removal of a visible level that does not come back at once")
            message, row, is_bid, price = place
            self._taken[message] = True
            self.plan.deltas.removed.append((row, row + 1))
            self._record("ghost", message, message, side_is_bid=is_bid, price=price)

    def duplicates(self) -> None:
        for message in self._reserve_runs("duplicates", self._faults.duplicates, 1):
            rng = self._rng("duplicates row", message)
            place = int(rng.integers(self._index.first_row[message], self._index.first_row[message + 1]))
            row = self._index.deltas.read(place, place + 1).to_pylist()[0]
            self.plan.deltas.inserted.append((place, row))
            level = {name: row[name] for name in ("side_is_bid", "price", "size")}
            self._record("duplicates", message, message, **level)

    def unsorted(self) -> None:
        for message in self._reserve_runs("unsorted", self._faults.unsorted, 2):
            rng = self._rng("unsorted rows", message)
            first, second, end = (int(row) for row in self._index.first_row[message : message + 3])
            one, other = int(rng.integers(first, second)), int(rng.integers(second, end))
            rows = self._index.deltas.read(one, other + 1).to_pylist()
            self.plan.deltas.replaced[one], self.plan.deltas.replaced[other] = rows[-1], rows[0]
            self._record("unsorted", message, message + 1)

    def bad_snapshots(self) -> None:
        count, rows = self._faults.bad_snapshots, len(self._index.book_row)
        if not count:
            return
        if count > rows // 2:
            raise self._too_short("bad_snapshots", f"at least {2 * count} book rows")
        chosen = self._rng("bad_snapshots").choice(
            np.arange(rows // 4, rows // 4 + rows // 2), count, replace=False
        )
        for n, chosen_row in enumerate(sorted(int(row) for row in chosen)):
            at = int(self._index.book_row[chosen_row])
            row = self._index.books.read(at, at + 1).to_pylist()[0]
            kind = BAD_SNAPSHOTS[n % len(BAD_SNAPSHOTS)]
            self.plan.books.replaced[at] = damaged_row(row, kind)
            place = row["sequence_number"], row["timestamp"]
            self._enter("bad_snapshots", place, place, how=kind)

    def clock_skew(self) -> None:
        if self._faults.clock_skew_ns:
            self.plan.clock_skew_ns = self._faults.clock_skew_ns
            self._record("clock_skew", 0, self._index.messages - 1, skew_ns=self._faults.clock_skew_ns)

    def _rng(self, purpose: str, n: int = 0) -> np.random.Generator:
        return np.random.default_rng(seeded_state(f"fault {purpose} {n}", self._seed, self._key, ""))

    def _reserve_range(
        self, kind: str, at: int | None, end: Callable[[int], int], n: int = 0, extra: int = 0
    ) -> tuple[int, int]:
        """Reserve a free range of messages start … end(start) − 1 + extra for fault `n` of a kind, from `at` on.

        Where `at` is None, the seed chooses the start in the middle half. Returns start and end(start).
        """
        rng = self._rng(kind, n)
        for _ in range(_TRIES if at is None else 1):
            start = int(rng.integers(self._low, max(self._low + 1, self._high))) if at is None else at
            limit = self._high if at is None else self._index.messages - 1
            if not 0 < start < limit:
                break
            stop = end(start)
            if stop + extra <= limit and not self._taken[start - 1 : stop + extra + 1].any():
                self._taken[start : stop + extra] = True
                return start, stop
        where = "the middle half of the messages" if at is None else f"message {at} and after"
        raise self._too_short(kind, f"room for it in {where}")

    def _reserve_runs(self, kind: str, count: int, width: int) -> list[int]:
        """Reserve `count` free runs of `width` messages in the middle half; gives their first messages, ascending."""
        if not count:
            return []
        starts = np.arange(self._low + self._low % width, self._high - width + 1, width)
        free = np.array([not self._taken[start : start + width].any() for start in starts], np.bool_)
        if free.sum() < count:
            raise self._too_short(kind, f"{count * width} untouched messages in the middle half")
        chosen = sorted(int(start) for start in self._rng(kind).choice(starts[free], count, replace=False))
        for start in chosen:
            self._taken[start : start + width] = True
        return chosen

    def _first_after(self, message: int, span_ns: int) -> int:
        index = self._index
        return int(np.searchsorted(index.timestamp, index.timestamp[message] + span_ns, "left"))

    def _remove(self, kind: str, start: int, stop: int) -> None:
        rows = int(self._index.first_row[start]), int(self._index.first_row[stop])
        self.plan.deltas.removed.append(rows)
        self._record(kind, start, stop - 1, rows=rows[1] - rows[0])

    def _crossing_row(self, start: int, last: int, is_bid: bool) -> Row:
        """Choose a level that stays beyond the other side's best price, at a price that no delta touches meanwhile."""
        low, high = self._index.books_between(start, last + 1)
        if high <= low:
            raise self._too_short("crossed", "a book row before it")
        books = self._index.books.read(
            int(self._index.book_row[low]), int(self._index.book_row[high - 1]) + 1
        )
        other, sign = ("ask", 1) if is_bid else ("bid", -1)
        best = books.column(f"{other}_0_price").to_numpy()
        rows = self._index.message_rows(start, last + 1)
        prices = rows.column("price").to_numpy()
        within = (places for places in range(_MAX_DECIMALS) if not beyond_pips(prices, places).any())
        decimals = next(within, _MAX_DECIMALS)
        touched = np.rint(prices[rows.column("side_is_bid").to_numpy() == is_bid] * 10**decimals)
        ticks = round(float(best.max() if is_bid else best.min()) * 10**decimals) + sign
        while ticks in touched:
            ticks += sign
        return {
            "side_is_bid": is_bid,
            "price": ticks / 10.0**decimals,
            "size": books.column(f"{other}_0_size")[0].as_py(),
        }

    def _find_ghost(self, start: int) -> tuple[int, int, bool, float] | None:
        """Find the first removal from message `start` on that makes a visible ghost if left out, if there is one.

        Returns its message and row, and side and price of the level that stays.
        """
        index = self._index
        stop = min(index.messages, start + _GHOST_LOOK_AHEAD)
        low, high = index.books_between(start, stop)
        if high - low < 2:
            return None
        books = index.books.read(int(index.book_row[low]), int(index.book_row[high - 1]) + 1)
        shown = books.column("sequence_number").to_numpy()
        rows = index.message_rows(start, stop)
        sequence, is_bid = (rows.column(name).to_numpy() for name in ("sequence_number", "side_is_bid"))
        price, size = (rows.column(name).to_numpy() for name in ("price", "size"))
        levels = {
            side: np.stack([books.column(f"{side}_{n}_price").to_numpy() for n in range(DEPTH)], axis=1)
            for side in ("bid", "ask")
        }
        for at in np.flatnonzero(size == 0):
            message = int(np.searchsorted(index.sequence, sequence[at]))
            before = int(np.searchsorted(shown, sequence[at], "left")) - 1
            after = int(np.searchsorted(shown, sequence[at], "left"))
            if self._taken[message] or message >= self._high or after >= len(shown):
                continue
            side = levels["bid" if is_bid[at] else "ask"]
            farthest = side[after].min() if is_bid[at] else side[after].max()
            visible = price[at] >= farthest if is_bid[at] else price[at] <= farthest
            again = (price[at + 1 :] == price[at]) & (is_bid[at + 1 :] == is_bid[at])
            if price[at] in side[before] and visible and not again.any():
                row = int(index.first_row[start]) + int(at)
                return message, row, bool(is_bid[at]), float(price[at])
        return None

    def _record(self, kind: str, first: int, last: int, **more: Any) -> None:
        """Record a fault in messages `first` to `last`."""
        numbers, times = self._index.sequence, self._index.timestamp
        begin, end = ((int(numbers[message]), int(times[message])) for message in (first, last))
        self._enter(kind, begin, end, messages=last - first + 1, **more)

    def _enter(self, kind: str, begin: tuple[int, int], end: tuple[int, int], **more: Any) -> None:
        self.plan.record.append(
            {
                "kind": kind,
                "first_sequence_number": begin[0],
                "last_sequence_number": end[0],
                "from_timestamp": begin[1],
                "to_timestamp": end[1],
                **more,
            }
        )

    def _too_short(self, kind: str, expected: str) -> SettingsError:
        span = duration_text(int(self._index.timestamp[-1] - self._index.timestamp[0]))
        return SettingsError(
            expected=expected,
            found=f"{self._index.messages:,} messages over {span}",
            where=f"faults: {kind}",
            remedy="Ask for fewer or shorter faults, or for more messages.",
        )


def damaged_row(row: Row, kind: str) -> Row:
    """Give a row of `book` damaged in one of the ways of `BAD_SNAPSHOTS`."""
    bad = dict(row)
    if kind == "crossed":
        bad["bid_0_price"], bad["ask_0_price"] = row["ask_0_price"], row["bid_0_price"]
    elif kind == "unsorted":
        for what in ("price", "size"):
            bad[f"bid_3_{what}"], bad[f"bid_7_{what}"] = row[f"bid_7_{what}"], row[f"bid_3_{what}"]
    elif kind == "zero_size":
        bad["ask_2_size"] = 0.0
    else:
        bad["bid_5_price"] = float("nan")
    return bad
