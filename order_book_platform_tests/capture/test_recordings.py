"""The recordings through the local exchange, the capture, the decoder and the books: the exchange's own best prices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.capture import LiveCapture
from order_book_platform.capture.capture_plan import session_limits, stream_specs
from order_book_platform.capture.row_buffer import batch_of
from order_book_platform.clock import NS_PER_MS, NS_PER_SECOND
from order_book_platform.datasets.raw_capture import raw_capture_schema
from order_book_platform.exchange import (
    ExchangeOptions,
    LocalExchange,
    Pace,
    RecordedFeed,
    Start,
    parse_faults,
    venue,
)
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import CaptureSettings, Settings, load_settings
from order_book_platform.sources import DayIngest
from order_book_platform.sources.binance.live_decoding import LiveDecoding
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import DataStore, LogReader, LogWriter
from order_book_platform_tests.capture.served import served_exchange
from order_book_platform_tests.capture.session.local_session import LocalSession
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.exchange.clients import START_NS
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.reconstruct.captures import book_table
from order_book_platform_tests.test_recordings import BEST, NO_TICKER_ROW

DELAYS = ("100ms", "1s", "5s")


@dataclass(frozen=True)
class Recorded:
    """A recorded market.

    Attributes:
        symbol: instrument.
        files: its recording, in order of time.
        messages: depth messages in it.
        compared: those from the one that the exchange's first snapshot is of. As it serves the state of its replay,
            this is the second message behind the recorded snapshot in futures: one fewer than behind that snapshot.
        without_ticker: ids of messages whose state has no truth: the tickers around the id skip the state at the
            message's end. test_recordings.py shows that the exchange's own snapshot disagrees with them there.
    """

    symbol: str
    files: tuple[str, ...]
    messages: int
    compared: int
    without_ticker: tuple[int, ...] = ()


RECORDED = {
    "usdm": Recorded("BINANCE_FUTURES:BTC-USDT-PERP", ("binance_usdm/btcusdt_20240808.gz",), 6_551, 6_546),
    "coinm": Recorded(
        "BINANCE_DELIVERY:BTC-USD-PERP",
        ("binance_coinm/btcusd_perp_20240808.gz", "binance_coinm/btcusd_perp_20240809.gz"),
        44_795,
        44_771,
    ),
    "spot": Recorded(
        "BINANCE:BTC-USDT",
        ("binance_spot/btcusdt_20240808.gz", "binance_spot/btcusdt_20240809.gz"),
        6_495,
        6_493,
        tuple(NO_TICKER_ROW),
    ),
}


def recorded_feed(recordings: Path, market: str) -> RecordedFeed:
    """The recording of a market as a feed of the exchange."""
    return RecordedFeed(
        tuple(recordings / "captures" / name for name in RECORDED[market].files), venue(market)
    )


def settings_of(folder: Path, market: str, **reconstruct: Any) -> tuple[Settings, PartitionKey]:
    """Settings with a row for each message, and the key of the day on which a test records."""
    key = PartitionKey.parse(RECORDED[market].symbol, datetime.now(UTC).date().isoformat())
    wanted = {"cadence": "message", **reconstruct}
    return load_settings(write_settings(folder, keys=[key], reconstruct=wanted)), key


def truth_of(recordings: Path, market: str, name: str, by: str) -> pl.DataFrame:
    """A table of the truth, of both days, in order of its ids."""
    frames = [
        pl.read_parquet(recordings / "truth" / name / key.path / "*.parquet", hive_partitioning=False)
        for key in RECORDED_KEYS
        if str(key.instrument) == RECORDED[market].symbol
    ]
    return pl.concat(frames).sort(by, maintain_order=True)


def different(
    books: pl.DataFrame, decimals: tuple[int, int], recordings: Path, market: str
) -> tuple[list[int], list[int]]:
    """Compare seeded books with the ticker: ids of all that were compared, and of those that differ."""
    ticker = truth_of(recordings, market, "book_ticker", "update_id")
    seeded = books.filter(pl.col("flags") & int(BookFlag.SEEDED) != 0)
    at = np.searchsorted(ticker["update_id"].to_numpy(), seeded["sequence_number"].to_numpy(), "right") - 1
    names = ["bid_price", "bid_size", "ask_price", "ask_size"]
    places = zip(names, decimals * 2, strict=True)
    truth = np.stack([float_to_pips(ticker[name].to_numpy(), each)[0] for name, each in places], axis=1)[at]
    wrong = (seeded.select(BEST).fill_null(-1).to_numpy() != truth).any(axis=1)
    wrong |= at < 0
    return seeded["sequence_number"].to_list(), seeded["sequence_number"].filter(pl.Series(wrong)).to_list()


@pytest.mark.parametrize("own_groupings", [False, True])
@pytest.mark.parametrize("market", RECORDED)
def test_a_captured_recording_is_the_truth(
    recordings: Path, tmp_path: Path, market: str, own_groupings: bool
) -> None:
    """Over sockets: every message, no gap, and after each the best prices that the exchange sent as a ticker."""
    recorded = RECORDED[market]
    feed = recorded_feed(recordings, market)
    settings, key = settings_of(tmp_path, market)
    pace = Pace(None, Start.SUBSCRIBED, hold_for_snapshot=True)
    with served_exchange({market: [feed]}, ExchangeOptions(pace, own_groupings)) as (exchange, addresses):
        taken = LiveCapture(
            CaptureSettings(clock_source="none"),
            settings.capture_root,
            MARKETS[market],
            [feed.rules.symbol],
            **addresses[market],
        )

        def everything_is_there() -> bool:
            if not exchange.player.finished:
                return False
            kinds = exchange.ledger.table()["kind"].cast(pa.string())
            return taken.metrics().messages >= pc.sum(pc.equal(kinds, "message")).as_py()

        found = taken.run(everything_is_there, duration_ns=120 * NS_PER_SECOND)
    assert (found.gaps, found.dropped) == (0, 0)
    store = DataStore(settings.data_root)
    manifest = DayIngest(store, settings).run(key).manifest
    metadata, point = manifest.metadata, manifest.fixed_point
    assert point is not None
    assert metadata["capture"]["gaps"] == []
    messages = metadata["audit"]["messages"]
    assert messages == recorded.messages if not own_groupings else messages < recorded.messages
    GapReporter(store, settings).run(key)
    assert store.report("sequence_gap_report", key)["gaps"] == 0
    DataAssessor(store, settings).run(key)
    Reconstructor(store, settings).run(key)
    books = store.frame("reconstructed_books", key).collect()
    decimals = point.price_decimals, point.size_decimals
    compared, wrong = different(books, decimals, recordings, market)
    assert wrong == [number for number in recorded.without_ticker if number in compared]
    last_id = store.table("snapshots", key)["sequence_number"][0].as_py()
    ids = store.frame("raw_deltas", key).select("sequence_number").unique().sort("sequence_number").collect()
    assert compared == [number for number in ids["sequence_number"].to_list() if number >= last_id]
    chain = truth_of(recordings, market, "update_chain", "final_update_id")["final_update_id"].to_list()
    assert set(compared) <= set(chain)
    if not own_groupings:
        assert compared == chain[-recorded.compared :]
        assert set(recorded.without_ticker) <= set(compared)


@pytest.mark.parametrize("market", RECORDED)
def test_snapshots_that_are_late_by_seconds_are_used(recordings: Path, tmp_path: Path, market: str) -> None:
    """By one clock at the recording's pace: answers take 0, 0.1, 1 and 5 s in turn, and every one of them is used."""
    feed = recorded_feed(recordings, market)
    settings, key = settings_of(tmp_path, market, extend_every=1)
    every_fourth = ["+".join(str(number) for number in range(first, 300, 4)) for first in (2, 3, 4)]
    orders = zip(every_fourth, DELAYS, strict=True)
    faults = parse_faults(",".join(f"slow_snapshot@{numbers}/{delay}" for numbers, delay in orders))
    options = ExchangeOptions(Pace(1.0, Start.SUBSCRIBED), faults=faults)
    limits = CaptureSettings(clock_source="none", streams=["depth"], snapshot_every="15s")
    session = LocalSession(
        LocalExchange({market: [feed]}, options, START_NS),
        MARKETS[market],
        stream_specs(MARKETS[market], [feed.rules.symbol], limits),
        session_limits(MARKETS[market], limits),
        START_NS,
    )
    session.run_until_finished(6 * NS_PER_SECOND)
    assert not session.failures
    took_ms = Counter(round(each / NS_PER_MS) for each in session.answered)
    assert sorted(took_ms) == [2, 102, 1002, 5002]
    assert min(took_ms.values()) >= 5
    raw, schema = tmp_path / "captures" / market / "raw", raw_capture_schema(market)
    with LogWriter(raw, schema) as writer:
        writer.append(pa.RecordBatch.from_arrays(batch_of(session.rows).columns, schema=schema))
    (folder,) = LiveDecoding(raw, raw.parent / "live").run(lambda: False).folders
    output = tmp_path / "books"
    found = Reconstructor(DataStore(settings.data_root), settings).follow(
        key.instrument, folder, output, lambda: False
    )
    deltas, snapshots = (
        pa.Table.from_batches([rows.batch for rows in LogReader(folder / name).read()])
        for name in ("raw_deltas", "snapshots")
    )
    last_ns = deltas["received_time"].to_numpy().max()
    due = int((snapshots["received_time"].to_numpy() <= last_ns).sum())
    assert found.counts["seeded"] + found.counts["extended"] == due
    assert found.counts["brought_up_to_date"] >= due // 2
    assert set(found.counts) == {"seeded", "extended", "brought_up_to_date"}
    described = deltas.schema.metadata
    decimals = int(described[b"price_decimals"]), int(described[b"size_decimals"])
    compared, wrong = different(pl.DataFrame(book_table(output)), decimals, recordings, market)
    chain = truth_of(recordings, market, "update_chain", "final_update_id")["final_update_id"].to_list()
    assert compared == chain[-len(compared) :]
    assert len(compared) >= found.messages - 30
    assert wrong == list(RECORDED[market].without_ticker)
