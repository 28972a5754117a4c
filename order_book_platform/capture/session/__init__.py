"""The decisions of a capture, without I/O: events and their times in, actions out (docs/adr/0023)."""

from order_book_platform.capture.session.capture_session import CaptureSession
from order_book_platform.capture.session.context import SessionLimits
from order_book_platform.capture.session.stream_watch import StreamSpec

__all__ = ["CaptureSession", "SessionLimits", "StreamSpec"]
