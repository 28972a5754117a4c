"""The declarations: bars that must not be loosened, names that are unique, and parts that exist."""

from __future__ import annotations

from collections import Counter

import pytest

from order_book_platform.fidelity.declarations import CHECKS, DECLARATIONS, declaration_of
from order_book_platform.fidelity.declarations.declaration import Applies, MetricDeclaration
from order_book_platform.fidelity.report.charts import READ
from order_book_platform.fidelity.self_test import oracle
from order_book_platform.model import Gate, Severity

GATED = [declaration for declaration in DECLARATIONS if declaration.gate is not None]


def bars(applies: Applies) -> dict[str, str]:
    """Gates that are in force at some times, by name."""
    return {name: str(each.gate) for each in GATED if each.applies is applies for name in each.names}


def test_the_bars_are_those_of_the_definitions() -> None:
    """A gate must not be loosened in passing."""
    assert bars(Applies.ALWAYS) == {
        "bbo_exact_seq": ">= 0.999",
        "bbo_rms_seq_bid": "<= 0.1",
        "bbo_rms_seq_ask": "<= 0.1",
        "bbo_known_share": ">= 0.95",
        "topk_exact": ">= 0.995",
        "topk_missing": "<= 0.001",
        "topk_ghost": "<= 0.001",
        "topk_known_share": ">= 0.9",
        "topk_exact_all": ">= 0.975",
        "depth_corr_pearson": ">= 0.99",
        "depth_corr_spearman": ">= 0.99",
        "ks_spread": "<= 0.02",
        "ks_log_q_bid": "<= 0.02",
        "ks_log_q_ask": "<= 0.02",
        "ks_qi_1": "<= 0.02",
        "ks_qi_5": "<= 0.02",
        "depth_corr_pearson_detrended": ">= 0.99",
        "depth_corr_spearman_detrended": ">= 0.99",
        "depth_l1": "<= 0.005",
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
    assert list(bars(Applies.ALWAYS)) == list(CHECKS)
    assert bars(Applies.WITH_IDS) == {"seq_gap_ratio": "< 0.001"}
    assert bars(Applies.BY_CLOCK) == {
        "bbo_exact_time": ">= 0.995",
        "bbo_rms_time_bid": "<= 2",
        "bbo_rms_time_ask": "<= 2",
        "trade_in_range": ">= 0.99",
    }
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


def test_a_gate_is_in_force_where_it_is_declared_to_be() -> None:
    """Not against another reference; without ids not at all; by another clock as a warning, and without any not."""
    in_range = declaration_of("trade_in_range")
    assert in_range.gate_for("trades", "transaction_time", 1.0) is None
    assert in_range.gate_for("tickers", "transaction_time", 1.0) == Gate(">=", 0.99)
    assert in_range.gate_for("tickers", "origin_time", 1.0) == Gate(">=", 0.99, Severity.WARN)
    assert in_range.gate_for("tickers", "none", None) is None
    by_ids = declaration_of("seq_gap_ratio")
    assert by_ids.gate_for("sequence_gap_report", "none", None) is None
    assert by_ids.gate_for("sequence_gap_report", "none", 0.0) == Gate("<", 0.001)
    assert declaration_of("bbo_exact_seq").gate_for("golden", "sequence", None) == Gate(">=", 0.999)
