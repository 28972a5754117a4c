"""Can these data be trusted, and how should the book be rebuilt from them?

In: `raw_deltas`, `snapshots` and `trades`. Out: `sequence_gap_report` (every gap, what it means, what will be done
about it; `gaps`) and `data_assessment` (figures, rules, recommended strategy, go or no-go; `data_assessor`). Each rule
is declared once, in `rules`. `LakeAssessor` and `summarise_range` (`lake`) say as much as they can of files of which
nothing has been published yet.
"""

from order_book_platform.assess.data_assessor import DataAssessor
from order_book_platform.assess.gaps.gap_reporter import GapReporter
from order_book_platform.assess.lake.lake_assessor import LakeAssessor
from order_book_platform.assess.lake.lake_range import DaySummary, summarise_range
from order_book_platform.assess.report.published_report import PublishedReport

__all__ = [
    "DataAssessor",
    "DaySummary",
    "GapReporter",
    "LakeAssessor",
    "PublishedReport",
    "summarise_range",
]
