"""Simulated input for benchmarks: the same bytes at every run."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.settings import InstrumentSettings, Settings
from order_book_platform.simulate import Faults, MarketProfile, MarketSimulator, profile
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore

KEY = PartitionKey(Instrument("SIMULATED", "BTC-USDT-PERP"), date(2024, 8, 8))


PROFILE = profile("btc-perp")
TWICE_AS_BUSY = replace(
    PROFILE,
    name="btc-perp, messages twice as often",
    interval_ms=tuple(interval // 2 for interval in PROFILE.interval_ms),
    id_step=PROFILE.id_step // 2,
)
"""Days have an end: more messages fit into one only if they come more often. As many update ids a day as before."""


def simulated_lake(
    folder: Path, messages: int | None, market: MarketProfile = PROFILE
) -> tuple[DataStore, Settings]:
    """A lake with one simulated day of a BTC perpetual, and an empty store.

    Args:
        folder: of both.
        messages: of the day; None where it lies there already.
        market: what the perpetual is like.
    """
    if messages is not None:
        MarketSimulator(market, 1).write(folder / "lake", KEY, messages, Faults.parse(""))
    settings = Settings(
        lake_root=folder / "lake",
        data_root=folder / "store",
        first_day=KEY.day,
        instruments=(InstrumentSettings(symbol=KEY.instrument.key),),
    )
    return DataStore(settings.data_root), settings


def simulated_store(folder: Path, messages: int) -> tuple[DataStore, Settings]:
    """The same, with `raw_deltas`, `snapshots` and `trades` published."""
    store, settings = simulated_lake(folder, messages)
    LakeIngest(store, settings).run(KEY)
    return store, settings
