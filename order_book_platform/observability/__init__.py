"""What a person or a machine can see of a running job: progress now, metrics and logs beside it.

In: calls from the components. Out: whatever the caller of the component wants to show.
"""

from order_book_platform.observability.progress import Progress, silent
from order_book_platform.observability.stream_metrics import StageFigures, StreamExporter

__all__ = ["Progress", "StageFigures", "StreamExporter", "silent"]
