"""View of a running job for persons and machines: its progress, and the metrics of its stream.

In: calls from the components. Out: whatever the caller of the component wants to show.
"""

from order_book_platform.observability.progress import Progress, silent
from order_book_platform.observability.stream_metrics import StageMetrics, StreamMetrics

__all__ = ["Progress", "StageMetrics", "StreamMetrics", "silent"]
