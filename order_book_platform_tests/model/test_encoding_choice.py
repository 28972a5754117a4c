"""Codes: prices keep their order and distance, sizes their identity, and both come back exactly."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.errors import BatchError, PrecisionError
from order_book_platform.model import DecimalEncoding, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.decimal128 import decimal_array, decimal_words, unscaled_integers
from order_book_platform.model.encoding_choice import encoding_of, whole_pips
from order_book_platform.model.pip_encoding import WholePipEncoding, in_precision
from order_book_platform_tests.decimals import words_from_integers

UNIT = 3 * 10**7


def encoding_with(unit: int, tick: int) -> DecimalEncoding:
    """An encoding of decimals with this unit and tick, both unscaled."""
    return DecimalEncoding(unit, FixedPoint(18, 18, tick, 1))


def column(values: list[int]) -> pa.Array:
    """A decimal column of unscaled values."""
    return decimal_array(words_from_integers(values))


@given(st.lists(st.integers(0, 2**61 - 1), min_size=1, max_size=30))
def test_prices_come_back(multiples: list[int]) -> None:
    """A price's code is its multiple of the unit; what is no multiple has none."""
    codes = encoding_with(UNIT, 6 * UNIT)
    prices = [multiple * UNIT for multiple in multiples]
    found, exact = codes.encode_prices(column(prices))
    assert exact.all()
    assert found.tolist() == multiples
    assert codes.price_array(found).equals(column(prices))
    assert codes.unscaled_prices(found).tolist() == prices
    assert not codes.encode_prices(column([price + 1 for price in prices]))[1].any()
    assert codes.tick == 6


@given(st.lists(st.lists(st.integers(0, 10**38 - 1) | st.integers(0, 3), max_size=20), max_size=4))
def test_sizes_are_equal_where_their_codes_are(batches: list[list[int]]) -> None:
    """Over batches: 0 is 0, equal sizes and only those share a code, and each comes back."""
    codes, seen = encoding_with(1, 1), {0: 0}
    for sizes in batches:
        found = codes.encode_sizes(column(sizes))
        assert codes.size_array(found).equals(column(sizes))
        assert codes.unscaled_sizes(found).tolist() == sizes
        for size, code in zip(sizes, found.tolist(), strict=True):
            assert seen.setdefault(size, code) == code
    assert len(set(seen.values())) == len(seen) == codes.size_count
    assert sorted(seen.values()) == list(range(len(seen)))


def test_more_sizes_than_there_was_room_for() -> None:
    """The list grows."""
    codes = encoding_with(1, 1)
    sizes = list(range(5_000))
    assert codes.encode_sizes(column(sizes)).tolist() == sizes
    assert unscaled_integers(codes.size_words(np.arange(5_000))) == sizes


def test_missing_prices() -> None:
    """A missing level is null in a column and −1 among the words."""
    codes = encoding_with(UNIT, UNIT)
    found = np.array([2, MISSING_PIPS])
    assert codes.price_array(found).null_count == 1
    assert unscaled_integers(codes.price_words(found)) == [2 * UNIT, -1]


def test_a_negative_size_is_refused() -> None:
    """No book has one."""
    with pytest.raises(BatchError, match=r"sizes of at least 0, found -0\.000000000000000002"):
        encoding_with(1, 1).encode_sizes(column([1, -2]))


def test_a_day_of_pips_needs_no_codes() -> None:
    """Metadata without a precision are of pips, from before there was another."""
    assert all(
        encoding_of(FixedPoint().to_metadata() | more).precision == "int64"
        for more in ({}, {"precision": "int64"})
    )


def test_deltas_come_back_through_arrow() -> None:
    """Codes to decimals and back; a price off the unit is refused."""
    codes = encoding_with(UNIT, UNIT)
    sizes = codes.encode_sizes(column([5, 0, 7 * 10**37]))
    one = np.arange(3)
    batch = DeltaBatch(one, one, one, one > 1, one + 10, sizes)
    table = batch.to_arrow(codes)
    assert table.schema == in_precision(RAW_DELTAS_SCHEMA, "decimal128")
    again = DeltaBatch.from_arrow(table, codes)
    assert again.encoded_price.tolist() == [10, 11, 12]
    assert again.encoded_size.tolist() == sizes.tolist()
    with pytest.raises(BatchError, match=r"row 0: .*multiples of the day's unit, found 0\.0000000003"):
        DeltaBatch.from_arrow(table, encoding_with(2 * UNIT + 1, 2 * UNIT + 1))


