"""Raw data in, canonical batches out.

In: Crypto Lake files (`lake_source`), or the raw log of a capture (`binance`). Out: the partitions `raw_deltas`,
`snapshots`, `trades` and, of a capture, `tickers`, in int64 pips or exact decimals, which `day_ingest` publishes from
where the day is; from there on nobody knows where a delta came from. One reader a table (`table_reader`) streams it,
`float_decoding` makes floats pips, and `price_grid` finds decimals, tick and lot. `day_survey` looks at files
that have not been published.
"""

from order_book_platform.sources.day_ingest import DayIngest
from order_book_platform.sources.lake_ingest import IngestResult, LakeIngest
from order_book_platform.sources.lake_source import LakeSource

__all__ = ["DayIngest", "IngestResult", "LakeIngest", "LakeSource"]
