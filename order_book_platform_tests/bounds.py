"""Upper bounds of each asset's memory, from the constants and settings that bound it, as in docs/memory.md."""

from __future__ import annotations

import pyarrow as pa

from order_book_platform.datasets.columns import NARROW_ROWS
from order_book_platform.datasets.reconstructed_books.reader import BATCH_ROWS as BOOK_BATCH_ROWS
from order_book_platform.datasets.reconstructed_books.reader import BEST_ROWS
from order_book_platform.datasets.snapshots import REFERENCE_ROWS, SNAPSHOT_ROWS
from order_book_platform.fidelity.metrics import distributions, size_correlation
from order_book_platform.fidelity.metrics.time_windows import MAX_WINDOWS
from order_book_platform.fidelity.references.sequence_alignment import PLACEBO_SHIFTS_NS
from order_book_platform.kernels.book.ladder_arrays import WINDOW_SLOTS
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.model import FixedPoint
from order_book_platform.reconstruct.live.live_source import READ_ROWS
from order_book_platform.reconstruct.memory_budget import DELTA_BYTES, GROUP_BYTES, MemoryBudget, row_bytes
from order_book_platform.replay.recent_messages import REMEMBERED_ROWS
from order_book_platform.replay.snapshot_inbox import WAITING_BYTES
from order_book_platform.rl.features.event_reader import FeatureSpec
from order_book_platform.rl.features.feature_builder import BATCH_ROWS
from order_book_platform.settings import Settings
from order_book_platform.sources.lake_ingest import DELTA_GROUP_ROWS, SNAPSHOT_GROUP_ROWS

FAR_LEVELS = 50_000
"""Live levels beyond the window; the simulated perpetual and the recordings have fewer than 9,000 in all."""
SNAPSHOTS = 87_000
"""Of a day, one a second."""
BOOK_ROWS = 1_590_000
GAPS = 10_000
LOG_GROUP_ROWS = 65_536
"""Rows of a row group of a sealed segment, unless `LogWriter` is told otherwise."""
PARTS = 104
"""Of a day's books, 1,048,576 deltas each."""
FOOTER_BYTES = 240_000
"""Of a part that is open for reading; measured at 20 levels."""
FREE_BYTES = 128 * 10**6
"""Freed, and kept by allocators: allowed for, not bounded by us; 115 MB were seen."""
_PAGE = 2 * 1024 * 1024
"""Of a column that is decoded: a page of at most 1 MiB as it lies in the file, and decompressed."""
_LEVELS = 4 * 20
_SNAPSHOT = 3 * 8 + _LEVELS * 8
_SLOT = 16 + 48
_FAR = 400
_USED = 16 + 32
_PLAN = {
    "plan: a row group of snapshots, and four pieces of it": SNAPSHOT_GROUP_ROWS * _SNAPSHOT
    + 4 * SNAPSHOT_ROWS * _SNAPSHOT
}
_BOOK = {
    "book: window of both sides, and room for one left behind": 2 * WINDOW_SLOTS * _SLOT,
    "book: far levels": FAR_LEVELS * _FAR,
}


def books(settings: Settings) -> dict[str, int]:
    """`reconstructed_books`."""
    bounds, depth = MemoryBudget.of(settings), settings.reconstruct.depth
    queue, batch = bounds.queue.bytes, bounds.batch_rows * DELTA_BYTES
    piece, table = DELTA_GROUP_ROWS * DELTA_BYTES, bounds.table_rows * row_bytes(depth)
    return {
        "queue before decode": max(queue, piece),
        "queue before sequence": queue,
        "queue before apply": queue,
        "queue before write": max(queue, table),
        "read: a row group": piece,
        "decode: a row group, a page of each column, two batches": piece + 9 * _PAGE + 2 * batch,
        "sequence: a batch, joined with what was left, and one handed on": 3 * batch,
        "apply: a batch, starts of its messages": batch + 8 * bounds.batch_rows,
        "apply: rows, and two tables of them": 3 * table,
        **_BOOK,
        **_PLAN,
        "history: 48 bytes for each snapshot used, and room to grow": 3 * SNAPSHOTS * _USED,
        "write: a table, two row groups": table + 2 * GROUP_BYTES,
        "checkpoint: two copies of levels": 2 * FAR_LEVELS * 24,
        "spill: a batch on its way in, one on its way out": 4 * batch,
    }


def following(settings: Settings) -> dict[str, int]:
    """`obp follow`."""
    bounds, depth = MemoryBudget.of(settings), settings.reconstruct.depth
    table = bounds.table_rows * row_bytes(depth)
    return {
        "four queues": 4 * bounds.queue.bytes,
        "deltas read at once, decoded, and handed on": 3 * READ_ROWS * DELTA_BYTES,
        "snapshots: a sealed row group read ahead": LOG_GROUP_ROWS * _SNAPSHOT,
        "snapshots that wait: three copies": 3 * WAITING_BYTES,
        "level changes of the last 10 s: five copies": 5 * REMEMBERED_ROWS * 40,
        "apply: rows, and two tables of them": 3 * table,
        "write: a table as a frame": table,
        "seal: a row group, as it came and in one piece": 2 * LOG_GROUP_ROWS * row_bytes(depth),
        "checkpoint: two copies of levels": 2 * FAR_LEVELS * 24,
        **_BOOK,
    }


