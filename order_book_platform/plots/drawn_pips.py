"""Books of decimals in int64 pips, for a picture: as many digits as one can show."""

from __future__ import annotations

import polars as pl

from order_book_platform.model import FixedPoint

DRAWN_PIPS = 10**15
"""Prices and sizes are drawn as at most so many pips."""


def in_pips(frame: pl.LazyFrame, fixed_point: FixedPoint) -> tuple[pl.LazyFrame, FixedPoint]:
    """Books with `…_pips` columns, and what these pips are; books of pips are left as they are.

    Args:
        frame: columns of `reconstructed_books`.
        fixed_point: of its prices and sizes.

    Returns:
        The frame with int64 columns of the nearest pips, and their decimals, which may be below 0 for large sizes.
    """
    decimals = [name for name, kind in frame.collect_schema().items() if isinstance(kind, pl.Decimal)]
    if not decimals:
        return frame, fixed_point
    largest = frame.select(pl.col(decimals).cast(pl.Float64).max()).collect(engine="streaming").row(0)
    places = {
        what: _places(
            max(
                (v or 0.0 for name, v in zip(decimals, largest, strict=True) if name.endswith(what)),
                default=0.0,
            )
        )
        for what in ("price", "size")
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


def _places(largest: float) -> int:
    """Most decimals, up to 18, at which a value is at most `DRAWN_PIPS` pips."""
    places = 18
    while largest * 10.0**places > DRAWN_PIPS:
        places -= 1
    return places
