"""A day of the lake as far as a cheap look goes: footers, the best prices of `book`, and samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from order_book_platform.assess.book_quality import BestPrices, SampledBook, best_prices, sample_book
from order_book_platform.assess.lake.sampled_deltas import ACCEPTED, SampledDeltas, sample_deltas
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import TABLES, LakeFile
from order_book_platform.sources.parquet_statistics import ParquetStatistics, read_statistics
from order_book_platform.sources.pause_scan import Silences, find_silences
from order_book_platform.sources.price_grid import configured_pips, settled, tick_of
from order_book_platform.sources.row_group_sample import pieces, runs
from order_book_platform.sources.trade_reader import TradeReader

PIECES = 12
"""A sample of a day is so many pieces: two hours apart, and 200 s of a busy perpetual each."""
DELTA_SAMPLE_ROWS, BOOK_SAMPLE_ROWS, TRADE_SAMPLE_ROWS = 3_000_000, 12_288, 600_000


@dataclass(frozen=True, slots=True)
class LakeDay:
    """What was read of a day.

    Attributes:
        key: symbol and day.
        files, footers: by table; without files where a table is not there.
        best: best prices of every row of `book`.
        silences: of the deltas, from the times of every row.
        deltas, book: samples.
        trades: audit of a sample of the trades.
        point: decimals, and tick and lot as far as the sample shows them.
        contradicted: configured increments that the sample does not fit.
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
        """Whether messages next to each other in the sample are so in the day, as far as is known."""
        back = self.footers["book_delta_v2"].groups_back("sequence_number")
        return self.deltas.whole or not (back or self.deltas.audit["unsorted_rows"])


def read_day(source: LakeSource, settings: Settings, key: PartitionKey) -> LakeDay:
    """Read footers, the best prices of `book`, the times of all deltas, and a sample of each table.

    Raises:
        SourceError: there are no deltas, or a file is damaged or, as far as it is looked at, impossible.
        FixedPointError: neither int64 pips nor decimals hold a value of the sample.
        SettingsError: a configured tick or lot is finer than the decimals.
    """
    instrument = settings.instrument(key.instrument)
    rows = settings.sources.batch_rows
    files = {"book_delta_v2": source.files("book_delta_v2", key)}
    for table in ("book", "trades"):
        files[table] = source.files(table, key) if source.has(table, key) else []
    footers = {table: read_statistics(table, files[table]) for table in TABLES}
    best = best_prices(files["book"], rows)
    deltas = sample_deltas(
        pieces(files["book_delta_v2"], PIECES, DELTA_SAMPLE_ROWS),
        key.day,
        instrument,
        deltas=files["book_delta_v2"],
        trades=files["trades"],
        silence_ns=settings.gaps.silence,
        snapshot_sequence=np.sort(best.sequence_number),
        batch_rows=rows,
        accepted=settings.sources.max_off_grid_rows,
    )
    scale = deltas.reading.scale
    tick = configured_pips(instrument, "tick", instrument.tick, scale.price_decimals)
    lot = configured_pips(instrument, "lot", instrument.lot, scale.size_decimals)
    lot_pips, wrong_lot = settled(deltas.lot_pips, lot)
    book = sample_book(
        pieces(files["book"], PIECES, BOOK_SAMPLE_ROWS),
        key.day,
        deltas.reading,
        deltas.tick_pips,
        settled(deltas.tick_pips, tick)[0],
        rows,
    )
    largest = deltas.reading.pips(deltas.audit["largest_price_pips"])
    detected = tick_of(deltas.tick_pips, book.tick_pips, book.off_tick_rows, book.readable_rows, largest)
    tick_pips, wrong_tick = settled(detected, tick)
    return LakeDay(
        key=key,
        files=files,
        footers=footers,
        best=best,
        silences=find_silences(files["book_delta_v2"], settings.gaps.silence, rows),
        deltas=deltas,
        book=book,
        trades=_trades(key, files["trades"], deltas, rows),
        point=replace(scale, tick_pips=tick_pips, lot_pips=lot_pips),
        contradicted=[name for name, wrong in (("tick", wrong_tick), ("lot", wrong_lot)) if wrong],
    )


def _trades(
    key: PartitionKey, files: list[LakeFile], deltas: SampledDeltas, batch_rows: int
) -> dict[str, Any]:
    """Audit of a sample: order counts within pieces that lie one behind another."""
    total: Counter[str] = Counter()
    for run in runs(pieces(files, PIECES, TRADE_SAMPLE_ROWS)):
        reader = TradeReader(list(run), key.day, deltas.reading, ACCEPTED, batch_rows)
        for _ in reader.tables():
            pass
        names = ("rows", "unsorted_rows", "off_grid_prices", "off_grid_sizes")
        total.update({name: getattr(reader.audit, name) for name in names})
    return {
        "available": bool(files),
        **dict.fromkeys(("rows", "off_grid_prices", "off_grid_sizes"), 0),
        **total,
    }
