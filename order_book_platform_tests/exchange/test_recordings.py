"""The three recordings through the exchange: what a client keeps is the exchange's own book, and the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.exchange import ExchangeOptions, LocalExchange, Pace, RecordedFeed, Start, venue
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.exchange.clients import SECOND_NS, START_NS, ClientBook, connected, texts

RECORDED = {
    "usdm": ("BINANCE_FUTURES", "btcusdt@depth@0ms", "binance_usdm/btcusdt_2024080*.gz"),
    "coinm": ("BINANCE_DELIVERY", "btcusd_perp@depth@0ms", "binance_coinm/btcusd_perp_2024080*.gz"),
    "spot": ("BINANCE", "btcusdt@depth@100ms", "binance_spot/btcusdt_2024080*.gz"),
}
LOOK_EVERY = 1500
"""Depth messages between two comparisons of the best prices with the exchange's ticker."""


class Truth:
    """The exchange's own best prices of a market over both days.

    Args:
        recordings: folder of the recordings.
        exchange: exchange of the instrument.
    """

    def __init__(self, recordings: Path, exchange: str) -> None:
        frames = [
            pl.read_parquet(
                recordings / "truth/book_ticker" / key.path / "*.parquet", hive_partitioning=False
            )
            for key in RECORDED_KEYS
            if key.instrument.exchange == exchange
        ]
        rows = pl.concat(frames).sort("update_id")
        self._ids = rows["update_id"].to_numpy()
        self._prices = rows.select("bid_price", "bid_size", "ask_price", "ask_size").to_numpy()

    def at(self, update_id: int) -> tuple[float, ...]:
        """Best bid and ask with their sizes after a message of this id."""
        row = self._prices[np.searchsorted(self._ids, update_id, "right") - 1]
        return tuple(row.tolist())


def best(book: ClientBook) -> tuple[float, float, float, float]:
    """Best bid and ask with their sizes."""
    bids, asks = book.sides
    bid, ask = max(bids, key=float), min(asks, key=float)
    return float(bid), float(bids[bid]), float(ask), float(asks[ask])


@pytest.mark.parametrize("own_groupings", [False, True])
@pytest.mark.parametrize("market", list(RECORDED))
def test_a_recording_at_unlimited_speed_is_the_truth(
    recordings: Path, market: str, own_groupings: bool
) -> None:
    """A client with a snapshot from REST has the ticker's best prices, and at the end the exchange's whole book."""
    exchange, stream, files = RECORDED[market]
    feed = RecordedFeed(tuple(sorted((recordings / "captures").glob(files))), venue(market))
    options = ExchangeOptions(Pace(None, Start.SUBSCRIBED, hold_for_snapshot=True), own_groupings)
    served = LocalExchange({market: [feed]}, options, START_NS)
    client = connected(served, "/ws/" + stream)
    while served.advance(START_NS):
        pass
    assert not served.player.finished, "it waits where the snapshot was recorded"
    query = {"symbol": feed.rules.symbol, "limit": "1000"}
    reply = served.markets[market].request(venue(market).market.rest_prefix + "/depth", query, START_NS)
    seed = {"lastUpdateId": feed.seed.last_update_id, "bids": feed.seed.bids, "asks": feed.seed.asks}
    book, whole = ClientBook(json.loads(reply.body)), ClientBook(seed)
    truth, messages = Truth(recordings, exchange), 0
    while True:
        played = served.advance(START_NS, 512)
        served.markets[market].tick(START_NS + SECOND_NS if not played else START_NS)
        for data in texts(client):
            book.apply(data)
            whole.apply(data)
            messages += 1
            if messages % LOOK_EVERY == 0 or not played:
                assert best(book) == truth.at(data["u"]), data["u"]
        if not played:
            break
    own = served.markets[market].books[feed.rules.symbol].at(START_NS)
    assert served.player.finished
    assert messages > 2000
    assert (whole.last_id, book.last_id) == (own.last_update_id, own.last_update_id)
    assert whole.sides == (dict(map(tuple, own.bids)), dict(map(tuple, own.asks)))
