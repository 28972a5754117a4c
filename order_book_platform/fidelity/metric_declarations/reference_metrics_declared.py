"""Metrics that hold the book against rows of a reference: snapshots, tickers, a golden sample, trades."""

from __future__ import annotations

from functools import partial
from itertools import product

from order_book_platform.fidelity.metric_declarations.metric_declaration import (
    CLAIMS_ONLY,
    GOLDEN,
    LATER,
    SIDES,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    WITHOUT_BEST,
    Applies,
    MetricDeclaration,
)
from order_book_platform.model import Gate, Severity
from order_book_platform.model.levels import DEPTH

STATES = {
    "spread": "the spread's distribution",
    "log_q_bid": "the distribution of the best bid's size",
    "log_q_ask": "the distribution of the best ask's size",
    "qi_1": "the distribution of the best levels' imbalance",
    "qi_5": "the distribution of five levels' imbalance",
}
"""States of a book whose distributions are compared, in the order of `kernels.fidelity.state_histograms`."""

_EACH_SIDE = {side: side for side in SIDES}
_EACH_LEVEL = {
    f"{side}_{level}": f"{side} level {level}" for side, level in product(SIDES, range(1, DEPTH + 1))
}
_ERRORS, _LEVEL_CHART = "Error over time", "Levels: match and correlation"
_CORRELATED = "pairs of the level with the fewest"
_DIFFERENCES = "differences of the level with the fewest"

_best = partial(MetricDeclaration, references=(SNAPSHOTS, TICKERS, GOLDEN))
_levels = partial(MetricDeclaration, references=(SNAPSHOTS, GOLDEN))
_sizes = partial(_levels, placebo=LATER, oracle="size_correlations", chart=_LEVEL_CHART)
_each_level = partial(
    MetricDeclaration,
    references=(SNAPSHOTS,),
    placebo=LATER,
    blind_to="all other levels",
    chart=_LEVEL_CHART,
    variants=_EACH_LEVEL,
)
_states = partial(
    MetricDeclaration,
    n="pairs that hold for some time and in which the book claims the levels that the state is made of",
    references=(SNAPSHOTS,),
    placebo=WITHOUT_BEST,
    chart="Distributions",
    variants=STATES,
)
_between = partial(MetricDeclaration, references=(SNAPSHOTS,), chart="Drift between snapshots")
_by_time = partial(MetricDeclaration, references=(TICKERS,), placebo=LATER)

BEST_PRICES = (
    _best(
        name="bbo_exact_seq",
        unit="share",
        formula="share of all pairs, claimed or not, whose best bid and ask are equal in price and size",
        n="pairs",
        description="Share of references whose best bid and ask, price and size, equal the book's.",
        blind_to="how far off a wrong price is, and all levels behind the best",
        placebo=LATER,
        gate=Gate(">=", 0.999),
        oracle="best_price_figures",
        chart=_ERRORS,
    ),
    _best(
        name="bbo_rms_seq_{}",
        unit="ticks",
        formula="√mean(((P̂ − P)/δ)²) of the best price, over the rows that claim to know that side's best level; the "
        "note counts the others",
        n="such pairs that both have that side",
        description="Root mean square error of the best {}, in ticks, where the book claims to know it.",
        blind_to="sizes, and prices that the book does not claim",
        placebo=LATER,
        gate=Gate("<=", 0.1),
        oracle="best_price_figures",
        chart=_ERRORS,
        variants=_EACH_SIDE,
    ),
    _best(
        name="bbo_rms_all_{}",
        unit="ticks",
        formula="the same over all rows, claimed or not",
        n="pairs that both have that side",
        description="Root mean square error of the best {}, in ticks, in all rows.",
        blind_to="whether an error was claimed to be right",
        placebo=LATER,
        chart=_ERRORS,
        variants=_EACH_SIDE,
    ),
    _best(
        name="bbo_known_share",
        unit="share",
        formula="share of rows that claim to know best bid and best ask",
        n="pairs",
        description="Share of references at which the book claims to know both best levels.",
        blind_to="whether what is claimed is right",
        placebo=CLAIMS_ONLY,
        gate=Gate(">=", 0.95, Severity.WARN),
        oracle="best_price_figures",
    ),
)
"""Best bid and ask, matched by sequence number."""