def test_snapshots_come_back_through_arrow() -> None:
    """Ragged levels too; one with a price off the unit keeps no level, as one that could not be read."""
    codes = encoding_with(UNIT, UNIT)
    price = np.array([[[9, 8], [10, MISSING_PIPS]], [[7, 6], [11, 12]]])
    size = codes.encode_sizes(column([1, 2, 3, 0, 5, 6, 7, 8])).reshape(2, 2, 2)
    numbers = np.arange(2)
    batch = SnapshotBatch(numbers, numbers, numbers, price, size)
    table = batch.to_arrow(codes)
    assert table.schema == in_precision(SNAPSHOTS_SCHEMA, "decimal128")
    again = SnapshotBatch.from_arrow(table, codes)
    assert again.encoded_price.tolist() == price.tolist()
    assert again.encoded_size.tolist() == size.tolist()
    assert decimal_words(table.column("bid_price").chunk(0).values).shape == (4, 2)
    coarse = SnapshotBatch.from_arrow(table, encoding_with(2 * UNIT, 2 * UNIT))
    assert (coarse.encoded_price == MISSING_PIPS).all()
    assert (coarse.encoded_size == 0).all()


def batch(prices: list[int | None], sizes: list[int]) -> pa.RecordBatch:
    """A batch of unscaled values; None where there is no level."""
    column = decimal_array(words_from_integers([price or 0 for price in prices]))
    values = pa.array(
        [None if p is None else v for p, v in zip(prices, column.to_pylist(), strict=True)], column.type
    )
    time = pa.array(range(len(prices)))
    return pa.RecordBatch.from_arrays(
        [time, values, decimal_array(words_from_integers(sizes))],
        ["origin_time", "bid_0_price", "bid_0_size"],
    )


def test_whole_pips() -> None:
    """Prices and sizes by their own decimals; missing prices are marked."""
    rows = batch([25 * 10**17, None, 10**20], [3 * 10**15, 0, 10**30])
    encoding = WholePipEncoding(FixedPoint(1, 3), "here")
    assert encoding.read_prices(rows, "bid_0_price").tolist() == [25, MISSING_PIPS, 1000]
    assert encoding.read_sizes(rows, "bid_0_size").tolist() == [3, 0, 10**15]
    prices, exact = encoding.encode_prices(column([25 * 10**17, 10**18]))
    assert (prices.tolist(), exact.tolist()) == ([25, 10], [True, True])
    assert encoding.encode_sizes(column([3 * 10**15, 0])).tolist() == [3, 0]


@pytest.mark.parametrize(("price", "size"), [(10**16, 10**15), (10**17, 10**14), (10**17, 10**37)])
def test_what_does_not_fit_is_named(price: int, size: int) -> None:
    """Between two pips, or 2**61 of them: which column, which partition, what to do."""
    with pytest.raises(
        PrecisionError, match=r"here: .* column bid_0_(price|size), precision decimal128\. Leave"
    ):
        rows, encoding = batch([price], [size]), WholePipEncoding(FixedPoint(1, 3), "here")
        encoding.read_prices(rows, "bid_0_price"), encoding.read_sizes(rows, "bid_0_size")


def test_columns_that_do_not_fit_are_refused_whoever_reads_them() -> None:
    """No number between two pips becomes one of them, whichever way it is read."""
    encoding, odd = WholePipEncoding(FixedPoint(1, 3), "here"), column([10**14])
    for read in (
        encoding.encode_prices,
        encoding.encode_sizes,
        lambda prices: encoding.encode_every_price(prices, "price"),
    ):
        with pytest.raises(PrecisionError, match="here: "):
            read(odd)


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
        "precision": "decimal128",
        "price_unit": price_unit,
        "size_unit": size_unit,
    }
    point = whole_pips("here", metadata).fixed_point
    finer = metadata | {"price_unit": 10 * price_unit, "size_unit": 0}
    assert whole_pips("here", metadata, finer).fixed_point == point
    assert (point.price_decimals, point.size_decimals) == wanted
    assert (str(point.tick), point.lot * 10**18) == ("0.5", lot)
