"""`sequence_gap_report`: every gap of a day, and what following a live capture finds."""

from __future__ import annotations

import pyarrow as pa

from order_book_platform.datasets.columns import required

GAPS_SCHEMA = pa.schema(
    [
        required("kind", pa.string()),
        required("cause", pa.string()),
        required("gap_class", pa.string()),
        required("action", pa.string()),
        required("from_sequence_number", pa.int64()),
        required("to_sequence_number", pa.int64()),
        required("from_origin_time", pa.int64()),
        required("to_origin_time", pa.int64()),
        pa.field("missing_ids", pa.int64()),
        required("proven", pa.bool_()),
        required("flagged_from_sequence_number", pa.int64()),
        pa.field("flagged_until_sequence_number", pa.int64()),
        required("detail", pa.string()),
    ]
)

FINDINGS_SCHEMA = pa.schema(
    [
        required("cause", pa.string()),
        required("from_sequence_number", pa.int64()),
        required("to_sequence_number", pa.int64()),
        required("from_origin_time", pa.int64()),
        required("to_origin_time", pa.int64()),
        pa.field("missing_ids", pa.int64()),
        required("proven", pa.bool_()),
        required("detail", pa.string()),
    ]
)
"""Schema of the log of findings that following a live capture writes; docs/formats/live.md."""
