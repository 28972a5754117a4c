"""`scan`: published partitions as polars LazyFrames, prices and sizes as pips, floats or decimals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from typing import get_args

import polars as pl

from order_book_platform.clock import parse_day
from order_book_platform.datasets.frame_units import Prices, in_units
from order_book_platform.errors import PartitionMissingError, PrecisionError, SettingsError, StorageError
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.settings import Settings, load_settings
from order_book_platform.storage.store import DataStore

Day = str | date

TABLES = tuple(dataset.name for dataset in DATASETS.values() if dataset.table_file.endswith(".parquet"))
"""Names of the datasets that have rows to scan."""


def scan(
    dataset: str,
    symbol: str,
    day: Day | Sequence[Day] | None = None,
    *,
    days: Sequence[Day] | None = None,
    prices: Prices = "pips",
    config: Settings | str | os.PathLike[str] | None = None,
) -> pl.LazyFrame:
    """Read a dataset lazily.

    One day gives the columns as stored. Several days (a sequence, or none named: every published one) are put
    one after the other in the order of time, with a leading column `day` (Date, the partition's UTC day of
    arrival).

    Args:
        dataset: Name of a dataset with rows: `raw_deltas`, `reconstructed_books`, … (`TABLES`).
        symbol: `EXCHANGE:SYMBOL`.
        day: One UTC day, `YYYY-MM-DD` or a date.
        days: Several UTC days; not together with `day`.
        prices: `pips` leaves the int64 columns `…_pips` as stored; `float` divides them by their decimals,
            giving the float64 nearest to the decimal; `decimal` gives Decimal(38, decimals), exactly. Both
            drop `_pips` from the column's name. Other columns (such as `mid2`) stay as they are. A day that is kept
            as decimals gives those, or floats.
        config: Settings, or the file they are in; by default `OBP_CONFIG`, else `./platform.toml`.

    Raises:
        SettingsError: The settings, the dataset, the symbol, a day or `prices` is not one that exists.
        PartitionMissingError: A day asked for has not been published, or no day has.
        StorageError: Pips of days with different decimals cannot stand in one column.
        PrecisionError: Pips are asked for of a day that is kept as decimals.
    """
    _one_of("dataset", dataset, TABLES)
    _one_of("prices", prices, get_args(Prices))
    settings = config if isinstance(config, Settings) else load_settings(config)
    store = DataStore(settings.data_root)
    keys, several = _keys(store, dataset, Instrument.parse(symbol), day, days)
    points = _fixed_points(store, dataset, keys)
    if prices == "pips":
        _refuse_decimals(store, dataset, keys)
        _refuse_mixed_decimals(dataset, points)
    frames = []
    for key in keys:
        frame = store.frame(dataset, key)
        if prices != "pips":
            frame = in_units(frame, points[key], prices)
        frames.append(frame.select(pl.lit(key.day).alias("day"), pl.all()) if several else frame)
    # Days may differ in decimals; `vertical_relaxed` takes the wider scale, which loses nothing.
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")


def _one_of(where: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise SettingsError(
            expected="one of " + ", ".join(allowed),
            found=repr(value),
            where=where,
            remedy="It is a JSON report: read it with DataStore.report."
            if value in DATASETS
            else "Correct the name.",
        )


def _keys(
    store: DataStore,
    dataset: str,
    instrument: Instrument,
    day: Day | Sequence[Day] | None,
    days: Sequence[Day] | None,
) -> tuple[list[PartitionKey], bool]:
    """Return the partitions asked for, and whether they were asked for as several."""
    if day is not None and days is not None:
        raise SettingsError(
            expected="either day or days", found="both", where="scan", remedy="Leave one of them out."
        )
    if isinstance(day, str | date):
        return [PartitionKey(instrument, _date(day))], False
    wanted = day if day is not None else days
    if wanted is not None:
        keys = [PartitionKey(instrument, found) for found in sorted({_date(each) for each in wanted})]
    else:
        keys = [key for key in store.partitions(dataset) if key.instrument == instrument]
    if not keys:
        raise PartitionMissingError(
            expected=f"at least one day of {dataset}",
            found="none",
            where=f"{instrument} in {store.root}",
            remedy=f"Run: obp materialize --symbol {instrument} --day YYYY-MM-DD",
        )
    return keys, True


def _date(day: Day) -> date:
    return parse_day(day) if isinstance(day, str) else day


def _fixed_points(
    store: DataStore, dataset: str, keys: Sequence[PartitionKey]
) -> dict[PartitionKey, FixedPoint]:
    """Return the decimals of each partition; none for datasets that hold no pips."""
    manifests = {key: store.manifest(dataset, key) for key in keys}
    return {key: each.fixed_point for key, each in manifests.items() if "price_decimals" in each.metadata}


def _refuse_decimals(store: DataStore, dataset: str, keys: Sequence[PartitionKey]) -> None:
    for key in keys:
        if store.manifest(dataset, key).precision == "decimal128":
            raise PrecisionError(
                expected="days kept as int64 pips",
                found="precision decimal128",
                where=f"{dataset} of {key}",
                remedy="Scan with prices='decimal' (exact) or 'float'.",
            )


def _refuse_mixed_decimals(dataset: str, points: dict[PartitionKey, FixedPoint]) -> None:
    scales = {(point.price_decimals, point.size_decimals): key for key, point in points.items()}
    if len(scales) > 1:
        (one, first), (other, second) = list(scales.items())[:2]
        raise StorageError(
            expected="the same price and size decimals on every day",
            found=f"{one} in {first} and {other} in {second}",
            where=dataset,
            remedy="Scan with prices='float' or 'decimal', or set the decimals and materialize again.",
        )
