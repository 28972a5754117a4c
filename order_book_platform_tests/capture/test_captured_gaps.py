"""A captured day with a lost message: the snapshot that the recorder fetches behind it repairs the book."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.capture import LiveCapture
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import CaptureSettings, load_settings
from order_book_platform.sources import DayIngest
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import DataStore, LogReader
from order_book_platform_tests.capture.served import SYMBOLS, served
from order_book_platform_tests.lake import write_settings

INSTRUMENTS = {"usdm": "BINANCE_FUTURES:BTC-USDT-PERP", "spot": "BINANCE:BTC-USDT"}


@pytest.mark.parametrize("market", INSTRUMENTS)
@pytest.mark.parametrize("extend_every", [1, 10])
def test_the_snapshot_behind_a_loss_repairs(market: str, extend_every: int, tmp_path: Path) -> None:
    """Whatever `extend_every` says; the loss is the only gap, and the book then equals the tickers."""
    with served(market, "drop@6+14:btcusdt@depth") as (_, addresses):
        settings = CaptureSettings(clock_source="none")
        capture = LiveCapture(settings, tmp_path / "captures", MARKETS[market], SYMBOLS[market], **addresses)
        capture.run(lambda: capture.metrics().messages > 1_500, duration_ns=60 * NS_PER_SECOND)
    (batch,) = list(LogReader(capture.folder).read(0))[:1]
    day = np.datetime64(batch.batch["received_time"][0].as_py(), "ns").astype("datetime64[D]")
    key = PartitionKey.parse(INSTRUMENTS[market], str(day))
    store = chain(tmp_path, key, extend_every)
    gaps = store.table("sequence_gap_report", key, "gaps.parquet").to_pylist()
    assert [gap["cause"] for gap in gaps] == ["chain", "chain"]
    assert {gap["action"] for gap in gaps} == {"recover"}
    used = store.table("reconstructed_books", key, "used_snapshots.parquet").to_pylist()
    snapshots = store.table("snapshots", key).column("sequence_number").to_pylist()
    for gap in gaps:
        first = min(number for number in snapshots if number >= gap["flagged_from_sequence_number"])
        assert gap["flagged_until_sequence_number"] == first
        assert {row["use"] for row in used if row["sequence_number"] == first} == {"repaired"}
    equal, compared = equal_to_tickers(store, key)
    assert compared > 10
    assert equal == compared


def chain(folder: Path, key: PartitionKey, extend_every: int, depth: int = 1) -> DataStore:
    """Publish everything from the captured day to its books."""
    settings = load_settings(
        write_settings(
            folder,
            keys=[key],
            reconstruct={"extend_every": extend_every, "cadence": "message", "depth": depth},
        )
    )
    store = DataStore(settings.data_root)
    DayIngest(store, settings).run(key)
    GapReporter(store, settings).run(key)
    DataAssessor(store, settings).run(key)
    Reconstructor(store, settings).run(key)
    return store


def equal_to_tickers(store: DataStore, key: PartitionKey) -> tuple[int, int]:
    """Rows outside gaps whose best levels equal those of the last ticker, and rows that were compared."""
    books = store.rows("reconstructed_books", key).read()
    tickers = store.table("tickers", key).to_pylist()
    numbers = np.array([row["sequence_number"] for row in tickers])
    names = [f"{side}_{{}}{what}_pips" for side in ("bid", "ask") for what in ("price", "size")]
    equal = compared = 0
    doubt = int(BookFlag.GAP | BookFlag.CORRUPT | BookFlag.HINDSIGHT)
    for row in books.to_pylist():
        place = int(np.searchsorted(numbers, row["sequence_number"], "right")) - 1
        if place < 0 or row["flags"] & doubt or not row["known_bid_levels"]:
            continue
        ticker = tickers[place]
        compared += 1
        equal += all(row[name.format("0_")] == ticker[name.format("")] for name in names)
    return equal, compared
