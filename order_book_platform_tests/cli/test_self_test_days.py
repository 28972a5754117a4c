"""The days of the self-test: the store of a sound one, and the evidence that each faulty one carries."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from order_book_platform.cli.self_test_days import (
    BACK_EVERY,
    BACK_NS,
    CLOCK_BACK,
    FAULTS,
    LOST,
    faulty_days,
    sound_day,
)
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.simulate import Faults
from order_book_platform.storage import DataStore

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
MESSAGES = 4_000
"""As few as leave room for every fault."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> DataStore:
    """The store of a sound day."""
    return sound_day(tmp_path_factory.mktemp("sound"), KEY, MESSAGES, 0, silent)


def test_a_sound_day_has_books_and_what_they_are_measured_against(sound: DataStore) -> None:
    """Books, snapshots, trades and the market's own tickers are there; every delta has its transaction time."""
    for dataset in ("reconstructed_books", "snapshots", "trades", "tickers", "sequence_gap_report"):
        assert sound.exists(dataset, KEY)
    deltas = sound.frame("raw_deltas", KEY).collect()
    assert deltas["transaction_time"].null_count() == 0
    assert (deltas["transaction_time"] <= deltas["received_time"]).all()
    tickers = sound.frame("tickers", KEY).collect()
    assert (tickers["bid_price_pips"] < tickers["ask_price_pips"]).all()
    assert tickers["sequence_number"].is_sorted()


def test_settings_of_the_environment_have_no_say(
    tmp_path: Path, sound: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days lie in their own folder and are made in the same way, whatever the environment says."""
    monkeypatch.setenv("OBP_LAKE_ROOT", "s3://elsewhere")
    monkeypatch.setenv("OBP_RECONSTRUCT__DEPTH", "3")
    again = sound_day(tmp_path, KEY, MESSAGES, 0, silent)
    assert again.table("reconstructed_books", KEY).equals(sound.table("reconstructed_books", KEY))


def test_faulty_days_say_what_follows_from_the_fault(tmp_path: Path, sound: DataStore) -> None:
    """One day a fault, in words, with the gates that have to fail and the figures that the fault determines."""
    days = {day.name: day for day in faulty_days(tmp_path, KEY, MESSAGES, 0, silent)}
    assert list(days) == [*FAULTS, CLOCK_BACK]
    for faults, _ in FAULTS.values():
        assert str(Faults.parse(faults)) == faults
    numbers = {
        name: set(store.frame("raw_deltas", KEY).collect()["sequence_number"].to_list())
        for name, store in (("sound", sound), ("dropped", days["dropped"].store))
    }
    assert len(numbers["sound"] - numbers["dropped"]) == LOST
    assert days["dropped"].fails == ("resyncs", "unseen_references")
    back = pl.DataFrame(days[CLOCK_BACK].store.table("raw_deltas", KEY))
    whole = pl.DataFrame(sound.table("raw_deltas", KEY))
    shift = (whole["origin_time"] - back["origin_time"]).unique().sort().to_list()
    assert shift == [0, BACK_NS]
    messages = back["sequence_number"].n_unique()
    wrong = len(range(BACK_EVERY, messages, BACK_EVERY))
    assert days[CLOCK_BACK].figures == {"origin_valid": 1 - wrong / (messages - 1)}
