"""Schemas of `sequence_gap_report`, `fidelity_report` and `rl_features`, which are read as frames alone."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import required

GAPS_SCHEMA = pa.schema(
    [
        *required(pa.string(), "kind", "cause", "gap_class", "action"),
        *required(pa.int64(), "from_sequence_number", "to_sequence_number"),
        *required(pa.int64(), "from_origin_time", "to_origin_time"),
        pa.field("missing_ids", pa.int64()),
        *required(pa.bool_(), "proven"),
        *required(pa.int64(), "flagged_from_sequence_number"),
        pa.field("flagged_until_sequence_number", pa.int64()),
        *required(pa.string(), "detail"),
    ]
)

FINDINGS_SCHEMA = pa.schema(
    each
    for each in GAPS_SCHEMA
    if not each.name.startswith("flagged_") and each.name not in ("kind", "gap_class", "action")
)
"""Schema of the log of findings that following a live capture writes; docs/formats/live.md."""


METRICS_SCHEMA = pa.schema(
    [
        *required(pa.string(), "name"),
        *(pa.field(name, pa.float64()) for name in ("value", "low", "high")),
        pa.field("gate", pa.string()),
        pa.field("pass", pa.bool_()),
        *required(pa.int64(), "n", "unmatched"),
        *required(pa.string(), "alignment", "reference"),
        *(pa.field(f"placebo_{name}", pa.float64()) for name in ("1s", "10s", "no_bid", "no_ask")),
        pa.field("placebo_fails", pa.bool_()),
    ]
)


@cache
def features_schema(
    imbalance_levels: tuple[int, ...], mlofi_levels: int, horizons_ns: tuple[int, ...]
) -> pa.Schema:
    """Return the schema of `rl_features`; docs/formats/rl_features.md says what each column means.

    Look-backs of `ret_h` and `rv_h` are whole seconds in ns; columns name them in seconds.
    """
    seconds = [f"{horizon // NS_PER_SECOND}s" for horizon in horizons_ns]
    single, pips = pa.float32(), pa.int64()
    return pa.schema(
        [
            *required(pa.int64(), "time"),
            pa.field("mid2", pa.int64()),
            pa.field("spread_ticks", pa.int32()),
            *required(single, "spread_bps", "wmid_off", *(f"qi_{level}" for level in imbalance_levels)),
            pa.field("ofi_1", pips),
            *(pa.field(f"mlofi_{level}", pips) for level in range(1, mlofi_levels + 1)),
            *required(single, "n_updates", "n_trades", "tfi"),
            *required(single, *(f"{name}_{horizon}" for name in ("ret", "rv") for horizon in seconds)),
            *required(pa.int32(), "stale_ms"),
            pa.field("latency_ms", pa.int32()),
            *required(pa.uint8(), "flags"),
            *required(pa.bool_(), "gap_flag", "crossed", "valid"),
        ]
    )
