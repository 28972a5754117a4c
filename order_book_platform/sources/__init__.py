"""Raw data in, canonical batches out.

In: Crypto Lake files. Out: `raw_deltas`, `snapshots` and `trades` partitions in int64 pips; from there on nobody knows
where a delta came from.
"""

from order_book_platform.sources.lake_ingest import IngestResult, LakeIngest
from order_book_platform.sources.lake_source import LakeSource

__all__ = ["IngestResult", "LakeIngest", "LakeSource"]
