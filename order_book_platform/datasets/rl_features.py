"""`rl_features`: features of a book on a fixed clock."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import required


@cache
def features_schema(
    imbalance_levels: tuple[int, ...], mlofi_levels: int, horizons_ns: tuple[int, ...]
) -> pa.Schema:
    """Return the schema of `rl_features`; docs/formats/rl_features.md says what each column means.

    Args:
        imbalance_levels: The k of each `qi_k`.
        mlofi_levels: Number of `mlofi_m`; m = 1 is the best level.
        horizons_ns: Look-backs of `ret_h` and `rv_h`, whole seconds in ns; named in seconds.
    """
    seconds = [f"{horizon // NS_PER_SECOND}s" for horizon in horizons_ns]
    single, pips = pa.float32(), pa.int64()
    return pa.schema(
        [
            required("time", pa.int64()),
            pa.field("mid2", pa.int64()),
            pa.field("spread_ticks", pa.int32()),
            required("spread_bps", single),
            required("wmid_off", single),
            *(required(f"qi_{level}", single) for level in imbalance_levels),
            pa.field("ofi_1", pips),
            *(pa.field(f"mlofi_{level}", pips) for level in range(1, mlofi_levels + 1)),
            required("n_updates", single),
            required("n_trades", single),
            required("tfi", single),
            *(required(f"ret_{horizon}", single) for horizon in seconds),
            *(required(f"rv_{horizon}", single) for horizon in seconds),
            required("stale_ms", pa.int32()),
            pa.field("latency_ms", pa.int32()),
            required("flags", pa.uint8()),
            required("gap_flag", pa.bool_()),
            required("crossed", pa.bool_()),
            required("valid", pa.bool_()),
        ]
    )
