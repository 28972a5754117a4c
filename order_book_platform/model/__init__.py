"""The vocabulary of the package: instruments, fixed point, encodings, flags, gates. No I/O and no loops over rows.

In: nothing but the clock and the errors. Out: the names that every other room uses.
`fixed_point` makes a float price a pip, `decimal128` holds prices that no pip can hold, and `encoding` says how either
stands in an int64 array.
"""

from order_book_platform.model.decimal_encoding import DecimalEncoding
from order_book_platform.model.fixed_point import FixedPoint
from order_book_platform.model.flags import BookFlag
from order_book_platform.model.gates import Gate, GateResult, Severity, on_its_side
from order_book_platform.model.instruments import Instrument, PartitionKey

__all__ = [
    "BookFlag",
    "DecimalEncoding",
    "FixedPoint",
    "Gate",
    "GateResult",
    "Instrument",
    "PartitionKey",
    "Severity",
    "on_its_side",
]
