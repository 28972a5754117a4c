"""Depth messages, with their ids, and REST snapshots of the raw recordings that hold one."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform_tests.streams import snapshot_batch

RECORDED = {
    "usdm": "binance_usdm/btcusdt_20240808.gz",
    "coinm": "binance_coinm/btcusd_perp_20240808.gz",
    "spot": "binance_spot/btcusdt_20240808.gz",
}


def pips(decimals: list[list[str]]) -> list[tuple[int, int]]:
    """Price and size of levels, at 8 decimals."""
    return [(int(Decimal(price) * 10**8), int(Decimal(size) * 10**8)) for price, size in decimals]


def recorded(recordings: Path, market: str) -> tuple[DeltaBatch, SnapshotBatch]:
    """Depth messages and the REST snapshot of a recording."""
    path = recordings / "captures" / RECORDED[market]
    rows: list[tuple[int, ...]] = []
    found: SnapshotBatch | None = None
    for line in gzip.decompress(path.read_bytes()).splitlines():
        received, text = line.split(b" ", 1)
        message = json.loads(text)
        if "lastUpdateId" in message:
            levels = pips(message["bids"]), pips(message["asks"])
            shot = snapshot_batch([(message["lastUpdateId"], levels)], 1)
            found = replace(shot, received_time=np.array([int(received)]))
        data = message.get("data", {})
        if data.get("e") == "depthUpdate":
            head = int(received), data["E"] * 10**6, data["u"], data["U"], data.get("pu", -1)
            rows += [
                (*head, is_bid, *level) for is_bid, side in ((1, "b"), (0, "a")) for level in pips(data[side])
            ]
    received_, origin, number, first, before, is_bid, price, size = np.array(rows, np.int64).T.copy()
    has_pu = before[0] >= 0
    assert found is not None
    return DeltaBatch(
        origin, received_, number, is_bid > 0, price, size, None, first, before if has_pu else None
    ), found