def raw_deltas(settings: Settings) -> dict[str, int]:
    """`raw_deltas`, with `snapshots` and `trades`."""
    batch = settings.sources.batch_rows * DELTA_BYTES
    return {
        "three batches read ahead": 3 * batch,
        "four batches of pips": 4 * batch,
        "conversion: half a batch": batch // 2,
        "a page of each column": 6 * _PAGE,
        "two row groups": 2 * DELTA_GROUP_ROWS * DELTA_BYTES,
        "snapshots: four row groups": 4 * SNAPSHOT_GROUP_ROWS * _SNAPSHOT,
    }


def gap_report(settings: Settings) -> dict[str, int]:
    """`sequence_gap_report`."""
    batch = settings.sources.batch_rows * DELTA_BYTES
    return {
        "five batches, two of them read ahead": 5 * batch,
        "scan: half a batch": batch // 2,
        "a page of each column": 9 * _PAGE,
        **_BOOK,
        **_PLAN,
        "snapshots: 80 bytes each": SNAPSHOTS * 80,
        "gaps: 1,000 bytes each": GAPS * 1_000,
        "latencies and pauses: bins of 0.1 ms": 2 * 100_000 * 100,
    }


def assessment(_: Settings) -> dict[str, int]:
    """`data_assessment`."""
    return {"gaps and reports: 1,000 bytes a gap, twice": 2 * GAPS * 1_000}


def fidelity(settings: Settings) -> dict[str, int]:
    """`fidelity_report`."""
    references = 1 + len(PLACEBO_SHIFTS_NS)
    depth = 2 * settings.reconstruct.depth
    sample = size_correlation.SAMPLE_ROWS * depth * (8 + references * (8 + 1))
    piece, snapshots = (rows * depth * 16 for rows in (BOOK_BATCH_ROWS, REFERENCE_ROWS))
    return {
        "correlations: the sample": sample,
        "correlations: sizes and logs of two, and two rooms to rank in": size_correlation.SAMPLE_ROWS
        * (5 * depth * 8 + 2 * 88),
        "books: 8 pieces": 8 * piece,
        "snapshots: 8 pieces": 8 * snapshots,
        "distributions: weights by block of time and bin": (MAX_WINDOWS + 1)
        * (state_histograms.BINS + distributions.INTERVAL_BINS + 1)
        * 8,
        "margins: what differs by block of time and bin, twice": 2
        * (MAX_WINDOWS + 1)
        * max(state_histograms.BIN_COUNTS)
        * 8,
        "best prices: four pieces of 48 bytes a row": 4 * NARROW_ROWS * 48,
        "best prices by time: two pieces of books and two of tickers in each of six comparisons": 6
        * 4
        * BEST_ROWS
        * 58,
        "trades and best prices beside them: two pieces of each, three times": 3
        * 2
        * NARROW_ROWS
        * (16 + 24),
        "sequence numbers of deltas: two pieces": 2 * (1 << 20) * 8,
        "sequence numbers of snapshots: ten arrays": 10 * SNAPSHOTS * 8,
        "times and flags of the book's rows, twice": 2 * BOOK_ROWS * 9,
        "row groups of books, compressed, and a page of each column": GROUP_BYTES
        + (6 + 2 * depth) * _PAGE // 4,
        "parts of the books, open": PARTS * FOOTER_BYTES,
        "figures": 24 * 10**6,
    }


def features(settings: Settings) -> dict[str, int]:
    """`rl_features`."""
    spec = FeatureSpec.of(
        settings.features,
        depth=settings.reconstruct.depth,
        cadence="change",
        fixed_point=FixedPoint(8, 8, 1, 1),
        where="",
    )
    levels = spec.features.mlofi_levels + max(*spec.features.imbalance_levels, spec.features.mlofi_levels)
    chunk = BATCH_ROWS * (5 + 2 * levels) * 8
    row = sum(4 if pa.types.is_float32(kind) else 8 for kind in spec.schema.types)
    steps = (
        (spec.history + spec.block)
        * 8
        * (9 + 2 * len(spec.features.imbalance_levels) + 4 * (spec.features.mlofi_levels + 5))
    )
    return {
        "book rows: three chunks": 3 * chunk,
        "trades: three chunks": 3 * BATCH_ROWS * 40,
        "a row group of books, compressed, and a page of each column": GROUP_BYTES
        + (5 + 2 * levels) * _PAGE // 4,
        "parts of the books, open": PARTS * FOOTER_BYTES,
        "working arrays of a block": 2 * steps,
        "two row groups of features": 2 * 262_144 * row,
    }


ASSETS = {
    "raw_deltas": raw_deltas,
    "sequence_gap_report": gap_report,
    "data_assessment": assessment,
    "reconstructed_books": books,
    "fidelity_report": fidelity,
    "rl_features": features,
}
