"""A slow, plain replay to hold the fast one against: two dicts of price to size, and the range that is known.

No bitmaps, no incremental state: each row is read off the dicts anew. Everything is in pips.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_SCHEMA, books_schema
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import DEPTH, MISSING_PIPS
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.model.pip_encoding import Precision, in_precision
from order_book_platform.replay.snapshot_scheduler import EveryNthSnapshot

Levels = list[tuple[int, int]]
"""(price, size) from the best price outward."""

# As plain integers: a flag that is combined with another one takes a microsecond, and there are millions of rows.
SEEDED = int(BookFlag.SEEDED)
UNKNOWN_DEPTH = int(BookFlag.UNKNOWN_DEPTH)
LOCKED = int(BookFlag.LOCKED)
CROSSED = int(BookFlag.CROSSED)
REPAIRED = int(BookFlag.REPAIRED)


def snapshot_defects(snapshots: SnapshotBatch, tick_pips: int) -> NDArray[np.uint8]:
    """Find the defect of each snapshot by the rules of `SnapshotDefect`, one rule at a time, as uint8[n]."""
    prices, sizes = snapshots.encoded_price, snapshots.encoded_size
    present = prices != MISSING_PIPS
    steps = np.diff(prices, axis=2) * np.array([-1, 1])[:, None]
    checks = {
        SnapshotDefect.BAD_SIZE: (present & (sizes <= 0)).any(axis=(1, 2)),
        SnapshotDefect.OFF_TICK: (present & (prices % tick_pips != 0)).any(axis=(1, 2)),
        SnapshotDefect.CROSSED: prices[:, 0, 0] >= prices[:, 1, 0],
        SnapshotDefect.UNSORTED: (present[:, :, 1:] & (steps <= 0)).any(axis=(1, 2)),
        SnapshotDefect.EMPTY_SIDE: ~present[:, :, 0].all(axis=1),
    }
    defects = np.zeros(len(snapshots), np.uint8)
    for defect, found in checks.items():
        defects[found] = defect
    return defects


class OracleSide:
    """One side of a book.

    A price is turned into a key that grows away from the best: -price for bids, price for asks.
    """

    def __init__(self, is_bid: bool) -> None:
        self.sign = -1 if is_bid else 1
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []
        self.seen: dict[int, int] = {}
        """Key to the message that last named the level."""
        self.bound: int | None = None
        """Key up to which every level is known; None: nothing is."""

    def set(self, price: int, size: int, message: int = 0) -> int:
        """Set a level's size; 0 removes it, which it may already be. Gives the size before."""
        key = price * self.sign
        self.seen[key] = message
        before = self.sizes.get(key, 0)
        if size:
            if not before:
                insort(self.keys, key)
            self.sizes[key] = size
        elif before:
            del self.keys[bisect_left(self.keys, key)]
            del self.sizes[key]
        return before

    def best(self, depth: int) -> Levels:
        """The first `depth` levels."""
        return [(key * self.sign, self.sizes[key]) for key in self.keys[:depth]]

    def known(self, depth: int) -> int:
        """How many of the first `depth` levels are inside the known range."""
        return 0 if self.bound is None else bisect_right(self.keys[:depth], self.bound)

    def differences(self, levels: Levels) -> tuple[int, int]:
        """Levels that both this side and `levels` claim to know, and how many of them differ."""
        if self.bound is None:
            return 0, 0
        bound = min(levels[-1][0] * self.sign, self.bound)
        ours = {key: size for key, size in self.sizes.items() if key <= bound}
        theirs = {price * self.sign: size for price, size in levels if price * self.sign <= bound}
        both = ours.keys() | theirs.keys()
        return len(both), sum(ours.get(key) != theirs.get(key) for key in both)

    def take(self, levels: Levels, forget: bool, message: int) -> int:
        """Become equal to `levels` as far as they reach; returns how many levels changed."""
        last = levels[-1][0] * self.sign
        before = dict(self.sizes)
        for key in [key for key in self.keys if key <= last]:
            self.set(key * self.sign, 0)
        for price, size in levels:
            self.set(price, size, message)
        self.bound = last if forget or self.bound is None else max(self.bound, last)
        return sum(before.get(key) != self.sizes.get(key) for key in before.keys() | self.sizes.keys())


