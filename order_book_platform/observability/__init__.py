"""View of a running job for persons and machines: its progress, and the metrics of its stream.

In: calls from the components. Out: whatever the caller of the component wants to show.
"""

from order_book_platform.observability.capture_metrics import CaptureMetrics, CaptureStreamMetrics
from order_book_platform.observability.progress import Progress, StageMetrics, StreamMetrics, silent

__all__ = ["CaptureMetrics", "CaptureStreamMetrics", "Progress", "StageMetrics", "StreamMetrics", "silent"]
