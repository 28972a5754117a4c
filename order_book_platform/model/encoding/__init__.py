"""How int64 numbers in memory stand for the prices and sizes of a partition: as pips, or as codes of long decimals.

The replay asks of a price its order and its distance in ticks, and of a size whether it equals another one and whether
it is 0. So decimals of any length are replayed by the same loops as pips: a price is encoded as its multiple of a unit
that divides all prices of the day, a size as its place in a list of the sizes met so far.

Every batch, row and book in memory holds encoded numbers, and every reader and writer of a dataset has the encoding
they are held in. `encoding_of` is the one place that decides which one a partition needs.

In: columns of pips or decimals, and the metadata of a partition. Out: int64 arrays, and columns made of them again.
"""

from order_book_platform.model.encoding.decimal_encoding import SIZE_BYTES, DecimalEncoding, unit_fits
from order_book_platform.model.encoding.encoding_choice import encoding_of, whole_pips
from order_book_platform.model.encoding.partition_encoding import (
    Encoding,
    PartitionEncoding,
    Precision,
    in_precision,
    precision_of,
    whole,
)
from order_book_platform.model.encoding.pip_encoding import VERBATIM, PipEncoding, WholePipEncoding

__all__ = [
    "SIZE_BYTES",
    "VERBATIM",
    "DecimalEncoding",
    "Encoding",
    "PartitionEncoding",
    "PipEncoding",
    "Precision",
    "WholePipEncoding",
    "encoding_of",
    "in_precision",
    "precision_of",
    "unit_fits",
    "whole",
    "whole_pips",
]
