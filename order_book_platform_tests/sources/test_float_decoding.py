"""Decoders: pips and decimals of the same floats order, divide, hash and read back alike."""

from __future__ import annotations

from decimal import Decimal
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import DecimalRangeError, FixedPointRangeError, OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.fixed_point import EXACT, EXACT_PIPS
from order_book_platform.sources.float_decoding import DecimalDecoder, FloatDecoder, Int64Overflow
from order_book_platform.sources.lake_source import GridAudit, LakeFile, check_grid
from order_book_platform_tests.lake import delta_frame, files_of

DECODERS = {"pips": lambda: FloatDecoder(FixedPoint(3, 2)), "decimals": DecimalDecoder}
CENTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@pytest.fixture
def file(tmp_path: Path) -> LakeFile:
    """Any file, which errors and audits name."""
    return files_of(tmp_path, delta_frame(2), rows=100)[0]


@pytest.mark.parametrize("name", DECODERS)
def test_columns_read_back_as_they_were(file: LakeFile, name: str) -> None:
    """Sizes of two decimals come out as exactly these decimals."""
    decoder = DECODERS[name]()
    decoded = decoder.decode_column(GridAudit(), file, 0, "size", np.array([0.0, 0.25, 1e6, 0.25]))
    sizes = [Decimal(0), Decimal("0.25"), Decimal(10**6), Decimal("0.25")]
    scale = Decimal(10) ** -decoder.scale.size_decimals
    assert [decoder.to_pips(each) * scale for each in decoded.tolist()] == sizes
    assert decoder.size_array(decoded).to_pylist() == ([0, 25, 10**8, 25] if name == "pips" else sizes)


@pytest.mark.parametrize("name", DECODERS)
@given(CENTS, st.integers(0, 1_000))
def test_divisors_and_multiples_are_those_of_integers(name: str, cents: list[int], start: int) -> None:
    """The divisor of all values and of what came before; what it divides is a multiple of it."""
    decoder = DECODERS[name]()
    decoded, wrong = decoder.decode_levels("size", np.array(cents) / 100)
    positive = np.array(cents) > 0
    assert not wrong[positive].any()
    unit = 1 if name == "pips" else 10**16
    found = decoder.common_divisor(decoded[positive], start * unit)
    assert found == gcd(start, *np.array(cents)[positive].tolist()) * unit
    if found:
        assert decoder.are_multiples(decoded[positive], found).all()
        twice = np.array([cent * unit % (2 * found) == 0 for cent in cents if cent])
        assert decoder.are_multiples(decoded[positive], 2 * found).tolist() == twice.tolist()


@pytest.mark.parametrize("name", DECODERS)
def test_levels_that_cannot_be_are_marked(name: str) -> None:
    """NaN is a missing level; negative, infinite and off the grid, or beyond any decimal, are wrong ones."""
    stray = 0.0001 if name == "pips" else 1e-19
    floats = np.array([[[1.5, np.nan], [-1.0, np.inf]], [[stray, 2.25], [3.125, np.nan]]])
    decoded, wrong = DECODERS[name]().decode_levels("price", floats)
    assert wrong.tolist() == [[[False, False], [True, True]], [[True, False], [False, False]]]
    assert (decoded == MISSING_PIPS)[np.isnan(floats)].all()


@given(st.sets(st.floats(1e-3, 1e9).map(lambda value: round(value, 2)), min_size=2, max_size=40))
def test_hash_keys_of_floats_differ_in_their_lower_bits(values: set[float]) -> None:
    """Round numbers have zeros there; equal values have equal keys, and the keys of different ones spread."""
    decoder: FloatDecoder = DecimalDecoder()
    bits = np.array(sorted(values)).view(np.int64)
    keys = decoder.hash_keys(bits)
    assert len(set(keys.tolist())) == len(values)
    assert np.array_equal(decoder.hash_keys(bits[::-1]), keys[::-1])
    assert DECODERS["pips"]().hash_keys(bits) is bits