LEVELS = (
    _levels(
        name="topk_exact",
        unit="share",
        formula="share of the rows with all 2·K levels known in which all are equal in price and size",
        n="rows with all levels known",
        description="Share of references equal in all levels, where the book claims to know all of them.",
        blind_to="rows that do not claim all levels, and how many levels of a wrong row are wrong",
        placebo=LATER,
        gate=Gate(">=", 0.995),
        oracle="level_figures",
        chart=_LEVEL_CHART,
    ),
    _levels(
        name="topk_missing",
        unit="share",
        formula="share of reference prices, up to the book's last known level, that the book lacks",
        n="such prices",
        description="Reference levels inside the known range that the book lacks.",
        blind_to="sizes, and levels that the book does not claim to know",
        placebo=LATER,
        gate=Gate("<=", 0.001),
        oracle="level_figures",
    ),
    _levels(
        name="topk_ghost",
        unit="share",
        formula="share of known book prices, up to the reference's last level, that the reference lacks (without limit "
        "where it lists fewer than K levels)",
        n="such prices",
        description="Known book levels inside the reference's range that the reference lacks.",
        blind_to="sizes, and levels beyond the reference's last",
        placebo=LATER,
        gate=Gate("<=", 0.001),
        oracle="level_figures",
    ),
    _levels(
        name="topk_known_share",
        unit="share",
        formula="share of rows with all 2·K levels known",
        n="pairs",
        description="Share of references at which the book claims to know all levels.",
        blind_to="whether what is claimed is right",
        placebo=CLAIMS_ONLY,
        gate=Gate(">=", 0.90),
        oracle="level_figures",
    ),
    _levels(
        name="topk_exact_all",
        unit="share",
        formula="share of all rows equal in all 2·K levels, claimed or not: a measure of how much is known",
        n="pairs",
        description="Share of all references equal in all levels, known or not: how much is known.",
        blind_to="whether a level is wrong or only not known",
        placebo=LATER,
        gate=Gate(">=", 0.975, Severity.WARN),
        oracle="level_figures",
    ),
    _sizes(
        name="depth_corr_pearson",
        unit="correlation",
        formula="Pearson correlation of log1p(q), the lowest of all levels and sides",
        n=_CORRELATED,
        description="Correlation of log sizes, the worst level.",
        blind_to="a constant factor of all sizes, and levels that one of the two lacks",
        gate=Gate(">=", 0.99),
    ),
    _sizes(
        name="depth_corr_spearman",
        unit="correlation",
        formula="Spearman correlation of q, the lowest of all levels and sides",
        n=_CORRELATED,
        description="Rank correlation of sizes, the worst level.",
        blind_to="any monotonic change of all sizes",
        gate=Gate(">=", 0.99),
    ),
    _sizes(
        name="depth_corr_pearson_detrended",
        unit="correlation",
        formula="Pearson correlation of the differences of log1p(q) from one sampled row to the next, the lowest of "
        "all levels and sides",
        n=_DIFFERENCES,
        description="Correlation of changes of log sizes, the worst level.",
        blind_to="a constant error of a size",
        gate=Gate(">=", 0.99),
    ),
    _sizes(
        name="depth_corr_spearman_detrended",
        unit="correlation",
        formula="Spearman correlation of the differences of q from one sampled row to the next, the lowest",
        n=_DIFFERENCES,
        description="Rank correlation of changes of sizes, the worst level.",
        blind_to="a constant error of a size, and monotonic changes of the differences",
        gate=Gate(">=", 0.99),
    ),
    _sizes(
        name="depth_l1",
        unit="share",
        formula="Σ abs(q̂ − q) / Σq, the highest of all levels and sides",
        n=_CORRELATED,
        description="Difference of sizes per size, the worst level.",
        blind_to="in which rows the sizes differ",
        gate=Gate("<=", 0.005),
    ),
)
"""All K levels a side, matched by sequence number."""

SINGLE_LEVELS = (
    _each_level(
        name="level_exact_{}",
        unit="share",
        formula="share of the rows that claim to know the level in which it is equal in price and size",
        n="rows that claim to know the level",
        description="Share of rows that are right at {}.",
    ),
    *(
        _each_level(
            name=f"depth_{name}_{{}}",
            unit=unit,
            formula=f"`depth_{name}` of one level",
            n=n,
            description=f"{shows} at {{}}.",
        )
        for name, unit, n, shows in (
            ("corr_pearson", "correlation", "pairs", "Correlation of log sizes"),
            ("corr_spearman", "correlation", "pairs", "Rank correlation of sizes"),
            ("l1", "share", "pairs", "Difference of sizes per size"),
            ("corr_pearson_detrended", "correlation", "differences", "Correlation of changes of log sizes"),
            ("corr_spearman_detrended", "correlation", "differences", "Rank correlation of changes of sizes"),
        )
    ),
)
"""The same of each side and level alone."""

