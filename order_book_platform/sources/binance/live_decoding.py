"""Writes the live logs of docs/formats/live.md from a raw log while that grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.datasets.raw_capture import RAW_CAPTURE_SCHEMA, RAW_CAPTURE_VERSION
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TRADES_SCHEMA
from order_book_platform.errors import LogSchemaError
from order_book_platform.sources.binance.decoded_rows import DecodedRows, Numbering
from order_book_platform.sources.binance.market import Market, market_named
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform.storage import LogReader
from order_book_platform.storage.checkpoints import Checkpoint, Checkpoints
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform.storage.log.log_reader import LogTail
from order_book_platform.storage.log.segments import LogBatch, first_rows
from order_book_platform.storage.master_keys import MasterKeys

CHECKPOINT_EVERY_NS = 60 * NS_PER_SECOND
"""Time between two checkpoints of the decoder, ns."""
DECODED_BYTES = 4_000_000
"""Bytes of rows that are decoded at once where so many are there."""
CHECKPOINTS = "decoder"
"""Folder of the checkpoints beside the logs of the instruments."""
_SCHEMAS = {
    "snapshots": SNAPSHOTS_SCHEMA,
    "raw_deltas": RAW_DELTAS_SCHEMA,
    "tickers": TICKERS_SCHEMA,
    "trades": TRADES_SCHEMA,
}
"""Logs of an instrument, in the order in which the rows of a batch are appended."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of a run.

    Attributes:
        next_row: Row of the raw log that the next run goes on at.
        resumed_from: Row that this run began at.
        folders: Folders of live logs that rows were written to or compared in.
        report: Counts of the decoder since the beginning of the log.
    """

    next_row: int
    resumed_from: int
    folders: tuple[Path, ...]
    report: dict[str, Any]


class LiveDecoding:
    """Follows a raw log and appends to the live logs of its instruments; every row is there once, whatever happens.

    A run that was killed is gone on with from the newest checkpoint, or from the beginning; rows that are there already
    are made again, compared and passed over. The beginning is the first row that is there: where the oldest segments
    have been removed, also behind the newest checkpoint, the report says so as a gap.

    Args:
        raw: Folder of the raw log.
        live: Folder of the live logs, `exchange=E/symbol=S/from=N` below it.
        clock: Tells when the next checkpoint is due.
        keys: Master keys of an encrypted raw log; everything that is written is encrypted then.
    """

    def __init__(
        self, raw: Path, live: Path, clock: Clock | None = None, keys: MasterKeys | None = None
    ) -> None:
        self._raw = LogReader(raw, keys)
        self._keys = keys
        self._live = live
        self._clock = clock or Clock()
        self._checkpoints = Checkpoints(live / CHECKPOINTS)
        self._logs: dict[Path, dict[str, IdempotentLog]] = {}
        self._begun: dict[str, dict[str, int]] = {}
        """Rows that each log had at the checkpoint the run began at, by folder and log."""

    def run(self, wait: Callable[[], bool]) -> Decoded:
        """Decode what is there, and what is appended meanwhile, until `wait` says that it is enough.

        Args:
            wait: Called when there is nothing new; returns whether to look again.

        Raises:
            LogMissingError: There is no raw log, or it has lost rows at its end that had been decoded.
            LogSchemaError: It is no raw log of this version.
            LogBusyError: Another process decodes into the same folder.
            ReplayMismatchError: A row that is there differs from the one made again.
            SourceSchemaError: The rules of an instrument cannot be used.
        """
        schema = self._raw.schema()
        while schema is None:
            if not wait():
                return Decoded(0, 0, (), {})
            schema = self._raw.schema()
        market = _market_of(schema, self._raw.folder)
        decoder, start = self._resume(market)
        row, saved_ns = start, self._clock.monotonic_ns()
        with ExitStack() as stack, closing(self._raw.tail(start)) as tail:
            for rows in _joined(tail):
                if rows is not None:
                    for decoded in decoder.feed(rows.batch, rows.first_row):
                        self._write(decoded, stack)
                    row = rows.next_row
                if rows is None or self._clock.monotonic_ns() - saved_ns >= CHECKPOINT_EVERY_NS:
                    is_due = self._clock.monotonic_ns() - saved_ns >= CHECKPOINT_EVERY_NS
                    if is_due and tail.synced_row >= row and self._save(decoder, row):
                        saved_ns = self._clock.monotonic_ns()
                if rows is None and not wait():
                    break
            self._save(decoder, row)
        return Decoded(row, start, tuple(self._logs), decoder.report())

    def _resume(self, market: Market) -> tuple[RawLogDecoder, int]:
        """Return the decoder of the newest checkpoint whose rows are all there, and the row to go on at."""
        begin = min(first_rows(self._raw.folder), default=0)
        for checkpoint in self._checkpoints.newest_first() if self._checkpoints.exist() else ():
            facts = checkpoint.facts
            logs = {
                (folder, name): count
                for folder, counts in facts["logs"].items()
                for name, count in counts.items()
            }
            if facts["row"] >= begin and all(
                LogReader(self._live / folder / name, self._keys).next_row() >= count
                for (folder, name), count in logs.items()
            ):
                self._begun = facts["logs"]
                return RawLogDecoder.restore(market, self._opened(facts["state"])), int(facts["row"])
        decoder = RawLogDecoder(market)
        if begin:
            decoder.begin_behind(begin)
        return decoder, begin

    def _save(self, decoder: RawLogDecoder, row: int) -> bool:
        """Save a checkpoint once the rows before it are on the device; not while a message waits."""
        state = decoder.state()
        if state is None:
            return False
        counts = dict(self._begun)
        for folder, logs in self._logs.items():
            for log in logs.values():
                log.sync()
            counts[str(folder.relative_to(self._live))] = {name: log.next_row for name, log in logs.items()}
        self._live.mkdir(parents=True, exist_ok=True)
        self._checkpoints.save(Checkpoint({"row": row, "state": self._sealed(state), "logs": counts}, {}))
        return True

    def _sealed(self, state: dict[str, Any]) -> Any:
        """Return the decoder's state for a checkpoint: encrypted where the logs are."""
        return state if self._keys is None else self._keys.seal(json.dumps(state).encode())

    def _opened(self, state: Any) -> dict[str, Any]:
        """Return the decoder's state from a checkpoint."""
        if self._keys is not None:
            state = json.loads(self._keys.unseal(state, str(self._live / CHECKPOINTS)))
        return cast("dict[str, Any]", state)

    def _write(self, decoded: DecodedRows, stack: ExitStack) -> None:
        """Append the rows of an instrument: snapshots first, so that each is there before a later delta."""
        logs = self._logs_of(decoded.numbering, stack)
        for name in _SCHEMAS:
            rows = getattr(decoded, "deltas" if name == "raw_deltas" else name)
            tables = [each.to_arrow() if isinstance(each, DeltaBatch) else each for each in rows]
            if tables:
                logs[name].write(
                    pa.concat_tables(tables).replace_schema_metadata(_metadata(decoded.numbering)), whole=True
                )

    def _logs_of(self, numbering: Numbering, stack: ExitStack) -> dict[str, IdempotentLog]:
        """Return the logs of a stretch, all of which are there before the first row."""
        instrument = numbering.instrument
        folder = (
            self._live
            / f"exchange={instrument.exchange}"
            / f"symbol={instrument.symbol}"
            / f"from={numbering.from_row}"
        )
        if folder not in self._logs:
            begun = self._begun.get(str(folder.relative_to(self._live)), {})
            logs = {}
            for name, schema in _SCHEMAS.items():
                log = stack.enter_context(
                    IdempotentLog(folder / name, schema.with_metadata(_metadata(numbering)), self._keys)
                )
                log.go_on_at(begun.get(name, 0))
                logs[name] = log
            self._logs[folder] = logs
        return self._logs[folder]


