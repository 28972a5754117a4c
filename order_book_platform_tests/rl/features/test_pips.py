"""Decimals as the pips of features: exact, or refused with what to do about it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from order_book_platform.errors import PrecisionError
from order_book_platform.model import FixedPoint
from order_book_platform.model.decimal128 import decimal_array, words_of_integers
from order_book_platform.model.encoding import int64_point
from order_book_platform.rl.features.pips import batch_in_pips


def batch(prices: list[int | None], sizes: list[int]) -> pa.RecordBatch:
    """A batch of unscaled values; None where there is no level."""
    column = decimal_array(words_of_integers([price or 0 for price in prices]))
    values = pa.array(
        [None if p is None else v for p, v in zip(prices, column.to_pylist(), strict=True)], column.type
    )
    time = pa.array(range(len(prices)))
    return pa.RecordBatch.from_arrays(
        [time, values, decimal_array(words_of_integers(sizes))], ["origin_time", "bid_0_price", "bid_0_size"]
    )


def test_whole_pips() -> None:
    """Prices and sizes by their own decimals, missing ones missing, other columns as they are."""
    found = batch_in_pips(
        batch([25 * 10**17, None, 10**20], [3 * 10**15, 0, 10**30]), FixedPoint(1, 3), "here"
    )
    assert found.schema.names == ["origin_time", "bid_0_price_pips", "bid_0_size_pips"]
    assert found.column("origin_time").to_pylist() == [0, 1, 2]
    assert found.column("bid_0_price_pips").to_pylist() == [25, None, 1000]
    assert found.column("bid_0_size_pips").to_pylist() == [3, 0, 10**15]


@pytest.mark.parametrize(("price", "size"), [(10**16, 10**15), (10**17, 10**14), (10**17, 10**37)])
def test_what_does_not_fit_is_named(price: int, size: int) -> None:
    """Between two pips, or 2**61 of them: which column, which partition, what to do."""
    with pytest.raises(
        PrecisionError, match=r"here: .* column bid_0_(price|size), precision decimal128\. Leave"
    ):
        batch_in_pips(batch([price], [size]), FixedPoint(1, 3), "here")


@pytest.mark.parametrize(
    ("price_unit", "size_unit", "wanted"),
    [
        (10**17, 10**15, (1, 3)),
        (5 * 10**9, 10**18, (9, 0)),
        (1, 10**20, (18, 0)),
    ],
)
def test_fewest_decimals(price_unit: int, size_unit: int, wanted: tuple[int, int]) -> None:
    """As many as the units have, none below 0; tick and lot in their pips."""
    tick, lot = 5 * 10**17, 2 * max(size_unit, 10**15)
    metadata = FixedPoint(18, 18, tick, lot).to_metadata() | {
        "price_unit": price_unit,
        "size_unit": size_unit,
    }
    point = int64_point(metadata)
    finer = metadata | {"price_unit": 10 * price_unit, "size_unit": 0}
    assert int64_point(metadata, finer) == point
    assert (point.price_decimals, point.size_decimals) == wanted
    assert (str(point.tick), point.lot * 10**18) == ("0.5", lot)
