"""A day in memory: read whole, published in parts, put back."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from order_book_platform.errors import PartitionMissingError
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.conftest import TRIAL_KEY
from order_book_platform_tests.fidelity.partitions import KEY


def fingerprints(store: DataStore) -> dict[str, str]:
    """Of the datasets that a day is made of."""
    names = ("reconstructed_books", "raw_deltas", "snapshots", "tickers", "trades")
    return {name: store.manifest(name, TRIAL_KEY).fingerprint for name in names}


def test_a_day_is_all_that_a_report_is_made_from(trial: DataStore) -> None:
    """Every row of every table; of the deltas each message once."""
    day = InMemoryDay.read(trial, TRIAL_KEY)
    assert len(day.books) == trial.rows("reconstructed_books", TRIAL_KEY).num_rows
    assert len(day.snapshots) == trial.rows("snapshots", TRIAL_KEY).num_rows
    deltas = trial.rows("raw_deltas", TRIAL_KEY).read(["sequence_number"]).column(0).to_pylist()
    assert day.messages.tolist() == list(dict.fromkeys(deltas))
    assert len(day.messages) == 4_000
    assert {len(day.used) > 0, len(day.tickers) > 0, len(day.trades) > 0} == {True}
    assert day.tick_pips == trial.manifest("reconstructed_books", TRIAL_KEY).fixed_point.tick_pips


def test_only_what_differs_is_published_and_can_be_put_back(trial: DataStore) -> None:
    """Books and lists of levels keep schema, metadata and content; the others are not touched."""
    before, sound = fingerprints(trial), InMemoryDay.read(trial, TRIAL_KEY)
    metadata = trial.manifest("reconstructed_books", TRIAL_KEY).metadata
    damaged = replace(
        sound,
        books=sound.books.with_columns(pl.col("bid_0_size_pips") + 1),
        snapshots=sound.snapshots.clone(),
    )
    damaged.publish(trial, TRIAL_KEY, sound)
    changed = fingerprints(trial)
    again = InMemoryDay.read(trial, TRIAL_KEY)
    sound.publish(trial, TRIAL_KEY, damaged)
    assert {name for name in before if before[name] != changed[name]} == {"reconstructed_books", "snapshots"}
    assert again.books.equals(damaged.books)
    assert again.snapshots.equals(sound.snapshots)
    assert again.used.equals(sound.used)
    back = InMemoryDay.read(trial, TRIAL_KEY)
    assert back.books.equals(sound.books)
    assert trial.manifest("reconstructed_books", TRIAL_KEY).metadata == metadata


def test_a_day_without_tickers_is_none(store: DataStore) -> None:
    """What has not been published is named."""
    with pytest.raises(PartitionMissingError, match="tickers"):
        InMemoryDay.read(store, KEY)
