"""Publishes `reconstructed_books`, replays them again, and gives the book at an instant or of a live capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import iso_from_ns
from order_book_platform.datasets.reconstructed_books.schema import (
    CLOSING_STATE_FILE,
    CLOSING_STATE_SCHEMA,
    USED_SNAPSHOTS_FILE,
    USED_SNAPSHOTS_SCHEMA,
)
from order_book_platform.datasets.reconstructed_books.writer import ReplayHash, stored_rows
from order_book_platform.errors import NoBookError
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD
from order_book_platform.model import BookFlag, FixedPoint, GateResult, Instrument, PartitionKey
from order_book_platform.model.arrays import BoolArray
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.observability import Progress, StreamMetrics, silent
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.reconstruct.day.day_stream import replay_with_restarts
from order_book_platform.reconstruct.live.follower import Followed, Follower
from order_book_platform.reconstruct.replay_checkpoints import DATASET
from order_book_platform.replay.book import Book, Levels
from order_book_platform.replay.replay_steps import Instant
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest

STORED_ROWS = 65_536
"""Stored rows that are read at a time: 45 MB at depth 20."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of one run. They are not part of the partition, which any run makes with the same bytes.

    Attributes:
        resumed_from: Deltas that an earlier run had applied.
        checkpoints_refused: Checkpoints of earlier runs that were damaged or did not fit.
        checkpoints_written: Checkpoints saved by this run since its last restart, of which there were `restarts`.
    """

    resumed_from: int
    checkpoints_refused: int
    checkpoints_written: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The result of a reconstruction, without gates: the fidelity report judges the books.

    Attributes:
        manifest: Manifest of `reconstructed_books`; its metadata holds `replay_hash` and counts.
        metrics: Metrics of the stages at their end.
    """

    manifest: Manifest
    run: RunFacts
    metrics: StreamMetrics
    gates: tuple[GateResult, ...] = ()


@dataclass(frozen=True, slots=True)
class BookSide:
    """One side of a book, best level first, in pips of the partition's decimals.

    Attributes:
        price_pips, size_pips: int64[n]; for a day of decimals object[n], integers of any length.
        known: bool[n]: whether the level lies in the price range that the book knows.
    """

    price_pips: NDArray[Any]
    size_pips: NDArray[Any]
    known: BoolArray


@dataclass(frozen=True, slots=True)
class BookState:
    """The full book after a message, with its number, its times (ns), the `BookFlag` bits of its row, and its pips."""

    sequence_number: int
    origin_time: int
    received_time: int
    flags: int
    bids: BookSide
    asks: BookSide
    fixed_point: FixedPoint


@dataclass(frozen=True, slots=True)
class Verification:
    """The comparison of a published partition with a second replay.

    Attributes:
        published, replayed, stored: `replay_hash` in the manifest, of the second replay, and of the rows in the parts.
        rows: Number of rows replayed.
        changed_inputs: Datasets that have been published anew since; the partition is out of date.
    """

    published: str
    replayed: str
    stored: str
    rows: int
    changed_inputs: tuple[str, ...]

    @property
    def matches(self) -> bool:
        """Whether all three hashes are equal and the inputs are those that the partition was made from."""
        return self.published == self.replayed == self.stored and not self.changed_inputs


