"""Log records as JSON."""

from __future__ import annotations

import json
import logging
import sys

from order_book_platform.observability.json_lines import JsonLines


def test_a_record_is_one_object() -> None:
    """With time, level, event, message and fields; an exception has its traceback, still on one line."""
    try:
        raise ValueError("broken")
    except ValueError:
        caught = sys.exc_info()
    record = logging.LogRecord("obp", logging.WARNING, "file", 1, "Lost %d rows", (3,), caught)
    record.created = 1_760_000_000.25
    record.event, record.fields = "gap", {"stream": "btcusdt@depth"}
    line = JsonLines().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert "ValueError: broken" in found.pop("traceback")
    assert found == {
        "time": "2025-10-09T08:53:20.250000000Z",
        "level": "warning",
        "event": "gap",
        "message": "Lost 3 rows",
        "stream": "btcusdt@depth",
    }
    plain = logging.LogRecord("obp", logging.INFO, "file", 1, "Plain", (), None)
    assert json.loads(JsonLines().format(plain))["event"] == "obp"
