"""Reads a sample of a day's deltas, decoded and audited as the whole day would be."""

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
from order_book_platform.sources.float_decoding import DecimalDecoder, FloatDecoder, PipDecoder
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.price_grid import choose_decimals
from order_book_platform.sources.row_group_sample import RowGroupSample, adjacent_samples
from order_book_platform.sources.tick_changes import TickChange

ACCEPTED = 2**62
"""Off-grid values that readers of a sample accept: all, since a rule judges their number."""
_EXTREMES = {
    "longest_message": max,
    "largest_price_pips": max,
    "largest_size_pips": max,
    "smallest_price_pips": min,
}


class RunTick(NamedTuple):
    """Span and price step of a run of sampled rows that lie one right behind another.

    Attributes:
        first_ns: First known origin time, ns; 0 if none is known.
        last_ns: Last known origin time, ns; 0 if none is known.
        rows: Number of rows.
        tick_pips: Largest step that divides the prices.
    """

    first_ns: int
    last_ns: int
    rows: int
    tick_pips: int


@dataclass(slots=True)
class SampledDeltas:
    """Results of looking at a sample of a day's deltas.

    Attributes:
        decoder: Decoder of the floats: to pips, of more decimals if 8 are too few, or to decimals.
        audit: Audit as of a whole day, but of the sampled rows.
        scan: Scan of the whole messages in the sample.
        tick_pips: Largest step that divides all sampled prices.
        lot_pips: Largest step that divides all sampled sizes.
        ticks: Span and price step of each run of rows that lie one right behind another.
        changes: Changes of the step of prices; known only if there is a single run.
        whole: Whether the sample is the whole day.
    """

    decoder: FloatDecoder
    audit: dict[str, Any]
    scan: MessageScan
    tick_pips: int
    lot_pips: int
    ticks: list[RunTick]
    changes: list[TickChange]
    whole: bool


def sample_deltas(
    samples: Sequence[RowGroupSample],
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
    """Read a sample as the whole day would be read: as pips if they hold every value, else as decimals.

    Args:
        samples: Samples of the deltas, in order.
        day: UTC day of the partition.
        instrument: Settings of the instrument.
        deltas: Whole files, whose extremes decide how many decimals there can be.
        trades: Whole files of the trades, for the same purpose.
        silence_ns: A pause longer than this is a silence.
        snapshot_sequence: int64[m], ascending, sequence numbers of all snapshots of the day.
        batch_rows: Rows decoded at a time.
        accepted: Off-grid values of the whole day with which it is still kept as pips.

    Raises:
        SourceError: A row group cannot be decoded or holds an impossible value.
        FixedPointError: Neither pips nor decimals hold a value.
    """

    def read(decoder: FloatDecoder) -> SampledDeltas:
        return _read(samples, day, decoder, MessageScan(silence_ns, snapshot_sequence), batch_rows)

    def refused(found: SampledDeltas) -> bool:
        """Return whether the whole day would have more off-grid values than accepted, if it is like the sample."""
        off_grid = found.audit["off_grid_prices"] + found.audit["off_grid_sizes"]
        return bool(off_grid * sum(file.rows for file in deltas) > accepted * found.audit["rows"])

    if instrument.precision == "decimal128":
        return read(DecimalDecoder())
    try:
        pips = PipDecoder(choose_decimals(instrument, deltas, trades, batch_rows))
        found = read(pips)
        if refused(found) and not instrument.has_decimals:
            finest = choose_decimals(instrument, deltas, trades, batch_rows, pips.off_grid)
            found = read(PipDecoder(finest)) if finest != pips.scale else found
    except FixedPointRangeError:
        if instrument.precision == "int64" or instrument.has_decimals:
            raise
        return read(DecimalDecoder())
    if refused(found) and instrument.precision == "auto" and not instrument.has_decimals:
        try:
            return read(DecimalDecoder())
        except (
            FixedPointError
        ):  # decimals do not hold the values either, which the rule for off-grid values says
            return found
    return found


def _read(
    samples: Sequence[RowGroupSample], day: date, decoder: FloatDecoder, scan: MessageScan, batch_rows: int
) -> SampledDeltas:
    audits, ticks, tick, lot = [], [], 0, 0
    runs = adjacent_samples(samples)
    changes: list[TickChange] = []
    for run in runs:
        reader = DeltaReader(run, day, decoder, batch_rows, ACCEPTED)
        scan.cut()
        for batch in _whole_messages_of(run, list(reader.batches())):
            scan.feed(batch)
        audit = reader.audit
        audits.append(audit)
        ticks.append(RunTick(audit.first_origin_time, audit.last_origin_time, audit.rows, reader.tick_pips))
        changes = reader.tick_changes
        tick, lot = gcd(tick, reader.tick_pips), gcd(lot, reader.lot_pips)
    total = {**_sum(audits), "files": len({sample.path for sample in samples})}
    whole = len(runs) == 1 and runs[0][0].begins_day and runs[0][-1].ends_day
    return SampledDeltas(decoder, total, scan, tick, lot, ticks, changes if len(runs) == 1 else [], whole)


def _whole_messages_of(run: Sequence[RowGroupSample], batches: list[DeltaBatch]) -> list[DeltaBatch]:
    """Leave out the messages at the ends of a run, of which it may hold only a part."""
    if not batches:
        return []
    rows = DeltaBatch.concat(batches)
    starts = np.flatnonzero(np.diff(rows.sequence_number, prepend=rows.sequence_number[0] - 1))
    first = 0 if run[0].begins_day else 1
    last = len(starts) if run[-1].ends_day else len(starts) - 1
    if last <= first:
        return []
    end = len(rows) if last == len(starts) else int(starts[last])
    return [rows.slice(int(starts[first]), end)]


def _sum(audits: Sequence[DeltaAudit]) -> dict[str, Any]:
    """Make one audit of several: counts add up, extremes and first ones stay."""
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
