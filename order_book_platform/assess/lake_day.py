"""Looks at a day of the lake as far as that is cheap: footers, the best prices of `book`, all times, and samples.

Samples are decoded and audited as the whole day would be. `book` is measured for itself, since it may seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from order_book_platform.assess.gap_reporter import crossed_statistics
from order_book_platform.assess.message_scan import MessageScan
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import OffGridError
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array
from order_book_platform.replay.snapshot_scheduler import defect_counts, snapshot_defects
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.day_survey import (
    ParquetStatistics,
    SampledRun,
    Silences,
    find_silences,
    read_statistics,
    sample_row_groups,
)
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import TABLES, LakeFile, check_grid, check_nulls
from order_book_platform.sources.price_grid import (
    Files,
    configured_pips,
    detected_tick,
    read_exactly,
    settled_increments,
)
from order_book_platform.sources.table_reader import (
    DeltaAudit,
    DeltaReader,
    SnapshotReader,
    TickChange,
    TradeReader,
)

PIECES = 12
"""Row groups that a day's sample is taken from: two hours apart, and 200 s of a busy perpetual each."""
DELTA_SAMPLE_ROWS, BOOK_SAMPLE_ROWS, TRADE_SAMPLE_ROWS = 3_000_000, 12_288, 600_000
ACCEPTED = 2**62
"""Off-grid values that readers of a sample accept: all, since a rule judges their number."""
BEST = ["timestamp", "sequence_number", "bid_0_price", "ask_0_price"]
"""Columns of `book` that are read for every row."""


class RunTick(NamedTuple):
    """First and last known origin time (ns, 0 if none is known), rows and price step of a run of sampled rows."""

    first_ns: int
    last_ns: int
    rows: int
    tick_pips: int


@dataclass(slots=True)
class SampledDeltas:
    """Results of looking at a sample of a day's deltas.

    Audit and steps (`tick_pips`, `lot_pips`) are as of a whole day, but of the sampled rows; the scan is of the whole
    messages among them. There is one of `ticks` for each run; `changes` of the tick are known only if there is a single
    run. The sample may be the whole day.
    """

    decoder: FloatDecoder
    audit: dict[str, Any]
    scan: MessageScan
    tick_pips: int
    lot_pips: int
    ticks: list[RunTick]
    changes: list[TickChange]
    whole: bool


@dataclass(frozen=True, slots=True)
class LakeDay:
    """Results of a cheap look at a day: by table, opened files and their statistics; and samples of the tables.

    `best` and `silences` are from every row. Of `point` tick and lot are known as far as the sample shows them, and
    `contradicted` names the configured ones that it contradicts.
    """

    key: PartitionKey
    files: dict[str, list[LakeFile]]
    footers: dict[str, ParquetStatistics]
    best: BestPrices
    silences: Silences
    deltas: SampledDeltas
    book: SampledBook
    trades: dict[str, Any]
    point: FixedPoint
    contradicted: list[str]

    @property
    def in_order(self) -> bool:
        """Whether messages that are neighbours in the sample are neighbours in the day, as far as is known."""
        back = self.footers["book_delta_v2"].groups_back("sequence_number")
        return self.deltas.whole or not (back or self.deltas.audit["unsorted_rows"])


def read_day(source: LakeSource, settings: Settings, key: PartitionKey) -> LakeDay:
    """Read footers, the best prices of `book`, the times of all deltas, and a sample of each table."""
    instrument, rows = settings.instrument(key.instrument), settings.sources.batch_rows
    files = source.files_by_table(key)
    footers = {table: read_statistics(table, files[table]) for table in TABLES}
    best = best_prices(files["book"], rows)
    deltas = sample_deltas(
        sample_row_groups(files["book_delta_v2"], PIECES, DELTA_SAMPLE_ROWS),
        key,
        settings,
        files,
        np.sort(best.sequence_number),
    )
    scale = deltas.decoder.scale
    configured = configured_pips(instrument, scale)
    book = sample_book(
        sample_row_groups(files["book"], PIECES, BOOK_SAMPLE_ROWS),
        key.day,
        deltas.decoder,
        deltas.tick_pips,
        settled_increments(scale, configured, deltas.tick_pips, deltas.lot_pips)[0].tick_pips,
        rows,
    )
    largest = deltas.decoder.to_pips(deltas.audit["largest_price_pips"])
    tick = detected_tick(deltas.tick_pips, book.tick_pips, book.off_tick_rows, book.readable_rows, largest)
    point, contradicted = settled_increments(scale, configured, tick, deltas.lot_pips)
    return LakeDay(
        key=key,
        files=files,
        footers=footers,
        best=best,
        silences=find_silences(files["book_delta_v2"], settings.gaps.silence, rows),
        deltas=deltas,
        book=book,
        trades=_trades(key, files["trades"], deltas, rows),
        point=point,
        contradicted=contradicted,
    )


