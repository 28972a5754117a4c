"""Looks at a day of the lake as far as that is cheap: footers, the best prices of `book`, all times, and samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from order_book_platform.assess.book_quality import BestPrices, SampledBook, best_prices, sample_book
from order_book_platform.assess.lake.sampled_deltas import ACCEPTED, SampledDeltas, sample_deltas
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.increments import ConfiguredIncrements, detected_tick
from order_book_platform.sources.lake_source import TABLES, LakeFile
from order_book_platform.sources.parquet_statistics import ParquetStatistics, read_statistics
from order_book_platform.sources.pause_scan import Silences, find_silences
from order_book_platform.sources.row_group_sample import adjacent_samples, sample_row_groups
from order_book_platform.sources.trade_reader import TradeReader

PIECES = 12
"""Row groups that a day's sample is taken from: two hours apart, and 200 s of a busy perpetual each."""
DELTA_SAMPLE_ROWS, BOOK_SAMPLE_ROWS, TRADE_SAMPLE_ROWS = 3_000_000, 12_288, 600_000


@dataclass(frozen=True, slots=True)
class LakeDay:
    """Results of a cheap look at a day.

    Attributes:
        key: Symbol and day.
        files: Opened files by table; none where a table is not there.
        footers: Statistics by table.
        best: Best prices of every row of `book`.
        silences: Silences of the deltas, from the times of every row.
        deltas: Sample of the deltas.
        book: Sample of `book` with all levels.
        trades: Audit of a sample of the trades.
        point: Decimals, and tick and lot as far as the sample shows them.
        contradicted: Configured increments, `tick` or `lot`, that the sample contradicts.
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
    """Read footers, the best prices of `book`, the times of all deltas, and a sample of each table.

    Raises:
        SourceError: There are no deltas, or a file is damaged or, as far as it is looked at, impossible.
        FixedPointError: Neither int64 pips nor decimals hold a value of the sample.
        SettingsError: A configured tick or lot is finer than the decimals.
    """
    instrument, rows = settings.instrument(key.instrument), settings.sources.batch_rows
    files = source.files_by_table(key)
    footers = {table: read_statistics(table, files[table]) for table in TABLES}
    best = best_prices(files["book"], rows)
    deltas = sample_deltas(
        sample_row_groups(files["book_delta_v2"], PIECES, DELTA_SAMPLE_ROWS),
        key.day,
        instrument,
        deltas=files["book_delta_v2"],
        trades=files["trades"],
        silence_ns=settings.gaps.silence,
        snapshot_sequence=np.sort(best.sequence_number),
        batch_rows=rows,
        accepted=settings.sources.max_off_grid_rows,
    )
    configured = ConfiguredIncrements.of(instrument, deltas.decoder.scale)
    book = sample_book(
        sample_row_groups(files["book"], PIECES, BOOK_SAMPLE_ROWS),
        key.day,
        deltas.decoder,
        deltas.tick_pips,
        configured.settle(deltas.tick_pips, deltas.lot_pips)[0].tick_pips,
        rows,
    )
    largest = deltas.decoder.to_pips(deltas.audit["largest_price_pips"])
    tick = detected_tick(deltas.tick_pips, book.tick_pips, book.off_tick_rows, book.readable_rows, largest)
    point, contradicted = configured.settle(tick, deltas.lot_pips)
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


def _trades(
    key: PartitionKey, files: list[LakeFile], deltas: SampledDeltas, batch_rows: int
) -> dict[str, Any]:
    """Audit a sample of the trades; their order is looked at within rows that lie one right behind another."""
    total: Counter[str] = Counter()
    for run in adjacent_samples(sample_row_groups(files, PIECES, TRADE_SAMPLE_ROWS)):
        reader = TradeReader(run, key.day, deltas.decoder, batch_rows, ACCEPTED)
        for _ in reader.tables():
            pass
        names = ("rows", "unsorted_rows", "off_grid_prices", "off_grid_sizes")
        total.update({name: getattr(reader.audit, name) for name in names})
    return {
        "available": bool(files),
        **dict.fromkeys(("rows", "off_grid_prices", "off_grid_sizes"), 0),
        **total,
    }
