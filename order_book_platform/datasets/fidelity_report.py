"""`fidelity_report`: one row for each metric of a book's fidelity."""

from __future__ import annotations

import pyarrow as pa

from order_book_platform.datasets.columns import required

METRICS_SCHEMA = pa.schema(
    [
        required("name", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("gate", pa.string()),
        pa.field("pass", pa.bool_()),
        required("n", pa.int64()),
        required("unmatched", pa.int64()),
        required("alignment", pa.string()),
        required("reference", pa.string()),
        pa.field("placebo_1s", pa.float64()),
        pa.field("placebo_10s", pa.float64()),
        pa.field("placebo_no_bid", pa.float64()),
        pa.field("placebo_no_ask", pa.float64()),
        pa.field("placebo_fails", pa.bool_()),
    ]
)