def sample_deltas(
    runs: Sequence[SampledRun],
    key: PartitionKey,
    settings: Settings,
    files: Files,
    snapshot_sequence: Int64Array,
) -> SampledDeltas:
    """Read a sample as the whole day would be read: as pips if they hold every value, else as decimals.

    The extremes of the whole files, by table, decide how many decimals there can be. Where neither holds all values,
    the sample has those of pips: a rule judges the number of values off their grid. `snapshot_sequence`, int64[m]
    ascending, has the sequence numbers of all snapshots of the day.
    """
    deltas, rows = files["book_delta_v2"], settings.sources.batch_rows
    looked: list[SampledDeltas] = []

    def read(decoder: FloatDecoder, why: str) -> SampledDeltas:
        scan = MessageScan(settings.gaps.silence, snapshot_sequence)
        audit, found = _read(runs, key, decoder, scan, rows)
        looked.append(found)
        # As many values are accepted of the sample as of the whole day, if it is like the sample.
        accepted = settings.sources.max_off_grid_rows * audit.rows
        check_grid(audit, decoder.scale, deltas, accepted // max(sum(file.rows for file in deltas), 1))
        return found

    try:
        return read_exactly(settings.instrument(key.instrument), files, rows, read)
    except OffGridError:
        return looked[-1]


def _read(
    runs: Sequence[SampledRun], key: PartitionKey, decoder: FloatDecoder, scan: MessageScan, batch_rows: int
) -> tuple[DeltaAudit, SampledDeltas]:
    audits, ticks, tick, lot = [], [], 0, 0
    changes: list[TickChange] = []
    for run in runs:
        reader = DeltaReader(run.pieces, key.day, decoder, batch_rows, ACCEPTED)
        scan.detector.cut()
        for batch in _whole_messages_of(run, list(reader.batches())):
            scan.feed(batch)
        audit = reader.audit
        audits.append(audit)
        ticks.append(RunTick(audit.first_origin_time, audit.last_origin_time, audit.rows, reader.tick_pips))
        changes = reader.tick_changes
        tick, lot = gcd(tick, reader.tick_pips), gcd(lot, reader.lot_pips)
    total = _sum(audits)
    total.files = len({piece.path for run in runs for piece in run.pieces})
    whole = len(runs) == 1 and runs[0].begins_day and runs[0].ends_day
    changes = changes if len(runs) == 1 else []
    return total, SampledDeltas(decoder, asdict(total), scan, tick, lot, ticks, changes, whole)


def _whole_messages_of(run: SampledRun, batches: list[DeltaBatch]) -> list[DeltaBatch]:
    """Leave out the messages at the ends of a run, of which it may hold only a part."""
    if not batches:
        return []
    rows = DeltaBatch.concat(batches)
    starts = np.flatnonzero(np.diff(rows.sequence_number, prepend=rows.sequence_number[0] - 1))
    first = 0 if run.begins_day else 1
    last = len(starts) if run.ends_day else len(starts) - 1
    if last <= first:
        return []
    end = len(rows) if last == len(starts) else int(starts[last])
    return [rows.slice(int(starts[first]), end)]


def _sum(audits: Sequence[DeltaAudit]) -> DeltaAudit:
    """Make one audit of several: counts add up, extremes and first ones stay."""
    total: dict[str, Any] = asdict(audits[0] if audits else DeltaAudit())
    for audit in audits[1:]:
        for name, value in asdict(audit).items():
            if name.startswith("first_"):
                total[name] = total[name] or value
            elif name.startswith(("last_", "longest_", "largest_")):
                total[name] = max(total[name], value)
            elif name.startswith("smallest_"):
                total[name] = min(total[name], value)
            else:
                total[name] += value
    return DeltaAudit(**total)


def _trades(
    key: PartitionKey, files: list[LakeFile], deltas: SampledDeltas, batch_rows: int
) -> dict[str, Any]:
    """Audit a sample of the trades; their order is looked at within rows that lie one right behind another."""
    total: Counter[str] = Counter()
    for run in sample_row_groups(files, PIECES, TRADE_SAMPLE_ROWS):
        reader = TradeReader(run.pieces, key.day, deltas.decoder, batch_rows, ACCEPTED)
        for _ in reader.tables():
            pass
        names = ("rows", "unsorted_rows", "off_grid_prices", "off_grid_sizes")
        total.update({name: getattr(reader.audit, name) for name in names})
    return {
        "available": bool(files),
        **dict.fromkeys(("rows", "off_grid_prices", "off_grid_sizes"), 0),
        **total,
    }


@dataclass(frozen=True, slots=True)
class BestPrices:
    """Times (int64[n] ns), sequence numbers and best prices (float64[n], NaN for none) of all rows of `book`."""

    origin_time: Int64Array
    sequence_number: Int64Array
    bid: Float64Array
    ask: Float64Array

    @property
    def crossed(self) -> BoolArray:
        """Whether the best bid of each row is not below its best ask, bool[n]."""
        return np.asarray(self.bid >= self.ask)

    @property
    def one_sided(self) -> BoolArray:
        """Whether a side of each row is empty, bool[n]."""
        return np.isnan(self.bid) | np.isnan(self.ask)

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics of crossed rows, and the numbers of one-sided rows and of rows out of order."""
        return {
            **crossed_statistics(self.origin_time, self.crossed),
            "one_sided_rows": int(self.one_sided.sum()),
            "unsorted_rows": int((np.diff(self.sequence_number) < 0).sum()),
        }


def best_prices(files: Sequence[LakeFile], batch_rows: int) -> BestPrices:
    """Read four columns of all rows of `book`, which takes 0.1 s for a day; a null in a time or number is refused."""
    parts: list[list[Any]] = [[np.empty(0, kind)] for kind in (np.int64, np.int64, np.float64, np.float64)]
    for file in files:
        for row, batch in file.batches(BEST, batch_rows):
            check_nulls(file, row, batch.select(BEST[:2]))
            for name, part in zip(BEST, parts, strict=True):
                part.append(batch.column(name).to_numpy(zero_copy_only=False))
    return BestPrices(*(np.concatenate(part) for part in parts))


@dataclass(slots=True)
class SampledBook:
    """Results of looking at all levels of a sample of `book`.

    `defects` count rows by the name of their `SnapshotDefect`, without sound rows. Readable rows have any level; those
    off the tick have a price that is no multiple of the deltas' step. `tick_pips` divides their prices; 0 if there are
    none.
    """

    rows: int = 0
    defects: dict[str, int] = field(default_factory=dict)
    off_tick_rows: int = 0
    readable_rows: int = 0
    tick_pips: int = 0

    @property
    def sound(self) -> int:
        """Number of rows that pass the quality gate of a seed."""
        return self.rows - sum(self.defects.values())


def sample_book(
    runs: Sequence[SampledRun],
    day: date,
    decoder: FloatDecoder,
    delta_tick_pips: int,
    tick_pips: int,
    batch_rows: int,
) -> SampledBook:
    """Look at all levels of a sample of `book`, held against the deltas' step and against the tick in use."""
    defects = np.empty(0, np.uint8)
    pieces = [piece for run in runs for piece in run.pieces]
    reader = SnapshotReader(pieces, day, decoder, batch_rows, max(delta_tick_pips, 1))
    for batch in reader.batches():
        prices = batch.encoded_price
        off_tick = ((prices != MISSING_PIPS) & ~decoder.are_multiples(prices, max(tick_pips, 1))).any(
            axis=(1, 2)
        )
        # Decoded decimals are the bits of floats: they compare as the prices do, but only the decoder can divide them.
        found = snapshot_defects(batch, 1)
        found[off_tick & (found == SnapshotDefect.NONE)] = SnapshotDefect.OFF_TICK
        defects = np.concatenate([defects, found])
    return SampledBook(
        len(defects),
        defect_counts(defects),
        reader.audit.off_delta_tick_rows,
        reader.readable_rows,
        reader.tick_pips,
    )
