"""The plots that go with a materialization, drawn from what was published."""

from collections.abc import Mapping

from order_book_platform.model import PartitionKey
from order_book_platform.plots.book import depth_heatmap
from order_book_platform.plots.decimals import in_pips
from order_book_platform.plots.gaps import gap_timeline
from order_book_platform.storage import DataStore


def book_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, bytes]:
    """Depth over time with the best bid and ask, and where the rows are in doubt."""
    fixed_point = store.manifest("reconstructed_books", key).fixed_point
    return {"Depth over time": depth_heatmap(*in_pips(store.frame("reconstructed_books", key), fixed_point))}


def gap_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, bytes]:
    """Gaps over the span of the deltas."""
    first_ns, last_ns = store.rows("raw_deltas", key).span("origin_time") or (0, 0)
    return {
        "Gaps over time": gap_timeline(store.frame("sequence_gap_report", key).collect(), first_ns, last_ns)
    }
