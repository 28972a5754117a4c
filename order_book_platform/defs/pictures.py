"""The plots that go with a materialization, drawn from the published partition."""

from collections.abc import Mapping

from order_book_platform.datasets.frame_units import in_drawn_pips
from order_book_platform.model import PartitionKey
from order_book_platform.plots.depth_chart import depth_chart
from order_book_platform.plots.gap_chart import gap_chart
from order_book_platform.storage import DataStore


def book_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, str]:
    """Draw depth over time with the best bid and ask, and where rows are doubtful; title to SVG."""
    fixed_point = store.manifest("reconstructed_books", key).fixed_point
    chart = depth_chart(*in_drawn_pips(store.frame("reconstructed_books", key), fixed_point))
    return {"Depth over time": chart.standalone()}


def gap_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, str]:
    """Draw the gaps over the time that the deltas span; title to SVG."""
    first_ns, last_ns = store.rows("raw_deltas", key).value_range("origin_time") or (0, 0)
    chart = gap_chart(store.frame("sequence_gap_report", key).collect(), first_ns, last_ns)
    return {"Gaps over time": chart.standalone()}
