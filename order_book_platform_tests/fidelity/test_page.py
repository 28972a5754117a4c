"""The page's words and numbers."""

from __future__ import annotations

import pytest

from order_book_platform.fidelity.figures import Figure
from order_book_platform.fidelity.page import Page, number_text, render_page
from order_book_platform.fidelity.references import ReferenceCounts
from order_book_platform.fidelity.results import Metric
from order_book_platform.model import Gate
from order_book_platform_tests.fidelity.partitions import KEY


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.0, "0"),
        (1.0, "1"),
        (-0.25, "-0.25"),
        (0.9996771068, "0.999677"),
        (1234567.0, "1,234,567"),
        (2144.13344, "2144.13"),
        (12345678.9, "12,345,679"),
        (0.0000123, "1.23e-05"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    """Whole numbers in full, others to six significant digits."""
    assert number_text(value) == text


def test_text_is_escaped() -> None:
    """Whatever a note says, it cannot become markup."""
    metric = Metric("a<b>", 0.5, 3, Gate(">=", 0.9), note="x & <script>")
    assert metric.result is not None
    page = Page(
        KEY,
        (metric.result,),
        (metric,),
        {"snapshots": ReferenceCounts(rows=2, defects={"crossed": 2})},
        (Figure("T", b"a", b"b"),),
        {"replay_hash": "<00>"},
    )
    text = render_page(page)
    assert "<script>" not in text
    assert "x &amp; &lt;script&gt;" in text
    assert "&lt;00&gt;" in text
    assert "2 crossed" in text
    assert "&gt;= 0.9" in text
