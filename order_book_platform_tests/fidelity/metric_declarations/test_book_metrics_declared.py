"""Metrics of the book itself: their bars."""

from __future__ import annotations

from order_book_platform.fidelity.metric_declarations.book_metrics_declared import (
    BOOK_ROWS,
    GAP_REPORT,
    MARKET,
    REFERENCES,
)


def test_the_bars_are_those_of_the_definitions() -> None:
    """A gate must not be loosened in passing."""
    declarations = (*GAP_REPORT, *BOOK_ROWS, *REFERENCES, *MARKET)
    bars = {name: str(each.gate) for each in declarations if each.gate is not None for name in each.names}
    assert bars == {
        "seq_gap_ratio": "< 0.001",
        "inferred_gap_ratio": "< 0.001",
        "origin_coverage": "> 0.99",
        "origin_valid": "> 0.999",
        "latency_p50": "<= 50",
        "crossed_tw": "< 0.0001",
        "resyncs": "== 0",
        "unseen_references": "== 0",
        "out_of_order_rows": "== 0",
        "placebo_fails": "== 1",
    }


def test_figures_of_the_market_are_only_reported() -> None:
    """They are not the book's, so no gate hangs on them."""
    assert all(each.gate is None for each in MARKET)
