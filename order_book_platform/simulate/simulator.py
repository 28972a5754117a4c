"""Writes Crypto Lake files: of a simulated market with the truth beside them, and of other files with faults injected.

Recorded and simulated files take the same way when faults are injected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, NS_PER_MS
from order_book_platform.errors import SettingsError
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.simulate.fault_plan import Edits, FaultPlan, Row, plan_faults
from order_book_platform.simulate.faults import Faults
from order_book_platform.simulate.lake_files import (
    LAKE_TABLES,
    SCHEMAS,
    lake_writer,
    read_index,
    staging_folder,
    write_record,
    written_files,
)
from order_book_platform.simulate.market_profile import MarketProfile
from order_book_platform.simulate.simulated_market import (
    OPENING_MS,
    Market,
    chunk_tables,
    full_book_table,
    ticker_table,
)
from order_book_platform.sources import LakeSource
from order_book_platform.storage import ParquetSink

_BATCH_ROWS = 1_048_576
_CLOSING_SHARE = 0.99
"""Share of a day that a simulation may be expected to last, so that chance does not carry it over midnight."""


@dataclass(frozen=True, slots=True)
class InjectionReport:
    """The files that were written, and the faults in them.

    `rows` has the number of rows by table, after faults; `injected` the faults, as in the record; and `files` the path
    of every file by table, the record as `truth/faults`.
    """

    key: PartitionKey
    rows: dict[str, int]
    injected: tuple[dict[str, Any], ...]
    files: dict[str, Path]


def inject_faults(
    source_root: Path,
    out_root: Path,
    key: PartitionKey,
    faults: Faults,
    seed: int,
    progress: Progress = silent,
) -> InjectionReport:
    """Copy one symbol-day's `book_delta_v2`, `book` and `trades`, recorded or simulated, with faults applied.

    `seed` chooses where, as far as `faults` does not say; the record goes to `truth/faults` of `out_root`, which is
    another folder. Progress is in rows.

    Raises:
        SettingsError: both roots are the same, the faults do not fit, or recorded files are in the way.
        SourceError: the source cannot be read.
    """
    source_root, out_root = Path(source_root), Path(out_root)
    if source_root.resolve() == out_root.resolve():
        raise SettingsError(
            expected="a folder other than the source",
            found=str(out_root),
            where="out_root",
            remedy="Faults are written to a copy; choose where it shall be.",
        )
    with staging_folder(out_root, key) as folder:
        injected, rows = inject(LakeSource(source_root), folder / "done", key, faults, seed, progress)
        write_record(folder / "done", key, seed=seed, faults=str(faults), injected=list(injected))
    return InjectionReport(key, rows, injected, written_files(out_root, key, LAKE_TABLES))


def inject(
    source: LakeSource, out: Path, key: PartitionKey, faults: Faults, seed: int, progress: Progress
) -> tuple[tuple[dict[str, Any], ...], dict[str, int]]:
    """Plan the faults, write the three tables with them, and give the record's entries and the rows by table."""
    plan = plan_faults(read_index(source, key), key, faults, seed)
    with lake_writer(out, key, LAKE_TABLES) as sinks:
        for table in LAKE_TABLES:
            files = source.files(table, key)
            total, done = sum(file.rows for file in files), 0
            batches = (
                batch for file in files for _, batch in file.batches(SCHEMAS[table].names, _BATCH_ROWS)
            )
            for rows in apply_plan(table, batches, plan):
                sinks[table].write(rows)
                done += rows.num_rows
                progress(f"faults in {table}", min(done, total), total)
    return tuple(plan.record), {table: sink.rows for table, sink in sinks.items()}


def apply_plan(table: str, batches: Iterable[pa.RecordBatch], plan: FaultPlan) -> Iterator[pa.Table]:
    """Give the batches of a table with the plan's edits, cast to the schema of the table."""
    edits = {"book_delta_v2": plan.deltas, "book": plan.books}.get(table, Edits())
    first = 0
    for batch in batches:
        rows = pa.Table.from_batches([batch]).select(SCHEMAS[table].names).cast(SCHEMAS[table])
        changed = _apply(rows, first, edits)
        if plan.clock_skew_ns:
            at = changed.schema.get_field_index("receipt_timestamp")
            skewed = changed.column(at).to_numpy() + plan.clock_skew_ns
            changed = changed.set_column(at, changed.field(at), pa.array(skewed))
        yield changed
        first += batch.num_rows


def _apply(rows: pa.Table, first: int, edits: Edits) -> pa.Table:
    """Apply the edits that fall on rows first … first + n − 1, in one gather over the old rows and the new ones."""
    stop = first + rows.num_rows
    order = np.arange(rows.num_rows)
    new: list[Row] = []
    for place, row in edits.replaced.items():
        if first <= place < stop:
            order[place - first] = rows.num_rows + len(new)
            new.append(row)
    kept = np.ones(rows.num_rows, np.bool_)
    for start, end in edits.removed:
        kept[max(0, start - first) : max(0, end - first)] = False
    inserted = [(place - first + 1, row) for place, row in edits.inserted if first <= place < stop]
    if not new and not inserted and kept.all():
        return rows
    places = [place for place, _ in inserted]
    order = np.insert(order, places, np.arange(len(inserted)) + rows.num_rows + len(new))
    kept = np.insert(kept, places, True)
    new += [row for _, row in inserted]
    together = pa.concat_tables([rows, pa.Table.from_pylist(new, schema=rows.schema)])
    return together.take(pa.array(order[kept]))


