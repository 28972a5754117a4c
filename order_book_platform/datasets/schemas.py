"""Arrow schemas and numpy dtypes of every dataset, in one place.

Units are in the names: `_pips` is int64 fixed point (see `fixed_point`), times are int64 ns since the epoch,
UTC. The documents in docs/formats say what each column means and are checked against this module by a test.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.decimal128 import DECIMAL
from order_book_platform.model.encoding import Precision
from order_book_platform.model.levels import DEPTH

TIME_DTYPE = np.dtype(np.int64)
PIPS_DTYPE = np.dtype(np.int64)
FLAGS_DTYPE = np.dtype(np.uint8)
KNOWN_DTYPE = np.dtype(np.uint8)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


RAW_DELTAS = pa.schema(
    [
        _required("origin_time", pa.int64()),
        pa.field("transaction_time", pa.int64()),
        _required("received_time", pa.int64()),
        _required("sequence_number", pa.int64()),
        pa.field("first_update_id", pa.int64()),
        pa.field("prev_final_update_id", pa.int64()),
        _required("is_bid", pa.bool_()),
        _required("price_pips", pa.int64()),
        _required("size_pips", pa.int64()),
    ]
)

_LEVELS = pa.list_(pa.field("element", pa.int64(), nullable=False))
_DECIMAL_LEVELS = pa.list_(pa.field("element", DECIMAL, nullable=False))

SNAPSHOTS = pa.schema(
    [
        _required("origin_time", pa.int64()),
        _required("received_time", pa.int64()),
        _required("sequence_number", pa.int64()),
        _required("bid_price_pips", _LEVELS),
        _required("bid_size_pips", _LEVELS),
        _required("ask_price_pips", _LEVELS),
        _required("ask_size_pips", _LEVELS),
    ]
)

TICKERS = pa.schema(
    [
        pa.field("origin_time", pa.int64()),
        pa.field("transaction_time", pa.int64()),
        _required("received_time", pa.int64()),
        _required("sequence_number", pa.int64()),
        _required("bid_price_pips", pa.int64()),
        _required("bid_size_pips", pa.int64()),
        _required("ask_price_pips", pa.int64()),
        _required("ask_size_pips", pa.int64()),
    ]
)

TRADES = pa.schema(
    [
        _required("origin_time", pa.int64()),
        _required("received_time", pa.int64()),
        _required("trade_id", pa.int64()),
        _required("is_buy", pa.bool_()),
        _required("price_pips", pa.int64()),
        _required("size_pips", pa.int64()),
    ]
)

GAPS = pa.schema(
    [
        _required("kind", pa.string()),
        _required("cause", pa.string()),
        _required("gap_class", pa.string()),
        _required("action", pa.string()),
        _required("from_sequence_number", pa.int64()),
        _required("to_sequence_number", pa.int64()),
        _required("from_origin_time", pa.int64()),
        _required("to_origin_time", pa.int64()),
        pa.field("missing_ids", pa.int64()),
        _required("proven", pa.bool_()),
        _required("flagged_from_sequence_number", pa.int64()),
        pa.field("flagged_until_sequence_number", pa.int64()),
        _required("detail", pa.string()),
    ]
)

FINDINGS = pa.schema(
    [
        _required("cause", pa.string()),
        _required("from_sequence_number", pa.int64()),
        _required("to_sequence_number", pa.int64()),
        _required("from_origin_time", pa.int64()),
        _required("to_origin_time", pa.int64()),
        pa.field("missing_ids", pa.int64()),
        _required("proven", pa.bool_()),
        _required("detail", pa.string()),
    ]
)

USED_SNAPSHOTS = pa.schema(
    [
        _required("sequence_number", pa.int64()),
        _required("origin_time", pa.int64()),
        _required("use", pa.string()),
        _required("levels_compared", pa.int64()),
        _required("levels_wrong", pa.int64()),
        _required("levels_added", pa.int64()),
    ]
)

CLOSING_STATE = pa.schema(
    [
        _required("is_bid", pa.bool_()),
        _required("price_pips", pa.int64()),
        _required("size_pips", pa.int64()),
        _required("known", pa.bool_()),
    ]
)

METRICS = pa.schema(
    [
        _required("name", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("gate", pa.string()),
        pa.field("pass", pa.bool_()),
        _required("n", pa.int64()),
        _required("unmatched", pa.int64()),
        _required("alignment", pa.string()),
        _required("reference", pa.string()),
        pa.field("placebo_1s", pa.float64()),
        pa.field("placebo_10s", pa.float64()),
        pa.field("placebo_no_bid", pa.float64()),
        pa.field("placebo_no_ask", pa.float64()),
        pa.field("placebo_fails", pa.bool_()),
    ]
)


@cache
def books(depth: int = DEPTH) -> pa.Schema:
    """Schema of `reconstructed_books`: level 0 is best, missing levels are null."""
    head = [
        _required("origin_time", pa.int64()),
        _required("received_time", pa.int64()),
        _required("sequence_number", pa.int64()),
        _required("flags", pa.uint8()),
        _required("known_bid_levels", pa.uint8()),
        _required("known_ask_levels", pa.uint8()),
    ]
    return pa.schema(head + [pa.field(name, pa.int64()) for name in level_columns(depth)])


def in_precision(schema: pa.Schema, precision: Precision) -> pa.Schema:
    """The schema of a dataset of int64 pips for partitions of `precision`.

    With `decimal128`, each `…_pips` column, whole or inside lists, loses that ending and is decimal128(38, 18).
    """
    if precision == "int64":
        return schema
    fields = []
    for field in schema:
        if field.name.endswith("_pips"):
            kind = _DECIMAL_LEVELS if pa.types.is_list(field.type) else DECIMAL
            fields.append(pa.field(field.name.removesuffix("_pips"), kind, nullable=field.nullable))
        else:
            fields.append(field)
    return pa.schema(fields)


@cache
def level_columns(depth: int = DEPTH) -> tuple[str, ...]:
    """`bid_0_price_pips, bid_0_size_pips, … ask_19_size_pips`: 4·depth names, in file order."""
    return tuple(
        f"{side}_{level}_{field}_pips"
        for side in ("bid", "ask")
        for level in range(depth)
        for field in ("price", "size")
    )


@cache
def features(imbalance_levels: tuple[int, ...], mlofi_levels: int, horizons_ns: tuple[int, ...]) -> pa.Schema:
    """Schema of `rl_features`; docs/formats/rl_features.md says what each column means.

    Args:
        imbalance_levels: the k of each `qi_k`.
        mlofi_levels: number of `mlofi_m`; m = 1 is the best level.
        horizons_ns: look-backs of `ret_h` and `rv_h`, whole seconds in ns; named in seconds.
    """
    seconds = [f"{horizon // NS_PER_SECOND}s" for horizon in horizons_ns]
    single, pips = pa.float32(), pa.int64()
    return pa.schema(
        [
            _required("time", pa.int64()),
            pa.field("mid2", pa.int64()),
            pa.field("spread_ticks", pa.int32()),
            _required("spread_bps", single),
            _required("wmid_off", single),
            *(_required(f"qi_{level}", single) for level in imbalance_levels),
            pa.field("ofi_1", pips),
            *(pa.field(f"mlofi_{level}", pips) for level in range(1, mlofi_levels + 1)),
            _required("n_updates", single),
            _required("n_trades", single),
            _required("tfi", single),
            *(_required(f"ret_{horizon}", single) for horizon in seconds),
            *(_required(f"rv_{horizon}", single) for horizon in seconds),
            _required("stale_ms", pa.int32()),
            pa.field("latency_ms", pa.int32()),
            _required("flags", pa.uint8()),
            _required("gap_flag", pa.bool_()),
            _required("crossed", pa.bool_()),
            _required("valid", pa.bool_()),
        ]
    )
