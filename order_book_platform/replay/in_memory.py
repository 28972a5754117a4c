"""The replay of deltas and snapshots that are in memory, without a store.

It goes through the same strategy and book as the published days, and gives the same rows and the same `replay_hash`.
Two messages, the second of which removes the best bid:

>>> import numpy as np
>>> from order_book_platform import DeltaBatch, replay_in_memory
>>> time = np.array([1_000, 1_000, 1_000, 2_000])
>>> number = np.array([7, 7, 7, 8])
>>> is_bid = np.array([True, True, False, True])
>>> price, size = np.array([100, 95, 105, 100]), np.array([3, 4, 5, 0])
>>> result = replay_in_memory(DeltaBatch(time, time, number, is_bid, price, size), tick=5, depth=1)
>>> result.rows.select(["sequence_number", "bid_0_price_pips", "ask_0_price_pips"]).to_pydict()
{'sequence_number': [7, 8], 'bid_0_price_pips': [100, 95], 'ask_0_price_pips': [105, 105]}
>>> result.book.levels(0).encoded_size
array([4])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, whole_messages
from order_book_platform.datasets.reconstructed_books.writer import BookTables
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import DEPTH
from order_book_platform.model.pip_encoding import VERBATIM, PartitionEncoding
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.snapshot_scheduler import SnapshotScheduler
from order_book_platform.replay.strategy import FullEventReplay, Strategy
from order_book_platform.settings import GapSettings, ReconstructSettings

_RECONSTRUCT, _GAPS = ReconstructSettings(), GapSettings()


@dataclass(frozen=True, slots=True)
class InMemoryReplay:
    """The result: rows with the schema of `reconstructed_books`, their SHA-256, and the book after the last message."""

    rows: pa.Table
    replay_hash: str
    book: Book


def replay_in_memory(
    deltas: DeltaBatch | Iterable[DeltaBatch],
    snapshots: SnapshotBatch | None = None,
    *,
    tick: int,
    depth: int = DEPTH,
    cadence: str = _RECONSTRUCT.cadence,
    grid_ns: int = _RECONSTRUCT.grid,
    strategy: Strategy | None = None,
    gaps: pa.Table | None = None,
    crossed_after_ns: int = _GAPS.crossed_after,
    warm_up_ns: int = _RECONSTRUCT.warm_up,
    silence_ns: int = _GAPS.silence,
    encoding: PartitionEncoding = VERBATIM,
) -> InMemoryReplay:
    """Replay deltas and snapshots; all defaults are those of the settings.

    Args:
        deltas: Level changes in replay order; a message may be cut between two batches.
        snapshots: Snapshots, ascending by sequence number, which seed, extend and repair the book; by default none.
        tick: Divides every price of the deltas; prices of sound snapshots are multiples of it. Encoded.
        depth: Like the other arguments of its kind, see `Book`.
        cadence: See `Book`.
        grid_ns: See `Book`.
        strategy: How the book is rebuilt; by default every delta is applied.
        gaps: Gaps with the schema of `sequence_gap_report`, which flag rows and force repairs; by default none.
        crossed_after_ns: See `Book`.
        warm_up_ns: See `Book`.
        silence_ns: See `Book`.
        encoding: Encoding of prices and sizes; by default int64 pips.

    Raises:
        BatchError: An argument is out of its range, or the deltas are not in order or not multiples of the tick.
    """
    strategy = strategy or FullEventReplay(_RECONSTRUCT.extend_every)
    timeline = strategy.timeline(FlagTimeline.none() if gaps is None else FlagTimeline.from_gaps(gaps))
    book = Book(
        tick,
        depth=depth,
        cadence=cadence,
        grid_ns=grid_ns,
        crossed_after_ns=crossed_after_ns,
        warm_up_ns=warm_up_ns,
        silence_ns=silence_ns,
    )
    book.add_flag_changes(timeline.changes)
    batches = [snapshots] if snapshots is not None else []
    scheduler = SnapshotScheduler(
        iter(batches),
        strategy.selector(),
        timeline.recover_from,
        tick,
        proven_by_ids=timeline.proven_by_ids,
    )
    steps = strategy.steps(scheduler)
    tables, made = BookTables(depth, encoding), list[pa.Table]()
    messages = whole_messages([deltas] if isinstance(deltas, DeltaBatch) else deltas)
    for step in chain(chain.from_iterable(map(steps.take, messages)), steps.finish()):
        made += map(tables.table, strategy.apply(book, step))
    last = book.finish()
    if len(last):
        made.append(tables.table(last))
    rows = pa.concat_tables([tables.schema.empty_table(), *made])
    return InMemoryReplay(rows, tables.digest.hexdigest(), book)