def test_decimals_count_sizes_and_what_pips_could_not_hold(file: LakeFile) -> None:
    """Different sizes over all batches; of pips nothing is counted, and an audit says extremes as text."""
    decimals, pips = DecimalDecoder(), FloatDecoder(FixedPoint(8, 8))
    for values in ([1.0, 1 / 3], [1.0, 2.0]):
        decimals.count_sizes(decimals.decode_column(GridAudit(), file, 5, "size", np.array(values)))
    assert (decimals.size_count, pips.size_count) == (3, None)
    assert decimals.overflow_audit() == {
        "prices_beyond_pips": 0,
        "sizes_beyond_pips": 1,
        "first_beyond_pips": f"0.parquet: column size, row 6: {1 / 3!r}",
    }
    assert pips.overflow_audit() == {}
    half = int(np.array([0.5]).view(np.int64)[0])
    assert decimals.readable_audit({"largest_price_pips": half, "rows": 2}) == {
        "largest_price": "0.5",
        "rows": 2,
    }
    assert pips.readable_audit({"largest_price_pips": 5}) == {"largest_price_pips": 5}


def test_what_no_decimal_holds_is_refused_with_its_place(file: LakeFile) -> None:
    """File, column and row."""
    with pytest.raises(DecimalRangeError, match=r"0\.parquet: column price, row 8"):
        DecimalDecoder().decode_column(GridAudit(), file, 7, "price", np.array([1.0, 1e-19]))


VALUES = st.sampled_from([0.0, 0.25, 3.0, 1e9, 1e14, 1e17, 1e305, 1 / 3, 1e-9, 1e-19]) | st.floats(0, 1e12)


def is_beyond(value: float, decimals: int) -> bool:
    """By the shortest decimal of a float."""
    pips = Decimal(repr(value)).scaleb(decimals, EXACT)
    return pips > EXACT_PIPS or pips != pips.to_integral_value(context=EXACT)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=12), max_size=4))
def test_fewest(batches: list[list[float]]) -> None:
    """Over batches: the least count of all decimals, and the first of these values with its place."""
    found, values = Int64Overflow(), [value for batch in batches for value in batch]
    start = 0
    for batch in batches:
        found.add(np.array(batch), lambda at, start=start: f"row {start + at}")  # type: ignore[misc]
        start += len(batch)
    beyond = [[at for at, value in enumerate(values) if is_beyond(value, places)] for places in range(19)]
    count, first = found.fewest
    assert count == min(map(len, beyond))
    rows = {rows[0] if rows else None for rows in beyond if len(rows) == count}
    assert (int(first.split()[1].rstrip(":")) if first else None) in rows
    assert not first or first.endswith(repr(values[int(first.split()[1].rstrip(":"))]))


def test_nothing_is_beyond() -> None:
    """No value, none beyond."""
    assert Int64Overflow().fewest == (0, "")


def test_floats_off_the_grid_are_counted_and_the_first_is_named(file: LakeFile) -> None:
    """Prices and sizes apart; every one becomes its nearest pip."""
    audit, decoder = GridAudit(), FloatDecoder(FixedPoint(2, 1))
    prices = decoder.decode_column(audit, file, 10, "price", np.array([1.25, 1.005, 2.0, 0.001]))
    sizes = decoder.decode_column(audit, file, 10, "amount", np.array([1.5, 2.25]))
    assert (prices.tolist(), sizes.tolist()) == ([125, 100, 200, 0], [15, 22])
    assert (audit.off_grid_prices, audit.off_grid_sizes) == (2, 1)
    assert decoder.off_grid == {"price", "size"}
    assert audit.first_off_grid == "0.parquet: column price, row 11: 1.005"
    check_grid(audit, FixedPoint(2, 1), [file], 3)
    with pytest.raises(
        OffGridError, match=r"3 values off that grid, the first 0\.parquet: column price, row 11"
    ):
        check_grid(audit, FixedPoint(2, 1), [file], 2)


def test_a_float_beyond_the_grid_is_refused(file: LakeFile) -> None:
    """With its column, whatever else is in the batch."""
    with pytest.raises(FixedPointRangeError, match=r"column size, rows from 10: .*found 1e\+20"):
        FloatDecoder(FixedPoint()).decode_column(GridAudit(), file, 10, "size", np.array([1.0, 1e20]))