@dataclass
class OracleBook:
    """Both sides, and what happened to them."""

    bids: OracleSide = field(default_factory=lambda: OracleSide(True))
    asks: OracleSide = field(default_factory=lambda: OracleSide(False))
    seeded: bool = False
    message: int = 0
    """Number of the message being applied."""
    warm: bool = False
    """Counts as seeded, although no snapshot has come."""
    force: bool = False
    """The next snapshot repairs without being asked."""
    counts: dict[str, int] = field(
        default_factory=lambda: {
            "deltas": 0,
            "deltas_without_effect": 0,
            "crossed_messages": 0,
            "crossed_episodes": 0,
            "evicted_levels": 0,
        }
    )
    """What `Book.counts` says."""

    @cached_property
    def sides(self) -> tuple[OracleSide, OracleSide]:
        """Bids, asks."""
        return self.bids, self.asks

    def set(self, is_bid: bool, price: int, size: int) -> None:
        """Apply one delta."""
        side = self.bids if is_bid else self.asks
        self.counts["deltas"] += 1
        if side.set(price, size, self.message) == size:
            self.counts["deltas_without_effect"] += 1

    @property
    def crossed(self) -> bool:
        """Whether the best bid stands above the best ask."""
        return bool(self.bids.keys and self.asks.keys) and -self.bids.keys[0] > self.asks.keys[0]

    def evict(self) -> None:
        """Remove, of the two best levels, the one named longest ago, until the book is not crossed; know nothing."""
        while self.crossed:
            older = min(self.sides, key=lambda side: side.seen[side.keys[0]])
            older.set(older.keys[0] * older.sign, 0)
            self.counts["evicted_levels"] += 1
        self.bids.bound = self.asks.bound = None
        self.force = True

    def take(self, levels: tuple[Levels, Levels], forced: bool = False) -> tuple[str, int, int, int]:
        """Seed, extend or repair from a snapshot; returns use, levels compared, wrong, changed."""
        pairs = list(zip(self.sides, levels, strict=True))
        compared, wrong = (
            sum(counts) for counts in zip(*(s.differences(own) for s, own in pairs), strict=True)
        )
        use = "seeded" if not self.seeded else "repaired" if wrong or forced or self.force else "extended"
        changed = sum(side.take(own, use != "extended", self.message) for side, own in pairs)
        self.seeded = True
        self.force = False
        return use, compared, wrong, changed

    def row(self, depth: int, doubt: int = 0) -> tuple[int, ...]:
        """Flags, known levels and 4·depth level fields; missing levels as (`MISSING_PIPS`, 0)."""
        known = [0 if doubt & PROVEN_LOSS else side.known(depth) for side in self.sides]
        flags = (SEEDED if self.seeded or self.warm else 0) | (doubt & 0xFF)
        if min(known) < depth:
            flags |= UNKNOWN_DEPTH
        if self.bids.keys and self.asks.keys and -self.bids.keys[0] >= self.asks.keys[0]:
            flags |= LOCKED if -self.bids.keys[0] == self.asks.keys[0] else CROSSED
        row = [flags, *known]
        for side in self.sides:
            levels = side.best(depth)
            for level in levels:
                row += level
            row += (MISSING_PIPS, 0) * (depth - len(levels))
        return tuple(row)


@dataclass
class OracleReplay:
    """What a replay gave.

    Attributes:
        row_values: of each row what its columns hold; one row per message, or per message that changed something.
        used_values: of each snapshot that was due what its columns hold.
        book: after the last message.
        schema: of the rows.
    """

    row_values: list[tuple[int, ...]]
    used_values: list[tuple[int, int, str, int, int, int]]
    book: OracleBook
    schema: pa.Schema

    @cached_property
    def rows(self) -> pa.Table:
        """The rows, schema `books(depth)`."""
        return _table(self.row_values, self.schema)

    @cached_property
    def used(self) -> pa.Table:
        """The snapshots, schema `USED_SNAPSHOTS`."""
        return _table(self.used_values, USED_SNAPSHOTS_SCHEMA)


def snapshot_levels(snapshots: SnapshotBatch, row: int) -> tuple[Levels, Levels]:
    """The levels of one snapshot."""
    prices, sizes = snapshots.encoded_price[row].tolist(), snapshots.encoded_size[row].tolist()
    bids, asks = (
        [level for level in zip(*side, strict=True) if level[0] != MISSING_PIPS]
        for side in zip(prices, sizes, strict=True)
    )
    return bids, asks


