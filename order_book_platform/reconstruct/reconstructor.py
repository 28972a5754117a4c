"""Publishes `reconstructed_books`: the visible book after each event, the closing state, and the snapshots used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import (
    CLOSING_STATE_FILE,
    CLOSING_STATE_SCHEMA,
    USED_SNAPSHOTS_FILE,
    USED_SNAPSHOTS_SCHEMA,
)
from order_book_platform.model import BookFlag, GateResult, Instrument, PartitionKey
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.observability import Progress, StreamMetrics, silent
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_checkpoints import DATASET
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.inspection import BookState, Verification, book_at, verify
from order_book_platform.reconstruct.day.restarts import replay_with_restarts
from order_book_platform.reconstruct.live.follower import Followed, Follower
from order_book_platform.replay.book import Book
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest, PartitionWriter


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of one run. They are not part of the partition, which any run makes with the same bytes.

    Attributes:
        resumed_from: Deltas that an earlier run had applied.
        checkpoints_refused: Checkpoints of earlier runs that were damaged or did not fit.
        checkpoints_written: Checkpoints saved by this run since its last restart.
        restarts: Restarts after a stage had stalled.
    """

    resumed_from: int
    checkpoints_refused: int
    checkpoints_written: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The result of a reconstruction.

    Attributes:
        manifest: Manifest of `reconstructed_books`; its metadata holds `replay_hash` and counts.
        run: Facts of the run.
        metrics: Metrics of the stages at their end.
        gates: Always empty; the fidelity report judges the books.
    """

    manifest: Manifest
    run: RunFacts
    metrics: StreamMetrics
    gates: tuple[GateResult, ...] = ()


class Reconstructor:
    """Rebuilds the book of one symbol and day.

    Args:
        store: Has the inputs; gets `reconstructed_books`.
        settings: `reconstruct`, `gaps`, `sources` and `streaming`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> Reconstruction:
        """Publish the books of one symbol and day.

        Raises:
            PartitionMissingError: An input has not been published.
            ReconstructionError: The previous day's closing state does not fit.
        """
        with self._store.write(DATASET, key, keep=True) as writer:
            attempt, restarts = replay_with_restarts(self._store, self._settings, key, writer, progress)
            attempt.parts.close()
            writer.inputs.update(attempt.replay.inputs)
            self._finish(writer, attempt.replay, attempt.parts)
        run = RunFacts(
            attempt.resumed_from, attempt.checkpoints.refused, attempt.checkpoints.written, restarts
        )
        return Reconstruction(self._store.manifest(DATASET, key), run, attempt.metrics)

    def _finish(self, writer: PartitionWriter, replay: DayReplay, parts: BookWriter) -> None:
        """Write the files beside the rows, and the metadata."""
        used, uses, first_seed = replay.used_snapshots()
        writer.parquet(USED_SNAPSHOTS_FILE, USED_SNAPSHOTS_SCHEMA).write(used)
        closing = closing_state(replay.book, replay.encoding)
        writer.parquet(CLOSING_STATE_FILE, closing.schema).write(closing)
        if replay.encoding.precision == "decimal128":
            writer.metadata.update(price_unit=replay.encoding.unit, size_unit=parts.tables.size_unit)
        writer.metadata.update(self._describe(replay, uses, first_seed, parts))

    def book_at(
        self, key: PartitionKey, *, at_ns: int | None = None, sequence_number: int | None = None
    ) -> BookState:
        """Return the full book at an instant, replayed; see `inspection.book_at`."""
        return book_at(self._store, self._settings, key, at_ns=at_ns, sequence_number=sequence_number)

    def verify(
        self, key: PartitionKey, batch_rows: int | None = None, progress: Progress = silent
    ) -> Verification:
        """Replay again and compare with the published books; see `inspection.verify`."""
        return verify(self._store, self._settings, key, batch_rows=batch_rows, progress=progress)

    def follow(
        self,
        instrument: Instrument,
        capture: Path,
        output: Path,
        wait: Callable[[], bool],
        observe: Callable[[StreamMetrics], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Followed:
        """Make books of a live capture in near real time, from where an earlier run left off; see docs/formats/live.md.

        Every row is in the log of books once, and equals that of an undisturbed run, however often this one is killed
        and called again.

        Args:
            instrument: The instrument that is captured.
            capture: Folder of the logs `raw_deltas` and `snapshots`.
            output: Folder of the books; made if it is not there.
            wait: Called from another thread when nothing new is there. It returns True when it is worth looking again,
                soon enough for an interrupt, or False to stop: rows appended before are still applied, and no others.
            observe: Called with metrics a few times a second.
            stopped: Returns whether to end at once behind the rows that have been read, however many more there are;
                the next call goes on there. Asked once for every 65,536 deltas, from another thread; must not block.

        Raises:
            LogMissingError: The capture has no such logs, or they do not reach to where an earlier run was.
            LogSchemaError: A log has other columns, or belongs to another instrument, or other settings.
            PrecisionError: The capture holds decimals.
            LogBusyError: Another process follows into the same folder.
            ReplayMismatchError: A row that an earlier run wrote comes out differently.
            StallError: A stage hangs; the next call goes on from the last checkpoint. If it is a call to the device
                that hangs, the books stay busy until it returns: end the process.
        """
        return Follower(self._settings, instrument, capture, output).run(wait, observe, stopped)

    def _describe(
        self, replay: DayReplay, uses: Counter[str], seed: int | None, parts: BookWriter
    ) -> dict[str, Any]:
        wanted, book = self._settings.reconstruct, replay.book
        first_seed = replay.continued_from if replay.continued_from is not None else seed
        unit = replay.encoding.unit
        bid, ask = (None if bound is None else bound * unit for bound in book.bounds)
        return {
            "strategy": replay.strategy.name,
            "seed": _seed(replay, seed),
            "depth": wanted.depth,
            "cadence": wanted.cadence,
            "grid_ns": wanted.grid if wanted.cadence == "grid" else None,
            "extend_every": wanted.extend_every,
            "replay_hash": parts.tables.digest.hexdigest(),
            "first_seed_sequence_number": first_seed,
            "continued_from": replay.continued_from,
            "not_continued": replay.not_continued,
            "closing": {
                "sequence_number": book.last_sequence_number if book.messages else None,
                "origin_time": book.last_origin_time if book.messages else None,
                "doubt": BookFlag.describe(book.gap_flags & 0xFF),
                "step_pips": book.price_step * unit,
                "known_bid_pips": bid,
                "known_ask_pips": ask,
            },
            "counts": {
                "messages": book.messages,
                "rows": parts.rows,
                **book.counts,
                **{use: uses[use] for use in ("seeded", "extended", "repaired", "rejected")},
                **dict(sorted(parts.tables.counts.items())),
            },
        }


def _seed(replay: DayReplay, seed: int | None) -> str:
    """Return what the book stands on: the previous day, which needs no seed, else a snapshot, else its warm-up."""
    if replay.continued_from is not None:
        return "previous day"
    if seed is not None:
        return "snapshot"
    return "warm-up" if replay.book.seeded else "none"


def closing_state(book: Book, encoding: PartitionEncoding) -> pa.Table:
    """Return all live levels with schema `CLOSING_STATE_SCHEMA`: bids then asks, best first.

    Args:
        book: The book after the last message.
        encoding: Encoding of the book's prices and sizes.
    """
    sides = [book.levels(side) for side in (0, 1)]
    prices = np.concatenate([side.encoded_price for side in sides])
    sizes = np.concatenate([side.encoded_size for side in sides])
    return pa.table(
        [
            pa.array(np.repeat([True, False], [len(side.encoded_price) for side in sides])),
            encoding.price_array(prices),
            encoding.size_array(sizes),
            pa.array(np.concatenate([side.known for side in sides])),
        ],
        schema=encoding.schema(CLOSING_STATE_SCHEMA),
    )
