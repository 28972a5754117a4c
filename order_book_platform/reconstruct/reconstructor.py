"""`reconstructed_books`: the visible book after each event, the closing state, and what was taken from snapshots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.kernels.book import Book
from order_book_platform.model import BookFlag, Codes, GateResult, PartitionKey
from order_book_platform.model.schemas import CLOSING_STATE, USED_SNAPSHOTS, books, in_precision
from order_book_platform.observability import Progress, silent
from order_book_platform.reconstruct.inspection import BookState, Verification, book_at, verify
from order_book_platform.reconstruct.replayer import Replayer
from order_book_platform.reconstruct.rows import ReplayHash, RowNumbers, count_flags
from order_book_platform.reconstruct.strategy import used_snapshots
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest

BOOK_GROUP_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What was published.

    Attributes:
        manifest: of `reconstructed_books`; its metadata holds `replay_hash` and counts.
        gates: none; the fidelity report judges.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...] = ()


class Reconstructor:
    """Rebuilds the book of one symbol and day.

    Args:
        store: has the inputs; gets `reconstructed_books`.
        settings: `reconstruct`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> Reconstruction:
        """Publish the books of one symbol and day.

        Raises:
            PartitionMissingError: an input has not been published.
            ReconstructionError: the previous day's closing state does not fit.
        """
        wanted = self._settings.reconstruct
        replay = Replayer.of(self._store, self._settings, key)
        digest, counts, numbers = ReplayHash(), Counter[str](), RowNumbers(replay.codes)
        precision = numbers.precision
        with self._store.write("reconstructed_books", key) as writer:
            sink = writer.parquet(
                "books.parquet", in_precision(books(wanted.depth), precision), BOOK_GROUP_ROWS
            )
            for rows in replay.rows(self._store, self._settings, key, progress):
                digest.update(numbers.hashed(rows))
                count_flags(rows, counts)
                sink.write(numbers.table(rows, wanted.depth))
            used = used_snapshots(replay.plan, replay.book.outcome)
            writer.parquet("used_snapshots.parquet", USED_SNAPSHOTS).write(used)
            closing = closing_state(replay.book, replay.codes)
            writer.parquet("closing_state.parquet", closing.schema).write(closing)
            writer.inputs.update(replay.inputs)
            writer.metadata.update(replay.fixed_point.to_metadata(), precision=precision)
            if replay.codes:
                writer.metadata.update(price_unit=replay.codes.unit, size_unit=numbers.size_unit)
            writer.metadata.update(self._describe(replay, used, counts, sink.rows, digest))
        return Reconstruction(self._store.manifest("reconstructed_books", key))

    def book_at(
        self, key: PartitionKey, *, at_ns: int | None = None, sequence_number: int | None = None
    ) -> BookState:
        """The full book at an instant, replayed; see `inspection.book_at`."""
        return book_at(self._store, self._settings, key, at_ns=at_ns, sequence_number=sequence_number)

    def verify(
        self, key: PartitionKey, batch_rows: int | None = None, progress: Progress = silent
    ) -> Verification:
        """Replay again and compare with what was published; see `inspection.verify`."""
        return verify(self._store, self._settings, key, batch_rows=batch_rows, progress=progress)

    def _describe(
        self, replay: Replayer, used: pa.Table, counts: Counter[str], rows: int, digest: ReplayHash
    ) -> dict[str, Any]:
        wanted, book = self._settings.reconstruct, replay.book
        uses = Counter(used.column("use").to_pylist())
        seeds = [row["sequence_number"] for row in used.to_pylist() if row["use"] == "seeded"]
        first_seed = (
            replay.continued_from if replay.continued_from is not None else (seeds[0] if seeds else None)
        )
        unit = replay.codes.unit if replay.codes else 1
        bid, ask = (None if bound is None else bound * unit for bound in book.bounds_pips)
        return {
            "strategy": replay.strategy.name,
            "seed": _seed(replay, seeds),
            "depth": wanted.depth,
            "cadence": wanted.cadence,
            "grid_ns": wanted.grid if wanted.cadence == "grid" else None,
            "extend_every": wanted.extend_every,
            "replay_hash": digest.hexdigest(),
            "first_seed_sequence_number": first_seed,
            "continued_from": replay.continued_from,
            "not_continued": replay.not_continued,
            "closing": {
                "sequence_number": book.last_sequence_number if book.messages else None,
                "origin_time": book.last_origin_time if book.messages else None,
                "doubt": BookFlag.describe(book.doubt & 0xFF),
                "step_pips": book.step_pips * unit,
                "known_bid_pips": bid,
                "known_ask_pips": ask,
            },
            "counts": {
                "messages": book.messages,
                "rows": rows,
                **book.counts,
                **{use: uses[use] for use in ("seeded", "extended", "repaired", "rejected")},
                **dict(sorted(counts.items())),
            },
        }


def _seed(replay: Replayer, seeds: list[int]) -> str:
    """What the book stands on from its start: in this order of preference, but a day that goes on needs no seed."""
    if replay.continued_from is not None:
        return "previous day"
    if seeds:
        return "snapshot"
    return "warm-up" if replay.book.seeded else "none"


def closing_state(book: Book, codes: Codes | None) -> pa.Table:
    """All live levels with schema `CLOSING_STATE`: bids then asks, best first.

    Args:
        book: after the last message.
        codes: of its numbers; None for pips.
    """
    sides = [book.levels(side) for side in (0, 1)]
    prices = np.concatenate([side.price_pips for side in sides])
    sizes = np.concatenate([side.size_pips for side in sides])
    return pa.table(
        [
            pa.array(np.repeat([True, False], [len(side.price_pips) for side in sides])),
            pa.array(prices) if codes is None else codes.price_array(prices),
            pa.array(sizes) if codes is None else codes.size_array(sizes),
            pa.array(np.concatenate([side.known for side in sides])),
        ],
        schema=in_precision(CLOSING_STATE, "int64" if codes is None else "decimal128"),
    )
