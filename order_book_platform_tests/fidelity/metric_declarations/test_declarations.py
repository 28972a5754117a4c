"""All declarations together: names that are unique, parts that exist, checks that are made from them."""

from __future__ import annotations

from collections import Counter

import pytest

from order_book_platform.fidelity.metric_declarations import CHECKS, DECLARATIONS, declaration_of
from order_book_platform.fidelity.metric_declarations.metric_declaration import Applies, MetricDeclaration
from order_book_platform.fidelity.report.charts import READ
from order_book_platform.fidelity.self_test import oracle
from order_book_platform.model import Severity

GATED = [declaration for declaration in DECLARATIONS if declaration.gate is not None]


def test_the_gates_of_every_day_are_the_checks() -> None:
    """Those that are always in force, with what each shows; the others are no checks."""
    always = [name for each in GATED if each.applies is Applies.ALWAYS for name in each.names]
    assert list(CHECKS) == always
    assert len(always) == 28
    warnings = {name for each in GATED if each.gate.severity is Severity.WARN for name in each.names}
    assert warnings == {"bbo_known_share", "topk_exact_all", "origin_coverage", "latency_p50"}


def test_each_name_is_declared_once() -> None:
    """A metric that two declarations name would have two gates."""
    counts = Counter(name for declaration in DECLARATIONS for name in declaration.names)
    assert {name for name, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda each: each.name)
def test_a_declaration_is_complete(declaration: MetricDeclaration) -> None:
    """Its texts are there, its chart is one of the report's, and its oracle exists or its lack has a reason."""
    for text in (declaration.unit, declaration.formula, declaration.n, declaration.blind_to):
        assert text
        assert "|" not in text
    assert all(text.endswith(".") and "{}" not in text for text in declaration.descriptions.values())
    assert declaration.references
    assert set(declaration.gated_against) <= set(declaration.references)
    assert declaration.chart is None or declaration.chart in READ
    if declaration.oracle is not None:
        assert callable(getattr(oracle, declaration.oracle))
    elif declaration.gate is not None:
        assert declaration.without_oracle != "the figure is only reported"


def test_a_level_beyond_those_declared_belongs_to_its_family() -> None:
    """Books may be deeper than the visible levels."""
    assert declaration_of("level_exact_bid_37") is declaration_of("level_exact_bid_1")
    with pytest.raises(KeyError):
        declaration_of("level_exact_37")