@dataclass(frozen=True, slots=True)
class SimulationReport(InjectionReport):
    """The files that a simulation wrote; messages are counted before faults, and exchange times are in ns."""

    messages: int
    first_timestamp: int
    last_timestamp: int


class MarketSimulator:
    """Writes simulated Crypto Lake files with their truth; deterministic in every argument but `chunk_rows`.

    `seed`, 0 or more, chooses one of the possible markets of a profile. The full book is written after the first
    message, after every one in `full_book_every`, and after the last. About `chunk_rows` delta rows are held at a time.
    """

    def __init__(
        self, profile: MarketProfile, seed: int, full_book_every: int = 5_000, chunk_rows: int = 262_144
    ) -> None:
        self.profile = profile
        self.seed = _at_least("seed", seed, 0)
        self.full_book_every = _at_least("full_book_every", full_book_every, 1)
        self._chunk_rows = _at_least("chunk_rows", chunk_rows, 1)

    @property
    def messages_per_day(self) -> int:
        """The most messages that may be simulated, which fill a day."""
        day_ms = NS_PER_DAY / NS_PER_MS - OPENING_MS
        return int(day_ms * _CLOSING_SHARE / self.profile.mean_interval_ms)

    def write(
        self,
        root: Path,
        key: PartitionKey,
        messages: int,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        progress: Progress = silent,
    ) -> SimulationReport:
        """Write `book_delta_v2/`, `book/`, `trades/` and `truth/` of one symbol and day; all files appear together.

        Each day has a market of its own, which sends so many depth messages. Faults strike between the market and the
        files; the truth knows nothing of them. Progress is in messages and, with faults, in rows.

        Raises:
            SettingsError: more messages than fit a day, faults that do not fit the messages, or recorded files in the
                way.
            PartitionBusyError: the same symbol and day is being simulated there.
        """
        _at_least("messages", messages, 1)
        if messages > self.messages_per_day:
            raise SettingsError(
                expected=f"at most {self.messages_per_day:,} messages, which fill a day of {self.profile.name}",
                found=f"{messages:,}",
                where="messages",
                remedy="Simulate fewer, or several days.",
            )
        with staging_folder(Path(root), key) as folder:
            clean = folder / ("clean" if faults else "done")
            with lake_writer(clean, key) as sinks:
                span = self._play(sinks, key, messages, progress)
            rows = {table: sink.rows for table, sink in sinks.items()}
            injected: tuple[dict[str, Any], ...] = ()
            if faults:
                (folder / "done").mkdir()
                (clean / "truth").replace(folder / "done" / "truth")
                injected, faulty = inject(
                    LakeSource(clean), folder / "done", key, faults, self.seed, progress
                )
                rows |= faulty
            write_record(
                *(folder / "done", key),
                profile=self.profile.name,
                seed=self.seed,
                messages=messages,
                faults=str(faults),
                injected=list(injected),
            )
        files = written_files(Path(root), key, SCHEMAS)
        return SimulationReport(key, rows, injected, files, messages, *span)

    def _play(
        self, sinks: Mapping[str, ParquetSink], key: PartitionKey, messages: int, progress: Progress
    ) -> tuple[int, int]:
        """Play the market into the sinks; gives the exchange times of the first and the last message, ns."""
        market = Market(self.profile, self.seed, key, self._chunk_rows)
        sinks["truth/book_ticker"].write(ticker_table(market.opening_ticker(), self.profile))
        played, first_ms, last_ms = 0, 0, 0
        while played < messages:
            chunk = market.play(self._next_stop(played, messages) - played)
            for table, rows in chunk_tables(chunk, self.profile).items():
                sinks[table].write(rows)
            first_ms = first_ms or int(chunk.messages[market_arrays.MESSAGE_TIME_MS, 0])
            last_ms = int(chunk.messages[market_arrays.MESSAGE_TIME_MS, -1])
            played += chunk.messages.shape[1]
            if played == self._next_stop(played - 1, messages):
                final_id = int(chunk.messages[market_arrays.MESSAGE_FINAL_ID, -1])
                book = full_book_table(final_id, market.full_book(), self.profile)
                sinks["truth/full_book"].write(book)
            progress("messages", played, messages)
        return first_ms * NS_PER_MS, last_ms * NS_PER_MS

    def _next_stop(self, played: int, messages: int) -> int:
        """Give the next message after `played` messages whose full book is written."""
        if played == 0:
            return 1
        return min(messages, (played // self.full_book_every + 1) * self.full_book_every)


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise SettingsError(
            expected=f"an integer of {least} or more",
            found=str(value),
            where=name,
            remedy="Correct the value.",
        )
    return value
