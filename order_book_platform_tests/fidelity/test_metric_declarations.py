"""Declarations of metrics: bars, placebos, when a gate is in force, and the document that describes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.fidelity.metric_declarations import (
    CHECKS,
    DECLARATIONS,
    LATER,
    WITHOUT_BEST,
    Applies,
    MetricDeclaration,
    declaration_of,
    gate_of,
)
from order_book_platform.fidelity.report.report_page import READ
from order_book_platform.fidelity.self_test import oracle
from order_book_platform.model import Gate, Severity

DOCUMENT = Path(__file__).parents[2] / "docs" / "formats" / "fidelity_report.md"
FIGURES, MEANINGS = "| name | value | unit |", "| name | shows | does not show |"
BARS = {
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
    "depth_corr_pearson_detrended": ">= 0.99",
    "depth_corr_spearman_detrended": ">= 0.99",
    "depth_l1": "<= 0.005",
    "seq_gap_ratio": "< 0.001",
    "inferred_gap_ratio": "< 0.001",
    "origin_coverage": "> 0.99",
    "origin_valid": "> 0.999",
    "latency_p50": "<= 50",
    "ks_spread": "<= 0.02",
    "ks_log_q_bid": "<= 0.02",
    "ks_log_q_ask": "<= 0.02",
    "ks_qi_1": "<= 0.02",
    "ks_qi_5": "<= 0.02",
    "crossed_tw": "< 0.0001",
    "resyncs": "== 0",
    "unseen_references": "== 0",
    "out_of_order_rows": "== 0",
    "placebo_fails": "== 1",
    "bbo_exact_time": ">= 0.995",
    "bbo_rms_time_bid": "<= 2",
    "bbo_rms_time_ask": "<= 2",
    "trade_in_range": ">= 0.99",
}


def documented(head: str) -> dict[str, list[str]]:
    """Cells of the document's table with this head after the first, by the name of each metric that a row names."""
    lines = DOCUMENT.read_text(encoding="utf-8").split(head)[1].splitlines()[2:]
    found: dict[str, list[str]] = {}
    declared = list(DECLARATIONS)
    for line in lines[: lines.index("")]:
        named, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
        first, ellipsis, last = named.partition(" … ")
        names = declared[declared.index(first) : declared.index(last) + 1] if ellipsis else named.split(", ")
        assert not set(names) & set(found), named
        found |= dict.fromkeys(names, cells)
    return found


def written_gate(declaration: MetricDeclaration) -> str:
    """Write a gate and when it is in force, as the document does."""
    if declaration.gate is None:
        return ""
    parts = [str(declaration.gate)]
    parts += ["warn"] * (declaration.gate.severity is Severity.WARN)
    parts += [str(declaration.applies)] * (declaration.applies is not Applies.ALWAYS)
    parts += [f"against {' and '.join(declaration.gated_against)} only"] * bool(declaration.gated_against)
    return ", ".join(parts)


def test_the_bars_are_those_of_the_definitions() -> None:
    """A gate must not be loosened in passing."""
    assert {name: str(each.gate) for name, each in DECLARATIONS.items() if each.gate is not None} == BARS


def test_the_gates_of_every_day_are_the_checks() -> None:
    """Those that are always in force, with what each shows; the others are no checks."""
    gated = {name: each for name, each in DECLARATIONS.items() if each.gate is not None}
    always = [name for name, each in gated.items() if each.applies is Applies.ALWAYS]
    assert list(CHECKS) == always
    assert len(always) == 28
    assert all(each.shows.endswith(".") for each in gated.values())
    warnings = {name for name, each in gated.items() if each.gate.severity is Severity.WARN}
    assert warnings == {"bbo_known_share", "topk_exact_all", "origin_coverage", "latency_p50"}


def test_what_is_gated_and_compared_has_a_placebo() -> None:
    """Later references for comparisons, references without a best level for distributions, none for claims."""
    for name, each in DECLARATIONS.items():
        if name.startswith(("ks_", "tv_", "w1_")) and not name.endswith("inter_arrival"):
            assert each.placebos == WITHOUT_BEST, name
        elif each.gate is not None and name.startswith(("bbo_", "topk_", "depth_", "trade_")):
            assert each.placebos == (() if name.endswith("known_share") else LATER), name


def test_the_document_describes_every_metric() -> None:
    """Both tables have a row for each; gate, references, placebo, slow definition and figure are those of the code."""
    figures, meanings = documented(FIGURES), documented(MEANINGS)
    assert list(figures) == list(meanings)
    assert set(figures) == set(DECLARATIONS)
    placebos = {LATER: "later", WITHOUT_BEST: "without best", (): "none"}
    for name, declared in DECLARATIONS.items():
        formula, unit, gate, n, against, placebo, slow, chart = figures[name]
        shows, blind_to = meanings[name]
        assert all((formula, unit, n, shows, blind_to)), name
        assert gate == written_gate(declared), name
        assert against == ", ".join(declared.references), name
        assert placebo == placebos[declared.placebos], name
        assert chart in {"", *READ}, name
        if "_" in slow:
            assert callable(getattr(oracle, slow)), name
        elif declared.gate is not None:
            assert slow != "the figure is only reported", name
        if declared.gate is not None and name == next(
            each for each in figures if figures[each] is figures[name]
        ):
            assert shows == declared.shows, name


def test_the_document_names_every_column() -> None:
    """Each column of metrics.parquet has a row in the table of columns."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for column in METRICS_SCHEMA.names:
        assert any(column in re.split(r"[ ,]+", line.split("|")[1]) for line in lines), column


def test_a_level_beyond_those_declared_belongs_to_its_family() -> None:
    """Books may be deeper than the visible levels."""
    assert declaration_of("level_exact_bid_37") is declaration_of("level_exact_bid_1")
    with pytest.raises(KeyError):
        declaration_of("level_exact_37")


def test_a_metric_is_measured_against_declared_references_only() -> None:
    """Another one is a mistake of whoever wrote the code, and is named."""
    assert gate_of("drift_slope", "snapshots", "sequence", 1.0) is None
    with pytest.raises(ValueError, match="not tickers"):
        gate_of("drift_slope", "tickers", "sequence", 1.0)


def test_a_gate_is_in_force_where_it_is_declared_to_be() -> None:
    """Not against another reference; without ids not at all; by another clock as a warning, and without any not."""
    assert gate_of("trade_in_range", "trades", "transaction_time", 1.0) is None
    assert gate_of("trade_in_range", "tickers", "transaction_time", 1.0) == Gate(">=", 0.99)
    assert gate_of("trade_in_range", "tickers", "origin_time", 1.0) == Gate(">=", 0.99, Severity.WARN)
    assert gate_of("trade_in_range", "tickers", "none", None) is None
    assert gate_of("seq_gap_ratio", "sequence_gap_report", "none", None) is None
    assert gate_of("seq_gap_ratio", "sequence_gap_report", "none", 0.0) == Gate("<", 0.001)
    assert gate_of("bbo_exact_seq", "golden", "sequence", None) == Gate(">=", 0.999)