class Reconstructor:
    """Rebuilds the book of one symbol and day.

    Every method that reads a day raises `PartitionMissingError` if an input has not been published, and
    `ReconstructionError` if the previous day's closing state does not fit.

    Args:
        store: Has the inputs; gets `reconstructed_books`.
        settings: `reconstruct`, `gaps`, `sources` and `streaming`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> Reconstruction:
        """Publish the books of one symbol and day."""
        with self._store.write(DATASET, key, keep=True) as writer:
            stream, metrics, restarts = replay_with_restarts(
                self._store, self._settings, key, writer, progress
            )
            replay, parts = stream.replay, stream.parts
            parts.close()
            writer.inputs.update(replay.inputs)
            used, uses, first_seed = replay.used_snapshots()
            writer.parquet(USED_SNAPSHOTS_FILE, USED_SNAPSHOTS_SCHEMA).write(used)
            closing = closing_state(replay.book, replay.encoding)
            writer.parquet(CLOSING_STATE_FILE, closing.schema).write(closing)
            if replay.encoding.precision == "decimal128":
                writer.metadata.update(price_unit=replay.encoding.unit, size_unit=parts.tables.size_unit)
            writer.metadata.update(self._describe(replay, uses, first_seed, parts))
        checkpoints = stream.checkpoints
        run = RunFacts(stream.resumed_from, checkpoints.refused, checkpoints.written, restarts)
        return Reconstruction(self._store.manifest(DATASET, key), run, metrics)

    def book_at(
        self, key: PartitionKey, *, at_ns: int | None = None, sequence_number: int | None = None
    ) -> BookState:
        """Replay a day with the settings of its books up to an instant, given by one of the two.

        Args:
            key: Symbol and day.
            at_ns: Return the book after the last message with this origin time or an earlier one, ns.
            sequence_number: Return the book after the last message with this sequence number or a smaller one.

        Raises:
            NoBookError: The day's first message comes later.
        """
        replay, last = DayReplay.prepare(self._store, self._settings, key, cadence="message"), None
        until = Instant(at_ns, sequence_number)
        for rows in replay.rows(self._store, silent, self._settings.sources.batch_rows, until):
            last = rows[-1, :4].copy()
        if last is None:
            raise self._no_book_yet(key, at_ns, sequence_number)
        origin_time, received_time, number, flags = map(int, last)
        bids, asks = (_in_pips(replay.book.levels(side), replay.encoding) for side in (0, 1))
        return BookState(number, origin_time, received_time, flags, bids, asks, replay.fixed_point)

    def _no_book_yet(self, key: PartitionKey, at_ns: int | None, sequence_number: int | None) -> NoBookError:
        """Return an error that names the day's first book, by time or by sequence number as the caller asked."""
        replay = DayReplay.prepare(self._store, self._settings, key, cadence="message")
        pieces = replay.rows(self._store, silent, self._settings.sources.batch_rows)
        first = next((rows[0] for rows in pieces if len(rows)), None)
        if first is None:
            expected = "a day with a book"
        elif at_ns is not None:
            expected = f"an instant from {iso_from_ns(int(first[0]))} on"
        else:
            expected = f"a sequence number from {int(first[2])} on"
        return NoBookError(
            expected=expected,
            found=f"{sequence_number}" if at_ns is None else iso_from_ns(at_ns),
            where=str(key),
            remedy="Choose a later time or sequence number, or the day before.",
        )

    def verify(
        self, key: PartitionKey, batch_rows: int | None = None, progress: Progress = silent
    ) -> Verification:
        """Replay a published day again, with another batch size if wished, and hash the stored rows.

        Raises:
            PartitionCorruptError: A published file differs from its manifest.
        """
        store, manifest = self._store, self._store.check(DATASET, key)
        replay, replayed, rows = DayReplay.prepare(store, self._settings, key), ReplayHash(), 0
        for piece in replay.rows(store, progress, batch_rows or self._settings.sources.batch_rows):
            replayed.update(replay.encoding.hashed_rows(piece, ROW_HEAD))
            rows += len(piece)
        stored = ReplayHash()
        for batch in store.rows(DATASET, key).batches(STORED_ROWS):
            stored.update(stored_rows(pa.Table.from_batches([batch])))
        inputs, found = manifest.inputs, replay.inputs
        return Verification(
            manifest.metadata["replay_hash"],
            replayed.hexdigest(),
            stored.hexdigest(),
            rows,
            tuple(sorted(name for name in inputs if inputs[name] != found.get(name))),
        )

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
        return Follower(self._settings, instrument, capture, output, wait, observe, stopped).run()

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
    """Return all live levels with schema `CLOSING_STATE_SCHEMA`: bids then asks, best first."""
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


def _in_pips(levels: Levels, encoding: PartitionEncoding) -> BookSide:
    """Return levels of a replay in pips of the partition's decimals."""
    prices = encoding.unscaled_prices(levels.encoded_price)
    return BookSide(prices, encoding.unscaled_sizes(levels.encoded_size), levels.known)
