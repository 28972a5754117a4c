"""Metrics against references: their bars and their placebos."""

from __future__ import annotations

from order_book_platform.fidelity.metric_declarations.reference_metrics_declared import (
    BEST_PRICES,
    BETWEEN_SNAPSHOTS,
    BY_TIME,
    DISTRIBUTIONS,
    LEVELS,
    SINGLE_LEVELS,
)


def test_the_bars_are_those_of_the_definitions() -> None:
    """A gate must not be loosened in passing."""
    declarations = (*BEST_PRICES, *LEVELS, *SINGLE_LEVELS, *DISTRIBUTIONS, *BETWEEN_SNAPSHOTS, *BY_TIME)
    bars = {name: str(each.gate) for each in declarations if each.gate is not None for name in each.names}
    assert bars == {
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
        "ks_spread": "<= 0.02",
        "ks_log_q_bid": "<= 0.02",
        "ks_log_q_ask": "<= 0.02",
        "ks_qi_1": "<= 0.02",
        "ks_qi_5": "<= 0.02",
        "bbo_exact_time": ">= 0.995",
        "bbo_rms_time_bid": "<= 2",
        "bbo_rms_time_ask": "<= 2",
        "trade_in_range": ">= 0.99",
    }


def test_what_is_gated_has_a_placebo_unless_it_counts_claims() -> None:
    """Later references for comparisons, references without a best level for distributions."""
    for each in (*BEST_PRICES, *LEVELS, *BY_TIME):
        if each.gate is not None and not each.name.endswith("known_share"):
            assert each.placebo.columns == ("1s", "10s"), each.name
    assert {each.placebo.columns for each in DISTRIBUTIONS} == {("no_bid", "no_ask")}
