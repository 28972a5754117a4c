"""The report on a day that could not be looked at, and errors in their parts."""

from __future__ import annotations

import pytest

from order_book_platform.assess.lake.lake_report import error_parts, unreadable_report
from order_book_platform.errors import OrderBookPlatformError, SourceCorruptError, SourceMissingError
from order_book_platform_tests.lake import KEY


@pytest.mark.parametrize(
    ("kind", "verdict"), [(SourceMissingError, "missing"), (SourceCorruptError, "damaged")]
)
@pytest.mark.parametrize("scan", ["full", "sample"])
def test_what_ended_the_scan_is_told(kind: type[OrderBookPlatformError], verdict: str, scan: str) -> None:
    """A day without files is missing, any other is damaged; the error is told as text and in parts."""
    error = kind(expected="a file", found="none", where="here", remedy="Fetch it.")
    report = unreadable_report(KEY, error, scan)
    assert (report["verdict"], report["scan"], report["day"]) == (verdict, scan, "2024-01-02")
    assert report["why"].startswith(f"{kind.__name__}: here: expected a file, found none")
    assert report["error"] == error_parts(error)
    assert report["error"] == {
        "class": kind.__name__,
        "expected": "a file",
        "found": "none",
        "where": "here",
        "remedy": "Fetch it.",
    }
