"""How exact a reconstructed book is, measured against references it was not made from, beside placebos.

In: `reconstructed_books`, `raw_deltas`, `sequence_gap_report`, `snapshots`, `tickers`, `trades`. Out:
`fidelity_report`: metrics.parquet, report.json, report.html, and gates for the asset checks.

`metric_declarations` says what is measured. `FidelityReporter` opens the day's tables (`day_inputs`), measures them in
a few passes (`measurement`, `table_passes`), and publishes the result. `references` selects and aligns what the book is
compared with, `metrics` works the figures out, `report` draws and writes them, and `self_test` shows that every gate
can fail.
"""

from order_book_platform.fidelity.metric_declarations import CHECKS, declaration_of
from order_book_platform.fidelity.metrics.metric import Metric, verdict_line
from order_book_platform.fidelity.report.report_page import draw_pictures
from order_book_platform.fidelity.reporter import FidelityReport, FidelityReporter
from order_book_platform.fidelity.self_test.self_test import MadeDay, SelfTest, SelfTestResult

__all__ = [
    "CHECKS",
    "FidelityReport",
    "FidelityReporter",
    "MadeDay",
    "Metric",
    "SelfTest",
    "SelfTestResult",
    "declaration_of",
    "draw_pictures",
    "verdict_line",
]
