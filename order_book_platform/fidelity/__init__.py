"""How exact a reconstructed book is, measured against references it was not made from, beside placebos.

In: `reconstructed_books`, `raw_deltas`, `sequence_gap_report`, `snapshots`, `tickers`, `trades`. Out:
`fidelity_report`: metrics.parquet, report.json, report.html, and gates for the asset checks. `SelfTest` shows that
every gate can fail.
"""

from order_book_platform.fidelity.metrics.metric import GATES, Metric, verdict_line
from order_book_platform.fidelity.report.charts import draw_pictures
from order_book_platform.fidelity.reporter import FidelityReport, FidelityReporter
from order_book_platform.fidelity.self_test.self_test import MadeDay, SelfTest, SelfTestResult

__all__ = [
    "GATES",
    "FidelityReport",
    "FidelityReporter",
    "MadeDay",
    "Metric",
    "SelfTest",
    "SelfTestResult",
    "draw_pictures",
    "verdict_line",
]
