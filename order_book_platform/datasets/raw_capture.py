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
        *required(pa.int64(), "received_time", "monotonic_time", "connection"),
        *required(pa.string(), "route", "kind"),
        *required(pa.bool_(), "binary"),
        *required(pa.binary(), "payload"),
        pa.field("detail", pa.string()),
    ]
)


def raw_capture_schema(market: str) -> pa.Schema:
    """Return the schema of a raw log with metadata of its format and market: `usdm`, `coinm` or `spot`."""
    return RAW_CAPTURE_SCHEMA.with_metadata(
        {"format": "raw_capture", "version": str(RAW_CAPTURE_VERSION), "market": market}
    )
