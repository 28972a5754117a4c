"""Deltas in memory for the replay benchmark: the same ones at every run.

Each stream begins with a message that holds a whole book, so that every system starts from the same one. At the end of
a message no stream's book is crossed.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import ROOT
from benchmarks.simulated import KEY
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS
from order_book_platform.settings import InstrumentSettings, Settings
from order_book_platform.simulate import profile
from order_book_platform.simulate.simulated_market import Market, MarketChunk
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore

SEED = 1
ROWS_A_MESSAGE = 70
"""Of crowded streams; a BTC perpetual has 70 to 80."""
RECORDED = PartitionKey(Instrument("BINANCE_FUTURES", "BTC-USDT-PERP"), date(2024, 8, 8))
MESSAGE_NS = 50_000_000
"""Between messages whose time is made up."""
NEAR_LEVELS = 50
"""Of each side, best first: what updates of the best levels hit."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Levels(NamedTuple):
    """Levels of both sides in any order, or changes of them.

    Attributes:
        is_bid: bool[n].
        encoded_price: int64[n].
        encoded_size: int64[n]; 0 removes a level.
    """

    is_bid: Bools
    encoded_price: Ints
    encoded_size: Ints


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of deltas.

    Attributes:
        name: for people.
        batch: whole messages; the first one holds a whole book.
        tick_pips: divides every price.
    """

    name: str
    batch: DeltaBatch
    tick_pips: int

    @property
    def starts(self) -> Ints:
        """First row of each message, int64[m]."""
        sequence = self.batch.sequence_number
        return np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))

    @property
    def opening(self) -> int:
        """Rows of the first message."""
        starts = self.starts
        return int(starts[1]) if len(starts) > 1 else len(self.batch)

    def head(self, rows: int) -> Stream:
        """The first rows; the last message may be cut."""
        return Stream(self.name, self.batch.slice(0, rows), self.tick_pips)


def simulated(deltas: int) -> Stream:
    """A simulated BTC perpetual, its opening book first; some 70 rows a message.

    Args:
        deltas: exactly so many rows; the last message may be cut.
    """
    market_profile = profile("btc-perp")
    market = Market(market_profile, SEED, KEY)
    pips = (
        10 ** (DEFAULT_DECIMALS - market_profile.price_decimals),
        10 ** (DEFAULT_DECIMALS - market_profile.size_decimals),
    )
    is_bid, tick, lots = market.full_book()
    batch = _room_for(deltas)
    opening = _message(Levels(is_bid, tick * pips[0], lots * pips[1]), 0, 0)
    at = _write(batch, 0, opening)
    while at < deltas:
        chunk = _from_market(market.play(deltas), *pips)
        if at == len(opening):
            for column in ("origin_time", "received_time", "sequence_number"):
                getattr(batch, column)[:at] = getattr(chunk, column)[0] - 1
        at = _write(batch, at, chunk)
    stream = Stream("simulated BTC perpetual", batch, pips[0])
    return Stream(f"{stream.name}, {_rows_a_message(stream)} rows a message", batch, stream.tick_pips)


def _from_market(chunk: MarketChunk, encoded_price: int, encoded_size: int) -> DeltaBatch:
    rows_of = np.diff(chunk.messages[market_arrays.MESSAGE_ROW_STOP], prepend=0)
    return DeltaBatch(
        np.repeat(chunk.messages[market_arrays.MESSAGE_TIME_MS] * 1_000_000, rows_of),
        np.repeat(chunk.messages[market_arrays.MESSAGE_RECEIPT_NS], rows_of),
        np.repeat(chunk.messages[market_arrays.MESSAGE_FINAL_ID], rows_of),
        chunk.rows[market_arrays.ROW_IS_BID] == 1,
        chunk.rows[market_arrays.ROW_TICK] * encoded_price,
        chunk.rows[market_arrays.ROW_LOTS] * encoded_size,
    )


def one_row_a_message(stream: Stream) -> Stream:
    """The same deltas, each a message of its own; the opening book stays one.

    Within a former message removals come first, so that the book is never crossed in between: there the systems would
    rightly disagree about what is best.
    """
    batch, opening = stream.batch, stream.opening
    order = np.zeros(len(batch), np.int64)
    order[stream.starts] = 2
    np.cumsum(order, out=order)
    order += batch.encoded_size != 0
    order[:opening] = 0
    order = np.argsort(order, kind="stable")
    sequence = np.maximum(np.arange(1 - opening, len(batch) + 1 - opening), 0) + batch.sequence_number[0]
    return Stream(
        "the same, one row a message",
        DeltaBatch(
            batch.origin_time,
            batch.received_time,
            sequence,
            batch.is_bid[order],
            batch.encoded_price[order],
            batch.encoded_size[order],
        ),
        stream.tick_pips,
    )


def crowded(levels: int, deltas: int, *, everywhere: bool) -> Stream:
    """A book with so many live levels, dense at the best price and sparser away from it, and updates of them.

    Args:
        levels: of both sides together, in the first message.
        deltas: after the first message, `ROWS_A_MESSAGE` each: three in ten remove a level, the others set one.
        everywhere: updates hit all levels alike; else only the `NEAR_LEVELS` best of each side, the best ones most: the
            same updates whatever the number of levels.
    """
    tick_pips, middle = 10_000_000, 600_000
    place = np.arange(levels // 2)
    distance = place + np.maximum(place - NEAR_LEVELS, 0) ** 2 // 6_000 + 1
    rng = np.random.default_rng(SEED)
    is_bid = rng.random(deltas) < 0.5
    share = rng.random(deltas)
    lots = np.where(rng.random(deltas) < 0.3, 0, rng.integers(1, 1_000, deltas))
    chosen = (len(place) * share if everywhere else min(NEAR_LEVELS, len(place)) * share**2).astype(np.int64)
    is_bid = np.concatenate([np.repeat([True, False], len(place)), is_bid])
    away = np.concatenate([distance, distance, distance[chosen]])
    lots = np.concatenate([rng.integers(1, 1_000, 2 * len(place)), lots])
    message = np.maximum(np.arange(len(lots)) - 2 * len(place), -1) // ROWS_A_MESSAGE + 2
    where = "all levels alike" if everywhere else "the best levels"
    return Stream(
        f"{levels:,} live levels, updates hit {where}",
        DeltaBatch(
            message * MESSAGE_NS,
            message * MESSAGE_NS,
            message,
            is_bid,
            (middle + np.where(is_bid, -away, away)) * tick_pips,
            lots * tick_pips,
        ),
        tick_pips,
    )


def recordings_folder() -> Path | None:
    """The folder of the recordings (`OBP_RECORDINGS`, else `../shared/data`), None where there are none."""
    folder = Path(os.environ.get("OBP_RECORDINGS", ROOT.parent / "shared" / "data")).resolve()
    return folder if (folder / "lake").is_dir() else None


def recorded(folder: Path, deltas: int) -> Stream:
    """Five recorded minutes of Binance's BTCUSDT perpetual, again and again.

    The first tenth of the recording makes the opening book; a message at the end of each repetition makes it again.

    Args:
        folder: of the recordings.
        deltas: exactly so many rows; the last message may be cut.
    """
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            lake_root=folder / "lake",
            data_root=Path(scratch),
            first_day=RECORDED.day,
            instruments=(InstrumentSettings(symbol=RECORDED.instrument.key),),
        )
        store = DataStore(settings.data_root)
        LakeIngest(store, settings).run(RECORDED)
        whole = DeltaBatch.from_arrow(store.table("raw_deltas", RECORDED))
        tick_pips = store.manifest("raw_deltas", RECORDED).fixed_point.tick_pips
    tenth = int(np.searchsorted(whole.sequence_number, whole.sequence_number[len(whole) // 10]))
    opening = live_levels(whole.slice(0, tenth))
    part = whole.slice(tenth, len(whole))
    back = changes(live_levels(whole), opening)
    batch = _room_for(deltas)
    sequence, origin_time = int(part.sequence_number[0]) - 1, int(part.origin_time[0]) - MESSAGE_NS
    at = _write(batch, 0, _message(opening, origin_time, sequence))
    repetition = [part, _message(back, int(part.origin_time[-1]), int(part.sequence_number[-1]) + 1)]
    while at < deltas:
        for piece in repetition:
            at = _write(batch, at, piece)
        repetition = [later(piece, part) for piece in repetition]
    stream = Stream("recorded BTCUSDT perpetual, repeated", batch, tick_pips)
    return Stream(f"{stream.name}, {_rows_a_message(stream)} rows a message", batch, tick_pips)


def later(piece: DeltaBatch, part: DeltaBatch) -> DeltaBatch:
    """A piece of a stream moved on by the length of a part of it, in time and sequence, and one message more."""
    return DeltaBatch(
        piece.origin_time + np.ptp(part.origin_time) + MESSAGE_NS,
        piece.received_time + np.ptp(part.received_time) + MESSAGE_NS,
        piece.sequence_number + np.ptp(part.sequence_number) + 2,
        piece.is_bid,
        piece.encoded_price,
        piece.encoded_size,
    )


def live_levels(batch: DeltaBatch) -> Levels:
    """The levels that an empty book has after a batch."""
    keys = batch.encoded_price * 2 + batch.is_bid
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    last = last[batch.encoded_size[last] != 0]
    return Levels(batch.is_bid[last], batch.encoded_price[last], batch.encoded_size[last])


def changes(old: Levels, new: Levels) -> Levels:
    """What turns one book into another: first all removals, so that it is never crossed in between."""
    gone = ~np.isin(old.encoded_price * 2 + old.is_bid, new.encoded_price * 2 + new.is_bid)
    return Levels(
        np.concatenate([old.is_bid[gone], new.is_bid]),
        np.concatenate([old.encoded_price[gone], new.encoded_price]),
        np.concatenate([np.zeros(np.count_nonzero(gone), np.int64), new.encoded_size]),
    )


def message_after(batch: DeltaBatch, levels: Levels) -> DeltaBatch:
    """One message with these levels, right after the last one of a batch."""
    return _message(levels, int(batch.origin_time[-1]), int(batch.sequence_number[-1]) + 1)


def _message(levels: Levels, origin_time: int, sequence_number: int) -> DeltaBatch:
    """One message; it is received when it is made."""
    time_ns = np.full(len(levels.is_bid), origin_time)
    return DeltaBatch(time_ns, time_ns, np.full(len(levels.is_bid), sequence_number), *levels)


def _room_for(rows: int) -> DeltaBatch:
    ints = [np.zeros(rows, np.int64) for _ in range(5)]
    return DeltaBatch(ints[0], ints[1], ints[2], np.zeros(rows, np.bool_), ints[3], ints[4])


def _write(batch: DeltaBatch, at: int, piece: DeltaBatch) -> int:
    """Write a piece from row `at` on, as far as there is room; gives the row after it."""
    stop = min(at + len(piece), len(batch))
    for name in (
        "origin_time",
        "received_time",
        "sequence_number",
        "is_bid",
        "encoded_price",
        "encoded_size",
    ):
        getattr(batch, name)[at:stop] = getattr(piece, name)[: stop - at]
    return stop


def _rows_a_message(stream: Stream) -> int:
    starts = stream.starts
    return round((len(stream.batch) - stream.opening) / max(1, len(starts) - 1))
