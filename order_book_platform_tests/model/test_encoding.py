"""Codes: prices keep their order and distance, sizes their identity, and both come back exactly."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.batches import DeltaBatch, SnapshotBatch
from order_book_platform.datasets.schemas import RAW_DELTAS, SNAPSHOTS, in_precision
from order_book_platform.errors import BatchError
from order_book_platform.model import DecimalEncoding
from order_book_platform.model.decimal128 import decimal_array, integers, words_of, words_of_integers
from order_book_platform.model.levels import MISSING_PIPS

UNIT = 3 * 10**7


def column(values: list[int]) -> pa.Array:
    """A decimal column of unscaled values."""
    return decimal_array(words_of_integers(values))


@given(st.lists(st.integers(0, 2**61 - 1), min_size=1, max_size=30))
def test_prices_come_back(multiples: list[int]) -> None:
    """A price's code is its multiple of the unit; what is no multiple has none."""
    codes = DecimalEncoding(UNIT, 6 * UNIT)
    prices = [multiple * UNIT for multiple in multiples]
    found, exact = codes.price_codes(column(prices))
    assert exact.all()
    assert found.tolist() == multiples
    assert codes.price_array(found).equals(column(prices))
    assert codes.price_integers(found).tolist() == prices
    assert not codes.price_codes(column([price + 1 for price in prices]))[1].any()
    assert codes.tick_codes == 6


@given(st.lists(st.lists(st.integers(0, 10**38 - 1) | st.integers(0, 3), max_size=20), max_size=4))
def test_sizes_are_equal_where_their_codes_are(batches: list[list[int]]) -> None:
    """Over batches: 0 is 0, equal sizes and only those share a code, and each comes back."""
    codes, seen = DecimalEncoding(1, 1), {0: 0}
    for sizes in batches:
        found = codes.size_codes(column(sizes))
        assert codes.size_array(found).equals(column(sizes))
        assert codes.size_integers(found).tolist() == sizes
        for size, code in zip(sizes, found.tolist(), strict=True):
            assert seen.setdefault(size, code) == code
    assert len(set(seen.values())) == len(seen) == codes.sizes
    assert sorted(seen.values()) == list(range(len(seen)))


def test_more_sizes_than_there_was_room_for() -> None:
    """The list grows."""
    codes = DecimalEncoding(1, 1)
    sizes = list(range(5_000))
    assert codes.size_codes(column(sizes)).tolist() == sizes
    assert integers(codes.size_words(np.arange(5_000))) == sizes


def test_missing_prices() -> None:
    """A missing level is null in a column and −1 among the words."""
    codes = DecimalEncoding(UNIT, UNIT)
    found = np.array([2, MISSING_PIPS])
    assert codes.price_array(found).null_count == 1
    assert integers(codes.price_words(found)) == [2 * UNIT, -1]


def test_a_negative_size_is_refused() -> None:
    """No book has one."""
    with pytest.raises(BatchError, match=r"sizes of at least 0, found -0\.000000000000000002"):
        DecimalEncoding(1, 1).size_codes(column([1, -2]))


def test_a_day_of_pips_needs_no_codes() -> None:
    """Metadata without a precision are of pips, from before there was another."""
    assert DecimalEncoding.of({}) is DecimalEncoding.of({"precision": "int64"}) is None


def test_deltas_come_back_through_arrow() -> None:
    """Codes to decimals and back; a price off the unit is refused."""
    codes = DecimalEncoding(UNIT, UNIT)
    sizes = codes.size_codes(column([5, 0, 7 * 10**37]))
    one = np.arange(3)
    batch = DeltaBatch(one, one, one, one > 1, one + 10, sizes)
    table = batch.to_arrow(codes)
    assert table.schema == in_precision(RAW_DELTAS, "decimal128")
    again = DeltaBatch.from_arrow(table, codes)
    assert again.encoded_price.tolist() == [10, 11, 12]
    assert again.encoded_size.tolist() == sizes.tolist()
    with pytest.raises(BatchError, match=r"row 0: .*multiples of the day's unit, found 0\.0000000003"):
        DeltaBatch.from_arrow(table, DecimalEncoding(2 * UNIT + 1, 2 * UNIT + 1))


def test_snapshots_come_back_through_arrow() -> None:
    """Ragged levels too; one with a price off the unit keeps no level, as one that could not be read."""
    codes = DecimalEncoding(UNIT, UNIT)
    price = np.array([[[9, 8], [10, MISSING_PIPS]], [[7, 6], [11, 12]]])
    size = codes.size_codes(column([1, 2, 3, 0, 5, 6, 7, 8])).reshape(2, 2, 2)
    numbers = np.arange(2)
    batch = SnapshotBatch(numbers, numbers, numbers, price, size)
    table = batch.to_arrow(codes)
    assert table.schema == in_precision(SNAPSHOTS, "decimal128")
    again = SnapshotBatch.from_arrow(table, codes)
    assert again.encoded_price.tolist() == price.tolist()
    assert again.encoded_size.tolist() == size.tolist()
    assert words_of(table.column("bid_price").chunk(0).values).shape == (4, 2)
    coarse = SnapshotBatch.from_arrow(table, DecimalEncoding(2 * UNIT, 2 * UNIT))
    assert (coarse.encoded_price == MISSING_PIPS).all()
    assert (coarse.encoded_size == 0).all()