DISTRIBUTIONS = (
    _states(
        name="ks_{}",
        unit="share of time",
        formula="Kolmogorov–Smirnov distance of the distributions of a state in book and reference, see below",
        description="Distance of {} from the references'.",
        blind_to="when the states occur: the same states at other times are equal",
        gate=Gate("<=", 0.02),
        oracle="state_distances",
    ),
    _states(
        name="tv_{}",
        unit="share of time",
        formula="total variation of the same",
        description="Share of time by which {} differs from the references'.",
        blind_to="how far apart the differing states are",
    ),
    _states(
        name="w1_{}",
        unit="ticks, log units or units of imbalance",
        formula="Wasserstein distance of the same; null where a state has no value",
        description="How far {} would have to move on average to be the references'.",
        blind_to="when the states occur",
    ),
)
"""Distributions of a book's states."""

BETWEEN_SNAPSHOTS = (
    _between(
        name="drift_exact_{}",
        unit="share",
        formula="share of the rows with all 2·K levels known in which all are equal, in the first and in the last "
        "bucket of age that holds any; age is the time since the last used, not rejected snapshot",
        n="such rows of the bucket",
        description="Share of the rows right in all levels, in the {} bucket of age.",
        blind_to="ages that no held-out snapshot has",
        variants={"first": "freshest", "last": "oldest"},
    ),
    _between(
        name="drift_slope",
        unit="share per second",
        formula="slope of the least-squares line of right (1) or wrong (0) on age, per second",
        n="rows with all levels known that some used snapshot precedes",
        description="How the share of right rows changes with the age of the last snapshot that shaped the book.",
        blind_to="losses that every book has from its first row on",
    ),
)
"""How errors grow with the age of the last snapshot that shaped the book."""

BY_TIME = (
    _by_time(
        name="bbo_exact_time",
        unit="share",
        formula="share of book rows whose two best prices equal those of the last ticker by time",
        n="rows with a ticker",
        description="Share of book rows whose best prices are those of the last ticker by the exchange's clock.",
        blind_to="sizes: many tickers share a millisecond, so even perfect streams differ in them",
        gate=Gate(">=", 0.995),
        applies=Applies.BY_CLOCK,
        without_oracle="the tests hold the merge by time against a loop",
    ),
    _by_time(
        name="bbo_rms_time_{}",
        unit="ticks",
        formula="√mean(((P̂ − P)/δ)²) by time, over the rows that claim to know that side's best level",
        n="such rows",
        description="Root mean square error of the best {} by the exchange's clock, in ticks.",
        blind_to="sizes, and prices that the book does not claim",
        gate=Gate("<=", 2.0),
        applies=Applies.BY_CLOCK,
        without_oracle="the tests hold the merge by time against a loop",
        variants=_EACH_SIDE,
    ),
    _by_time(
        name="trade_in_range",
        unit="share",
        formula="share of trades priced within [lowest best bid, highest best ask] of the tickers within T ± 10 ms; "
        "against the book (`trades`): of its rows from the last one at or before T − 10 ms to the first one at or "
        "after T + 10 ms, without a gate",
        n="trades with such tickers or rows",
        description="Share of trades at a price between the best bid and the best ask of their time.",
        blind_to="errors smaller than the range that prices had within 20 ms",
        references=(TICKERS, TRADES),
        gate=Gate(">=", 0.99),
        applies=Applies.BY_CLOCK,
        gated_against=(TICKERS,),
        without_oracle="the tests hold the count against a loop",
    ),
    _by_time(
        name="bbo_exact_{}",
        unit="share",
        formula="as `bbo_exact_time`, with sizes, by arrival, and by arrival with sizes",
        n="rows with a ticker",
        description="Share of book rows whose best prices are those of the last ticker, {}.",
        blind_to="which of the two streams was late",
        variants={
            "time_size": "with sizes",
            "arrival": "by arrival",
            "arrival_size": "by arrival and with sizes",
        },
    ),
    _by_time(
        name="bbo_rms_arrival_{}",
        unit="ticks",
        formula="as `bbo_rms_time_…`, by arrival",
        n="such rows",
        description="Root mean square error of the best {} by arrival, in ticks.",
        blind_to="which of the two streams was late",
        variants=_EACH_SIDE,
    ),
    _by_time(
        name="sampling_rms_tw_{}",
        unit="ticks",
        formula="√(∫((P̂ − P)/δ)² dt / ∫dt): each book row holds until the next, each ticker too",
        n="rows with a ticker",
        description="What holding the best {} of the book between two messages costs, in ticks.",
        blind_to="whether the book or its sampling is wrong",
        variants=_EACH_SIDE,
    ),
)
"""Best prices and trades, matched by time."""
