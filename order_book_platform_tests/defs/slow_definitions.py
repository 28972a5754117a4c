"""The platform's definitions with books that take their time: short parts, and a moment for each of many batches."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.defs import build_definitions
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.replay import replay_steps
from order_book_platform.storage.parquet_rows import RowGroup

PART_DELTAS = 4_000
MOMENT_S = 0.1

_decode = BookStream._decode
_never = threading.Event()


def _slowly(self: BookStream, piece: RowGroup) -> Iterator[DeltaBatch]:
    for batch in _decode(self, piece):
        _never.wait(MOMENT_S)
        yield batch


BookStream._decode = _slowly  # type: ignore[method-assign]
replay_steps.PART_DELTAS = PART_DELTAS  # type: ignore[misc]

defs = build_definitions()
