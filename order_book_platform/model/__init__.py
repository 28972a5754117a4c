"""The vocabulary: instruments, fixed point, flags, encodings. No I/O, no loops over rows.

In: nothing. Out: the names every other room speaks in.
"""

from order_book_platform.model.encoding import DecimalEncoding
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
