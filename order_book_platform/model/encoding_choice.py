"""The one place that decides how the prices and sizes of a partition are encoded: as pips, or as codes of decimals."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

from order_book_platform.model.decimal128 import DECIMALS
from order_book_platform.model.decimal_encoding import DecimalEncoding
from order_book_platform.model.fixed_point import FixedPoint
from order_book_platform.model.pip_encoding import PartitionEncoding, WholePipEncoding, precision_of


def encoding_of(metadata: Mapping[str, object]) -> PartitionEncoding:
    """Return the encoding for the partitions of a day.

    Args:
        metadata: Metadata of the day's `raw_deltas`, or of a partition that was made from them.
    """
    fixed_point = FixedPoint.from_metadata(metadata)
    if precision_of(metadata) == "int64":
        return PartitionEncoding(fixed_point)
    return DecimalEncoding(int(str(metadata["price_unit"])), fixed_point)


def whole_pips(where: str, *partitions: Mapping[str, object]) -> PartitionEncoding:
    """Return the encoding that reads several partitions of one day as int64 pips.

    Decimals are read with the fewest decimals at which all their prices and sizes are whole pips.

    Args:
        where: What an error names the partitions by.
        partitions: Metadata of each; tick and lot are those of the first.
    """
    point = FixedPoint.from_metadata(partitions[0])
    if precision_of(partitions[0]) == "int64":
        return PartitionEncoding(point)
    units = [gcd(*(int(str(each[name])) for each in partitions)) for name in ("price_unit", "size_unit")]
    zeros = [next(n for n in range(DECIMALS, -1, -1) if unit % 10**n == 0) for unit in units]
    return WholePipEncoding(
        FixedPoint(
            DECIMALS - zeros[0],
            DECIMALS - zeros[1],
            point.tick_pips // 10 ** zeros[0],
            point.lot_pips // 10 ** zeros[1],
        ),
        where,
    )
