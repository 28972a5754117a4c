"""The vocabulary: instruments, fixed point, flags, schemas and batches. No I/O, no loops over rows.

In: nothing. Out: the names every other room speaks in.
"""

from order_book_platform.model.batches import DeltaBatch, SnapshotBatch
from order_book_platform.model.codes import Codes
from order_book_platform.model.cutter import whole_messages
from order_book_platform.model.fixed_point import FixedPoint
from order_book_platform.model.flags import BookFlag
from order_book_platform.model.gates import Gate, GateResult, Severity, on_its_side
from order_book_platform.model.instruments import Instrument, PartitionKey

__all__ = [
    "BookFlag",
    "Codes",
    "DeltaBatch",
    "FixedPoint",
    "Gate",
    "GateResult",
    "Instrument",
    "PartitionKey",
    "Severity",
    "SnapshotBatch",
    "on_its_side",
    "whole_messages",
]
