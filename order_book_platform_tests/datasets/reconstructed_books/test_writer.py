"""Tables and hashes of books: what is written hashes as what is read, in any cuts, as pips and as decimals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.reconstructed_books.writer import (
    BookTables,
    ReplayHash,
    count_flags,
    stored_rows,
)
from order_book_platform.model import BookFlag, DecimalEncoding, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.decimal128 import decimal_array
from order_book_platform.model.pip_encoding import VERBATIM, PartitionEncoding
from order_book_platform_tests.decimals import words_from_integers


def encoding_of_sizes(name: str) -> PartitionEncoding:
    """Pips, or decimals whose sizes 0 to 3 have been met."""
    if name == "pips":
        return VERBATIM
    decimals = DecimalEncoding(10**10, FixedPoint(18, 18, 10**10))
    decimals.encode_sizes(decimal_array(words_from_integers([0, 6 * 10**18, 10**19, 4 * 10**18])))
    return decimals


def rows_of(n: int) -> np.ndarray:
    """Rows of a replay with one level a side; every third has no ask."""
    rows = np.arange(10 * n, dtype=np.int64).reshape(n, 10)
    rows[:, 3] = np.where(np.arange(n) % 2, BookFlag.SEEDED, BookFlag.SEEDED | BookFlag.CROSSED)
    rows[:, 4:6] = 1
    rows[:, 7::2] = np.arange(2 * n).reshape(n, 2) % 3 + 1
    rows[::3, 8:] = MISSING_PIPS, 0
    return rows


@pytest.mark.parametrize("name", ["pips", "decimals"])
@pytest.mark.parametrize("cut", [0, 4, 11])
def test_stored_rows_hash_as_the_rows_of_the_replay(name: str, cut: int) -> None:
    """`obp reconstruct --verify` hashes what is stored: it has to come to the hash of the replay, in any pieces."""
    tables = BookTables(1, encoding_of_sizes(name))
    rows = rows_of(11)
    parts = [tables.table(part) for part in (rows[:cut], rows[cut:]) if len(part)]
    stored = ReplayHash()
    stored.update(stored_rows(pa.concat_tables(parts)))
    assert stored.hexdigest() == tables.digest.hexdigest()
    whole = BookTables(1, encoding_of_sizes(name))
    assert whole.table(rows).equals(pa.concat_tables(parts).combine_chunks())
    assert whole.digest.hexdigest() == tables.digest.hexdigest()
    assert whole.table(rows[:1]).schema == encoding_of_sizes(name).schema(books_schema(1))


def test_missing_levels_are_null_and_flags_are_counted() -> None:
    """A level with the price of a missing one is null, price and size; each flag is counted over all tables."""
    tables = BookTables(1, VERBATIM)
    table = tables.table(rows_of(7))
    assert table["ask_0_price_pips"].is_null().to_pylist() == [True, False, False] * 2 + [True]
    assert table["ask_0_size_pips"].null_count == 3
    assert table["bid_0_price_pips"].null_count == 0
    assert (tables.counts["seeded_rows"], tables.counts["crossed_rows"], tables.counts["gap_rows"]) == (
        7,
        4,
        0,
    )


def test_the_unit_of_sizes_is_that_of_the_sizes_shown() -> None:
    """A size that was met but is in no table does not count; pips have a lot and need no unit."""
    tables = BookTables(1, encoding_of_sizes("decimals"))
    assert tables.size_unit == 0
    rows = rows_of(1)
    rows[:, 7] = 1
    tables.table(rows)
    assert tables.size_unit == 6 * 10**18
    rows[:, 7] = 3
    tables.table(rows)
    assert tables.size_unit == 2 * 10**18
    assert BookTables(1, VERBATIM).size_unit == 0


def test_flags_add_up() -> None:
    """Counts go on from call to call, a row counting for each of its flags."""
    counts: Counter[str] = Counter()
    for _ in range(2):
        count_flags(np.array([1, 3, 0], np.uint8), counts)
    assert (counts["seeded_rows"], counts["gap_rows"], counts["locked_rows"]) == (4, 2, 0)
