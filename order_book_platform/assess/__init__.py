"""Can these data be trusted, and how should the book be rebuilt from them?

In: `raw_deltas`, `snapshots` and `trades`. Out: `sequence_gap_report` (every gap, what it means, what will be
done about it) and `data_assessment` (figures, gates, the recommended strategy and go or no-go). `LakeAssessor` and
`summarise_range` say as much as they can of files of which nothing has been published yet.
"""

from order_book_platform.assess.data_assessor import Assessment, DataAssessor
from order_book_platform.assess.gaps.gap_reporter import GapReport, GapReporter
from order_book_platform.assess.lake.lake_assessor import LakeAssessor
from order_book_platform.assess.lake.lake_range import DaySummary, summarise_range

__all__ = [
    "Assessment",
    "DataAssessor",
    "DaySummary",
    "GapReport",
    "GapReporter",
    "LakeAssessor",
    "summarise_range",
]
