"""What a person or a machine can see of a running job: its progress, and the metrics of its stream.

In: calls from the components. Out: whatever the caller of the component wants to show.
"""

from order_book_platform.observability.progress import Progress, silent
from order_book_platform.observability.stream_metrics import StageMetrics, StreamMetrics

__all__ = ["Progress", "StageMetrics", "StreamMetrics", "silent"]
