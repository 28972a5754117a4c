"""Deltas of a day by sample: pieces spread over it, read and audited as the whole would be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from order_book_platform.assess.gaps.message_scan import MessageScan
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import FixedPointError, FixedPointRangeError
from order_book_platform.model.arrays import Int64Array
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.delta_reader import DeltaAudit, DeltaReader
from order_book_platform.sources.float_decoding import FloatBits, Pips
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.price_grid import choose_decimals
from order_book_platform.sources.row_group_sample import RowGroupSample, runs
from order_book_platform.sources.tick_changes import TickChange

ACCEPTED = 2**62
"""Off-grid values that are accepted: they are counted, and judged by a rule."""
_EXTREMES = {
    "longest_message": max,
    "largest_price_pips": max,
    "largest_size_pips": max,
    "smallest_price_pips": min,
}


class RunTick(NamedTuple):
    """Of a run of pieces that lie one right behind another.

    Attributes:
        first_ns, last_ns: its first and last known origin time.
        rows: how many it has.
        tick_pips: the largest step that divides its prices.
    """

    first_ns: int
    last_ns: int
    rows: int
    tick_pips: int


@dataclass(slots=True)
class SampledDeltas:
    """What a sample of a day's deltas showed.

    Attributes:
        reading: what its floats are read as: pips, of more decimals if 8 are too few, or decimals.
        audit: as of a whole day, but of the sample's rows.
        scan: of its whole messages.
        tick_pips, lot_pips: the largest steps that divide all prices and sizes of the sample.
        ticks: of each run of pieces that lie one behind another.
        changes: where the step changed; known only if there is one run.
        whole: whether the sample is everything.
    """

    reading: Pips | FloatBits
    audit: dict[str, Any]
    scan: MessageScan
    tick_pips: int
    lot_pips: int
    ticks: list[RunTick]
    changes: list[TickChange]
    whole: bool

    @property
    def off_grid(self) -> int:
        """Values of the sample that are no decimals with so many places."""
        return int(self.audit["off_grid_prices"] + self.audit["off_grid_sizes"])


def sample_deltas(
    pieces: Sequence[RowGroupSample],
    day: date,
    instrument: InstrumentSettings,
    *,
    deltas: list[LakeFile],
    trades: list[LakeFile],
    silence_ns: int,
    snapshot_sequence: Int64Array,
    batch_rows: int,
    accepted: int,
) -> SampledDeltas:
    """Read the pieces as the whole day would be: as pips if they hold every value, else as decimals.

    Args:
        pieces: of the deltas, in order.
        day: of the partition.
        instrument: its settings.
        deltas: whole files, whose extremes decide how many decimals there can be.
        trades: the same.
        silence_ns: a longer pause counts as a break.
        snapshot_sequence: int64[m], ascending, of all snapshots of the day.
        batch_rows: rows decoded at a time.
        accepted: off-grid values of the whole day with which it is still kept as pips.

    Raises:
        SourceError: a piece cannot be decoded or holds an impossible value.
        FixedPointError: neither pips nor decimals hold a value.
    """

    def read(reading: Pips | FloatBits) -> SampledDeltas:
        scan = MessageScan(silence_ns, snapshot_sequence)
        return _read(pieces, day, reading, scan, batch_rows)

    def refused(found: SampledDeltas) -> bool:
        """Whether the whole would have more than accepted, if it is like the sample."""
        whole = sum(file.rows for file in deltas)
        return bool(found.off_grid * whole > accepted * found.audit["rows"])

    if instrument.precision == "decimal128":
        return read(FloatBits())
    try:
        found = read(Pips(choose_decimals(instrument, deltas, trades, batch_rows)))
        if refused(found) and not instrument.has_decimals:
            finest = found.reading.off_grid if isinstance(found.reading, Pips) else set()
            finer = Pips(choose_decimals(instrument, deltas, trades, batch_rows, finest))
            found = read(finer) if finer.scale != found.reading.scale else found
    except FixedPointRangeError:
        if instrument.precision == "int64" or instrument.has_decimals:
            raise
        return read(FloatBits())
    if refused(found) and instrument.precision == "auto" and not instrument.has_decimals:
        try:
            return read(FloatBits())
        except FixedPointError:  # no decimals either: the rule for off-grid values says it
            return found
    return found


def _read(
    pieces: Sequence[RowGroupSample], day: date, reading: Pips | FloatBits, scan: MessageScan, batch_rows: int
) -> SampledDeltas:
    audits, ticks, tick, lot = [], [], 0, 0
    together = runs(pieces)
    changes: list[TickChange] = []
    for run in together:
        reader = DeltaReader(list(run), day, reading, ACCEPTED, batch_rows)
        scan.cut()
        for batch in _inside(run, list(reader.batches())):
            scan.feed(batch)
        audit = reader.audit
        audits.append(audit)
        ticks.append(RunTick(audit.first_origin_time, audit.last_origin_time, audit.rows, reader.tick_pips))
        changes = reader.tick_changes
        tick, lot = gcd(tick, reader.tick_pips), gcd(lot, reader.lot_pips)
    total = {**_sum(audits), "files": len({piece.path for piece in pieces})}
    whole = len(together) == 1 and together[0][0].begins and together[0][-1].ends
    known = changes if len(together) == 1 else []
    return SampledDeltas(reading, total, scan, tick, lot, ticks, known, whole)


def _inside(run: Sequence[RowGroupSample], batches: list[DeltaBatch]) -> list[DeltaBatch]:
    """Without the messages at the ends, of which the run may hold only a part."""
    if not batches:
        return []
    whole = DeltaBatch.concat(batches)
    starts = np.flatnonzero(np.diff(whole.sequence_number, prepend=whole.sequence_number[0] - 1))
    first = 0 if run[0].begins else 1
    last = len(starts) if run[-1].ends else len(starts) - 1
    if last <= first:
        return []
    end = len(whole) if last == len(starts) else int(starts[last])
    return [whole.slice(int(starts[first]), end)]


def _sum(audits: Sequence[DeltaAudit]) -> dict[str, Any]:
    """One audit of several: counts add up, extremes and first ones stay."""
    total: dict[str, Any] = asdict(audits[0]) if audits else asdict(DeltaAudit())
    for audit in audits[1:]:
        for field in fields(DeltaAudit):
            name, value = field.name, getattr(audit, field.name)
            if name in _EXTREMES:
                total[name] = _EXTREMES[name](total[name], value)
            elif name.startswith("first_"):
                total[name] = total[name] or value
            elif name.startswith("last_"):
                total[name] = max(total[name], value)
            else:
                total[name] += value
    return total
