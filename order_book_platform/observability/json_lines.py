"""Log records as JSON lines, for machines that collect them."""

from __future__ import annotations

import json
import logging

from order_book_platform.clock import iso_from_ns


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, event, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = getattr(record, "fields", {})
        line = {
            "time": iso_from_ns(round(record.created * 1_000_000) * 1000),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **(fields if isinstance(fields, dict) else {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
