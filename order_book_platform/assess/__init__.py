"""Can these data be trusted, and how should the book be rebuilt from them?

In: `raw_deltas`, `snapshots` and `trades`. Out: `sequence_gap_report` (every gap, what it means, what will be done
about it; `gap_reporter`) and `data_assessment` (figures, rules, recommended strategy, go or no-go; `data_assessor`).
Each rule is declared once, in `rules`. `LakeAssessor` and `summarise_range` say as much as they can of files of which
nothing has been published yet.
"""

from order_book_platform.assess.data_assessor import DataAssessor
from order_book_platform.assess.day_report import PublishedReport
from order_book_platform.assess.gap_reporter import GapReporter
from order_book_platform.assess.lake_assessor import LakeAssessor
from order_book_platform.assess.lake_range import DaySummary, summarise_range

__all__ = [
    "DataAssessor",
    "DaySummary",
    "GapReporter",
    "LakeAssessor",
    "PublishedReport",
    "summarise_range",
]