def _joined(tail: LogTail) -> Iterator[LogBatch | None]:
    """Join batches that are there already, since each costs the decoder the same: a frame may have a dozen rows."""
    parts, size_bytes = list[LogBatch](), 0
    for rows in tail:
        if rows is not None:
            parts.append(rows)
            size_bytes += rows.batch.nbytes
        if parts and (rows is None or size_bytes >= DECODED_BYTES):
            batch = pa.concat_batches([each.batch for each in parts])
            yield LogBatch(parts[0].first_row, parts[-1].synced_row, batch)
            parts, size_bytes = [], 0
        if rows is None:
            yield None


def _metadata(numbering: Numbering) -> dict[str, str]:
    point = {name: str(number) for name, number in numbering.point.to_metadata().items()}
    return {"symbol": numbering.instrument.key, **point}


def _market_of(schema: pa.Schema, folder: Path) -> Market:
    """Return the market of a raw log by its schema's metadata.

    Raises:
        LogSchemaError: It is no raw log of this version.
    """
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    is_ours = metadata.get("format") == "raw_capture" and metadata.get("version") == str(RAW_CAPTURE_VERSION)
    if not is_ours or schema.names != RAW_CAPTURE_SCHEMA.names:
        raise LogSchemaError(
            expected=f"a raw log of a capture, version {RAW_CAPTURE_VERSION}",
            found=str(metadata or schema.names),
            where=str(folder),
            remedy="Name the folder of a raw log, see docs/formats/raw_log.md.",
        )
    return market_named(metadata.get("market", ""))
