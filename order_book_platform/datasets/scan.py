"""`scan`: published partitions as polars LazyFrames, prices and sizes as pips, floats or decimals.

Here it is decided for frames whether a column holds pips or decimals: a name that ends with `_pips` says pips, and a
decimal type says decimals. `model.encoding_choice` decides the same for partitions that are read as arrays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from itertools import count
from typing import Literal, get_args

import polars as pl

from order_book_platform.clock import parse_day
from order_book_platform.errors import PartitionMissingError, PrecisionError, SettingsError, StorageError
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.settings import Settings, load_settings
from order_book_platform.storage import DataStore, Manifest

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
    manifests = {key: store.manifest(dataset, key) for key in keys}
    if prices == "pips":
        _refuse_decimals(dataset, manifests)
    frames = []
    for key in keys:
        frame = store.frame(dataset, key)
        if prices != "pips" and "price_decimals" in manifests[key].metadata:
            frame = in_units(frame, manifests[key].fixed_point, prices)
        frames.append(frame.select(pl.lit(key.day).alias("day"), pl.all()) if several else frame)
    # Days may differ in decimals; `vertical_relaxed` takes the wider scale, which loses nothing.
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")


def _one_of(where: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        report = "It is a JSON report: read it with DataStore.report."
        raise SettingsError(
            expected="one of " + ", ".join(allowed),
            found=repr(value),
            where=where,
            remedy=report if value in DATASETS else "Correct the name.",
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


def _refuse_decimals(dataset: str, manifests: dict[PartitionKey, Manifest]) -> None:
    """Refuse days that are kept as decimals, and days whose pips have different decimals."""
    scales: dict[tuple[int, int], PartitionKey] = {}
    for key, manifest in manifests.items():
        if manifest.precision == "decimal128":
            raise PrecisionError(
                expected="days kept as int64 pips",
                found="precision decimal128",
                where=f"{dataset} of {key}",
                remedy="Scan with prices='decimal' (exact) or 'float'.",
            )
        if "price_decimals" in manifest.metadata:
            scales[manifest.fixed_point.price_decimals, manifest.fixed_point.size_decimals] = key
    if len(scales) > 1:
        (one, first), (other, second) = list(scales.items())[:2]
        raise StorageError(
            expected="the same price and size decimals on every day",
            found=f"{one} in {first} and {other} in {second}",
            where=dataset,
            remedy="Scan with prices='float' or 'decimal', or set the decimals and materialize again.",
        )


Prices = Literal["pips", "float", "decimal"]
"""Units that a frame's prices and sizes can be read in."""

DRAWN_PIPS = 10**15
"""Most pips of a price or size that is to be drawn; a float64 of so many is still exact."""


def in_units(frame: pl.LazyFrame, point: FixedPoint, prices: Literal["float", "decimal"]) -> pl.LazyFrame:
    """Convert every column `…_pips`, plain or list, to the nearest float64 or exact decimals, and drop that ending.

    Columns that are stored as decimals become floats, or stay as they are; the order of columns stays.
    """
    columns = []
    for name, kind in frame.collect_schema().items():
        inner = kind.inner if isinstance(kind, pl.List) else kind
        column = pl.element() if isinstance(kind, pl.List) else pl.col(name)
        if prices == "float" and isinstance(inner, pl.Decimal):
            # The text of a decimal is read to the nearest float; from 128 bits straight to 53 may round twice.
            converted = column.cast(pl.String).cast(pl.Float64)
        elif name.endswith("_pips"):
            decimals = point.size_decimals if name.endswith("size_pips") else point.price_decimals
            converted = convert_pips(column, decimals, prices)
        else:
            columns.append(pl.col(name))
            continue
        if isinstance(kind, pl.List):
            converted = pl.col(name).list.eval(converted)
        columns.append(converted.alias(name.removesuffix("_pips")))
    return frame.select(columns)


def convert_pips(pips: pl.Expr, decimals: int, prices: Literal["float", "decimal"]) -> pl.Expr:
    """Convert int64 pips to the float64 nearest to the decimal, or to an exact Decimal(38, decimals)."""
    if prices == "decimal":
        return pips.cast(pl.Decimal(38, decimals)) / pl.lit(10**decimals).cast(pl.Decimal(38, 0))
    # Polars divides a column by a scalar as a product with 1/scalar, which is not the nearest float in 13 to
    # 52 % of rows (measured, polars 2.1, 1 to 8 decimals); dividing by a column is correctly rounded.
    value = pips.cast(pl.Float64)
    return value / (value * 0.0 + 10.0**decimals)


def in_drawn_pips(frame: pl.LazyFrame, fixed_point: FixedPoint) -> tuple[pl.LazyFrame, FixedPoint]:
    """Convert books of decimals to the nearest int64 pips of as many digits as a picture can show; pips stay.

    The decimals, which are returned too, may be below 0 for large sizes.
    """
    decimals = [name for name, kind in frame.collect_schema().items() if isinstance(kind, pl.Decimal)]
    if not decimals:
        return frame, fixed_point
    largest = (
        frame.select(pl.col(decimals).cast(pl.Float64).max()).collect(engine="streaming").row(0, named=True)
    )
    places = {}
    for field in ("price", "size"):
        most = max((value or 0.0 for name, value in largest.items() if name.endswith(field)), default=0.0)
        # The most decimals, up to 18, at which the largest value is at most `DRAWN_PIPS` pips.
        places[field] = next(number for number in count(18, -1) if most * 10.0**number <= DRAWN_PIPS)
    columns = [
        (pl.col(name).cast(pl.Float64) * 10.0 ** places[name.rsplit("_", 1)[1]])
        .round()
        .cast(pl.Int64)
        .alias(f"{name}_pips")
        for name in decimals
    ]
    tick = max(1, round(float(fixed_point.tick) * 10.0 ** places["price"]))
    return frame.with_columns(columns).drop(decimals), FixedPoint(places["price"], places["size"], tick, 1)
