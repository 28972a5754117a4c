"""Can these data be trusted, and how should the book be rebuilt from them?

In: `raw_deltas` and `snapshots`. Out: `sequence_gap_report` (every gap, what it means, what will be done about it) and
`data_assessment` (figures, gates, the recommended strategy and go or no-go).
"""

from order_book_platform.assess.assessor import Assessment, DataAssessor
from order_book_platform.assess.gap_reporter import GapReport, GapReporter

__all__ = ["Assessment", "DataAssessor", "GapReport", "GapReporter"]
