"""Rows of the raw log of a capture: everything received and done, exactly as it came (docs/formats/raw_log.md)."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

from order_book_platform.datasets.columns import required

RAW_CAPTURE_VERSION = 1


class RowKind(StrEnum):
    """Reason for which a row was written."""

    MESSAGE = "message"
    REST = "rest"
    RULES = "rules"
    CONNECT = "connect"
    CLOSE = "close"
    SUBSCRIBE = "subscribe"
    GAP = "gap"
    BOUNDARY = "boundary"
    CLOCK = "clock"


RAW_CAPTURE_SCHEMA = pa.schema(
    [
        required("received_time", pa.int64()),
        required("monotonic_time", pa.int64()),
        required("connection", pa.int64()),
        required("route", pa.string()),
        required("kind", pa.string()),
        required("binary", pa.bool_()),
        required("payload", pa.binary()),
        pa.field("detail", pa.string()),
    ]
)


def raw_capture_schema(market: str) -> pa.Schema:
    """Return the schema of a raw log with the metadata that name its format and market.

    Args:
        market: `usdm`, `coinm` or `spot`.
    """
    return RAW_CAPTURE_SCHEMA.with_metadata(
        {"format": "raw_capture", "version": str(RAW_CAPTURE_VERSION), "market": market}
    )
