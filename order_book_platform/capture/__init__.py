"""Live capture of Binance, recorded raw and proven complete or with its gaps named.

In: websocket streams and REST responses of one market. Out: one raw log (docs/formats/raw_log.md), figures, warnings.
"""

from order_book_platform.capture.live_capture import LiveCapture

__all__ = ["LiveCapture"]
