"""The columns of the simulated market's arrays: each has one meaning."""

from __future__ import annotations

import pytest

from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.simulate import profile


@pytest.mark.parametrize(
    ("prefix", "count"),
    [("STATE_", "STATE_FIELDS"), ("PARAM_", "PARAMS"), ("MESSAGE_", "MESSAGE_COLUMNS"), ("ROW_", "ROW_COLUMNS"),
     ("TICKER_", "TICKER_COLUMNS"), ("TRADE_", "TRADE_COLUMNS")],
)  # fmt: skip
def test_columns_are_numbered_once_each(prefix: str, count: str) -> None:
    """The columns of an array are 0, 1, 2 … up to their number, which is the size that is allocated."""
    columns = sorted(
        value for name, value in vars(market_arrays).items() if name.startswith(prefix) and name != count
    )
    assert columns == list(range(getattr(market_arrays, count)))


def test_tables_are_as_wide_as_profiles() -> None:
    """A profile's quantile tables fill the quantiles of a table, and the columns of a bucket come right behind them."""
    assert len(profile().rows) == market_arrays.KNOTS == market_arrays.BUCKET_UPPER
    assert market_arrays.TABLE_COLUMNS == market_arrays.BUCKET_REACH + 1
