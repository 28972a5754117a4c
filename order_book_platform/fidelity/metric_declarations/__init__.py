"""Every metric of a fidelity report, declared once. A new metric begins with an entry in one of these modules.

In: nothing. Out: `DECLARATIONS`. Gates, the checks in Dagster, the tables of docs/formats/fidelity_report.md and the
list of gates that the self-test has to make fail are made from them. The definitions are those of
facts/features_and_metrics.md, "Fidelity metrics and gates"; docs/adr/0009 says why what is right and what is known are
scored apart, docs/adr/0016 what is gated by time.
"""

import re

from order_book_platform.fidelity.metric_declarations.book_metrics_declared import (
    BOOK_ROWS,
    GAP_REPORT,
    MARKET,
    REFERENCES,
)
from order_book_platform.fidelity.metric_declarations.metric_declaration import Applies, MetricDeclaration
from order_book_platform.fidelity.metric_declarations.reference_metrics_declared import (
    BEST_PRICES,
    BETWEEN_SNAPSHOTS,
    BY_TIME,
    DISTRIBUTIONS,
    LEVELS,
    SINGLE_LEVELS,
)

DECLARATIONS: tuple[MetricDeclaration, ...] = (
    *BEST_PRICES,
    *LEVELS,
    *SINGLE_LEVELS,
    *GAP_REPORT,
    *DISTRIBUTIONS,
    *BETWEEN_SNAPSHOTS,
    *BOOK_ROWS,
    *REFERENCES,
    *MARKET,
    *BY_TIME,
)
"""All metrics, in the order of the documentation."""

CHECKS: dict[str, str] = {
    name: text
    for declaration in DECLARATIONS
    if declaration.gate is not None and declaration.applies is Applies.ALWAYS
    for name, text in declaration.descriptions.items()
}
"""Gates that are in force on every day, with what each shows: the checks in Dagster."""

_BY_NAME = {name: declaration for declaration in DECLARATIONS for name in declaration.names}


def declaration_of(name: str) -> MetricDeclaration:
    """Return the declaration of a metric.

    Args:
        name: Name as in metrics.parquet. Levels beyond the declared ones belong to the first one's family.

    Raises:
        KeyError: No metric of this name is declared.
    """
    return _BY_NAME[name] if name in _BY_NAME else _BY_NAME[re.sub(r"_\d+$", "_1", name)]