def replay(
    deltas: DeltaBatch,
    snapshots: SnapshotBatch,
    *,
    tick_pips: int = 1,
    extend_every: int = 10,
    depth: int = DEPTH,
    every_message: bool = False,
    forced: frozenset[int] = frozenset(),
    edges: tuple[tuple[int, int], ...] = (),
    crossed_after_ns: int | None = None,
    warm_up_ns: int | None = None,
    precision: Precision = "int64",
) -> OracleReplay:
    """Rebuild the book message by message.

    Args:
        deltas: in replay order.
        snapshots: in order of sequence number; the first sound one seeds, every n-th after it extends or
            repairs.
        tick_pips: of the prices.
        extend_every: n; 0: seed only.
        depth: levels a side of a row.
        every_message: a row after every message, not only after those that changed something visible.
        forced: sequence numbers of snapshots that repair without being asked.
        edges: (sequence number, bits), ascending: from the first message at or after it these bits hold.
        crossed_after_ns: a book crossed for longer loses levels, and the next candidate repairs; None: never.
        warm_up_ns: an unseeded book counts as seeded after this; None: never.
        precision: of the rows; with `decimal128` prices and sizes are integers of any length, in units of 10**-18.
    """
    book = OracleBook()
    crossed_since: int | None = None
    defects = snapshot_defects(snapshots, tick_pips)
    numbers = snapshots.sequence_number.tolist()
    due = deque((numbers[row], row) for row in EveryNthSnapshot(extend_every).rows(defects).tolist())
    rows: list[tuple[int, ...]] = []
    used: list[tuple[int, int, str, int, int, int]] = []
    shown: tuple[int, ...] = ()
    pending = False
    starts = np.flatnonzero(np.diff(deltas.sequence_number, prepend=deltas.sequence_number[:1] - 1))
    columns = [
        array.tolist()
        for array in (
            deltas.origin_time,
            deltas.received_time,
            deltas.sequence_number,
            deltas.is_bid,
            deltas.encoded_price,
            deltas.encoded_size,
        )
    ]
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(deltas)], strict=True):
        sequence, now_ns = columns[2][start], columns[0][start]
        doubt = next((bits for edge, bits in reversed(edges) if edge <= sequence), 0)
        pending |= _take_due(book, snapshots, defects, due, sequence - 1, used, forced)
        if warm_up_ns is not None and now_ns - columns[0][0] >= warm_up_ns:
            book.warm = book.warm or not book.seeded
        book.message += 1
        for at in range(start, stop):
            book.set(columns[3][at], columns[4][at], columns[5][at])
        pending |= _take_due(book, snapshots, defects, due, sequence, used, forced)
        crossed = book.crossed
        book.counts["crossed_messages"] += crossed
        book.counts["crossed_episodes"] += crossed and crossed_since is None
        crossed_since = (now_ns if crossed_since is None else crossed_since) if crossed else None
        if (
            crossed_since is not None
            and crossed_after_ns is not None
            and now_ns - crossed_since > crossed_after_ns
        ):
            book.evict()
            pending, crossed_since = True, None
        now = book.row(depth, doubt)
        if every_message or pending or now != shown:
            flags = now[0] | (REPAIRED if pending else 0)
            pending = False
            rows.append((columns[0][start], columns[1][start], sequence, flags, *now[1:]))
        shown = now
    return OracleReplay(rows, used, book, in_precision(books_schema(depth), precision))


def _take_due(
    book: OracleBook,
    snapshots: SnapshotBatch,
    defects: np.ndarray,
    due: deque[tuple[int, int]],
    sequence: int,
    used: list[tuple[int, int, str, int, int, int]],
    forced: frozenset[int],
) -> bool:
    """Take over the candidates up to a sequence number; true if one of them repaired the book."""
    repaired = False
    while due and due[0][0] <= sequence:
        _, row = due.popleft()
        head = int(snapshots.sequence_number[row]), int(snapshots.origin_time[row])
        if defects[row] != SnapshotDefect.NONE:
            used.append((*head, "rejected", 0, 0, 0))
            continue
        best = [side.best(1) for side in book.sides]
        use, *counts = book.take(snapshot_levels(snapshots, row), head[0] in forced)
        used.append((*head, use, *counts))
        moved = best != [side.best(1) for side in book.sides]
        repaired |= use == "repaired" or (moved and (use == "extended" or book.warm))
        book.warm = False
    return repaired


def unscaled(value: int) -> Decimal:
    """The decimal of an integer in units of 10**-18; exact, which a division under Python's context is not."""
    return Decimal(f"{value}e-18")


def _table(
    rows: list[tuple[int, ...]] | list[tuple[int, int, str, int, int, int]], schema: pa.Schema
) -> pa.Table:
    """Rows as an arrow table; levels that do not exist become null."""
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in schema]
    for index in range(6, len(schema) - 1, 2) if len(schema) > 6 else ():
        missing = [price == MISSING_PIPS for price in columns[index]]
        for at in (index, index + 1):
            columns[at] = [None if gone else value for gone, value in zip(missing, columns[at], strict=True)]
    for index, kind in enumerate(schema.types):
        if pa.types.is_decimal(kind):
            columns[index] = [None if value is None else unscaled(value) for value in columns[index]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
