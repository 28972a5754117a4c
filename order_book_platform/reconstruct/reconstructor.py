"""`reconstructed_books`: the visible book after each event, the closing state, and what was taken from snapshots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.kernels.book import Book
from order_book_platform.model import BookFlag, GateResult, PartitionKey
from order_book_platform.model.schemas import CLOSING_STATE, USED_SNAPSHOTS, books
from order_book_platform.observability import Progress, silent
from order_book_platform.reconstruct.inspection import BookState, Verification, book_at, verify
from order_book_platform.reconstruct.replayer import Replayer
from order_book_platform.reconstruct.rows import ReplayHash, count_flags, rows_table
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
        digest, counts = ReplayHash(), Counter[str]()
        with self._store.write("reconstructed_books", key) as writer:
            sink = writer.parquet("books.parquet", books(wanted.depth), BOOK_GROUP_ROWS)
            for rows in replay.rows(self._store, self._settings, key, progress):
                digest.update(rows)
                count_flags(rows, counts)
                sink.write(rows_table(rows, wanted.depth))
            used = used_snapshots(replay.plan, replay.book.outcome)
            writer.parquet("used_snapshots.parquet", USED_SNAPSHOTS).write(used)
            writer.parquet("closing_state.parquet", CLOSING_STATE).write(closing_state(replay.book))
            writer.inputs.update(replay.inputs)
            writer.metadata.update(replay.fixed_point.to_metadata())
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
        bid, ask = book.bounds_pips
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
                "step_pips": book.step_pips,
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


def closing_state(book: Book) -> pa.Table:
    """All live levels with schema `CLOSING_STATE`: bids then asks, best first."""
    sides = [book.levels(side) for side in (0, 1)]
    return pa.table(
        [
            pa.array(np.repeat([True, False], [len(side.price_pips) for side in sides])),
            pa.array(np.concatenate([side.price_pips for side in sides])),
            pa.array(np.concatenate([side.size_pips for side in sides])),
            pa.array(np.concatenate([side.known for side in sides])),
        ],
        schema=CLOSING_STATE,
    )
