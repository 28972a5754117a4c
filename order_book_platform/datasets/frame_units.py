"""Converts prices and sizes in polars frames: pips to floats or decimals, and decimals to pips that can be drawn.

Here it is decided for frames whether a column holds pips or decimals: a name that ends with `_pips` says pips, and a
decimal type says decimals. `model.encoding` decides the same for partitions that are read as arrays.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from order_book_platform.model import FixedPoint

Prices = Literal["pips", "float", "decimal"]
"""Units that a frame's prices and sizes can be read in."""

DRAWN_PIPS = 10**15
"""Most pips of a price or size that is to be drawn; a float64 of so many is still exact."""


def in_units(frame: pl.LazyFrame, point: FixedPoint, prices: Literal["float", "decimal"]) -> pl.LazyFrame:
    """Convert every column `…_pips`, plain or list, and drop that ending; the order of columns stays.

    Args:
        frame: Rows of any dataset.
        point: Decimals of the pips.
        prices: `float` for the nearest float64, `decimal` for exact decimals. Columns that are stored as decimals
            become floats, or stay as they are.
    """
    columns = []
    for name, kind in frame.collect_schema().items():
        inner = kind.inner if isinstance(kind, pl.List) else kind
        column = pl.element() if isinstance(kind, pl.List) else pl.col(name)
        if prices == "float" and isinstance(inner, pl.Decimal):
            converted = _nearest_float(column)
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


def _nearest_float(decimal: pl.Expr) -> pl.Expr:
    # The text of a decimal is read to the nearest float; from 128 bits straight to 53 may round twice.
    return decimal.cast(pl.String).cast(pl.Float64)


def in_drawn_pips(frame: pl.LazyFrame, fixed_point: FixedPoint) -> tuple[pl.LazyFrame, FixedPoint]:
    """Convert books of decimals to int64 pips with as many digits as a picture can show.

    Args:
        frame: Columns of `reconstructed_books`; books of pips are left as they are.
        fixed_point: Decimals, tick and lot of the books.

    Returns:
        The frame with columns `…_pips` of the nearest pips, and their decimals, which may be below 0 for large sizes.
    """
    decimals = [name for name, kind in frame.collect_schema().items() if isinstance(kind, pl.Decimal)]
    if not decimals:
        return frame, fixed_point
    largest = frame.select(pl.col(decimals).cast(pl.Float64).max()).collect(engine="streaming").row(0)
    places = {
        field: _drawn_decimals(
            max(
                (v or 0.0 for name, v in zip(decimals, largest, strict=True) if name.endswith(field)),
                default=0.0,
            )
        )
        for field in ("price", "size")
    }
    columns = [
        (pl.col(name).cast(pl.Float64) * 10.0 ** places[name.rsplit("_", 1)[1]])
        .round()
        .cast(pl.Int64)
        .alias(f"{name}_pips")
        for name in decimals
    ]
    tick = max(1, round(float(fixed_point.tick) * 10.0 ** places["price"]))
    return frame.with_columns(columns).drop(decimals), FixedPoint(places["price"], places["size"], tick, 1)


def _drawn_decimals(largest: float) -> int:
    """Return the most decimals, up to 18, at which a value is at most `DRAWN_PIPS` pips."""
    decimals = 18
    while largest * 10.0**decimals > DRAWN_PIPS:
        decimals -= 1
    return decimals
