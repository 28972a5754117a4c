"""Every metric of a fidelity report, declared once: references, gate, placebos, and the words of its check in Dagster.

A new metric begins with an entry here and a row in both tables of docs/formats/fidelity_report.md, which say how it is
worked out and what it cannot show; a test holds the two together. The checks in Dagster and the list of gates that the
self-test has to make fail are made from the declarations. The definitions are those of facts/features_and_metrics.md,
"Fidelity metrics and gates"; docs/adr/0009 says why what is right and what is known are scored apart, docs/adr/0016
what is gated by time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import product

from order_book_platform.model import Gate, Severity
from order_book_platform.model.arrays import DEPTH

SNAPSHOTS, TICKERS, TRADES, GOLDEN = "snapshots", "tickers", "trades", "golden"
"""References whose rows are compared with rows of the book."""
BOOK, USED_SNAPSHOTS, DELTAS = "book", "used_snapshots", "raw_deltas"
GAPS, PLACEBOS = "sequence_gap_report", "placebo"
NAMED_REFERENCES = (TICKERS, GOLDEN)
"""References whose gates carry their name, such as `bbo_exact_seq_tickers`."""
SIDES = ("bid", "ask")
TRANSACTION_TIME = "transaction_time"
LAGS_S = tuple(range(1, 11))
"""Distances of squared returns whose correlation is reported, s."""
LATENCY_QUANTILES = ("p1", "p50", "p95", "p99")
STATES = {
    "spread": "the spread's distribution",
    "log_q_bid": "the distribution of the best bid's size",
    "log_q_ask": "the distribution of the best ask's size",
    "qi_1": "the distribution of the best levels' imbalance",
    "qi_5": "the distribution of five levels' imbalance",
}
"""States of a book whose distributions are compared, in the order of `kernels.fidelity.state_histograms`."""
LATER, WITHOUT_BEST = ("1s", "10s"), ("no_bid", "no_ask")
"""Endings of the `placebo_…` columns of metrics.parquet: the reference some time later, and without a best level."""


class Applies(StrEnum):
    """When a gate is in force."""

    ALWAYS = "always"
    """On every day: the gate is a check in Dagster, and a day without the figure fails it."""
    WITH_IDS = "where the source keeps ids"
    """Where the figure could be measured at all: most sources keep no ids that prove a loss."""
    BY_CLOCK = "where there are tickers with a time of the exchange's"
    """Only warns where the alignment is not `transaction_time` (docs/adr/0016)."""


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """How a metric is judged.

    Attributes:
        gate: The bar that the value has to meet; None where it is only reported.
        shows: What a gated metric shows.
        references: What the metric is measured against.
        placebos: Columns of the spoiled references that have to fail the gate: `LATER`, `WITHOUT_BEST` or none.
        applies: When the gate is in force.
        gated_against: References against which the gate is in force; by default all of them.
    """

    gate: Gate | None = None
    shows: str = ""
    references: tuple[str, ...] = (SNAPSHOTS,)
    placebos: tuple[str, ...] = ()
    applies: Applies = Applies.ALWAYS
    gated_against: tuple[str, ...] = ()


_best = partial(MetricDeclaration, references=(SNAPSHOTS, TICKERS, GOLDEN))
_level = partial(MetricDeclaration, references=(SNAPSHOTS, GOLDEN), placebos=LATER)
_gap_report = partial(MetricDeclaration, references=(GAPS,))
_book = partial(MetricDeclaration, references=(BOOK,))
_by_time = partial(MetricDeclaration, references=(TICKERS,), placebos=LATER, applies=Applies.BY_CLOCK)

_RIGHT, _WRONG, _ALIKE, _NONE = Gate(">=", 0.995), Gate("<=", 0.001), Gate(">=", 0.99), Gate("==", 0)

DECLARATIONS: dict[str, MetricDeclaration] = {
    # Best bid and ask, matched by sequence number.
    "bbo_exact_seq": _best(
        Gate(">=", 0.999),
        "Share of references whose best bid and ask, price and size, equal the book's.",
        placebos=LATER,
    ),
    **{
        f"bbo_rms_seq_{side}": _best(
            Gate("<=", 0.1),
            f"Root mean square error of the best {side}, in ticks, where the book claims to know it.",
            placebos=LATER,
        )
        for side in SIDES
    },
    **{f"bbo_rms_all_{side}": _best(placebos=LATER) for side in SIDES},
    "bbo_known_share": _best(
        Gate(">=", 0.95, Severity.WARN),
        "Share of references at which the book claims to know both best levels.",
    ),
    # All K levels a side, matched by sequence number.
    "topk_exact": _level(
        _RIGHT, "Share of references equal in all levels, where the book claims to know all of them."
    ),
    "topk_missing": _level(_WRONG, "Reference levels inside the known range that the book lacks."),
    "topk_ghost": _level(_WRONG, "Known book levels inside the reference's range that the reference lacks."),
    "topk_known_share": _level(
        Gate(">=", 0.90), "Share of references at which the book claims to know all levels.", placebos=()
    ),
    "topk_exact_all": _level(
        Gate(">=", 0.975, Severity.WARN),
        "Share of all references equal in all levels, known or not: how much is known.",
    ),
    "depth_corr_pearson": _level(_ALIKE, "Correlation of log sizes, the worst level."),
    "depth_corr_spearman": _level(_ALIKE, "Rank correlation of sizes, the worst level."),
    "depth_corr_pearson_detrended": _level(_ALIKE, "Correlation of changes of log sizes, the worst level."),
    "depth_corr_spearman_detrended": _level(_ALIKE, "Rank correlation of changes of sizes, the worst level."),
    "depth_l1": _level(Gate("<=", 0.005), "Difference of sizes per size, the worst level."),
    # The same of each side and level alone.
    **{
        f"{name}_{side}_{level}": MetricDeclaration(placebos=LATER)
        for name in (
            *("level_exact", "depth_corr_pearson", "depth_corr_spearman", "depth_l1"),
            *("depth_corr_pearson_detrended", "depth_corr_spearman_detrended"),
        )
        for side, level in product(SIDES, range(1, DEPTH + 1))
    },
    # Figures of `sequence_gap_report`.
    "seq_gap_ratio": _gap_report(
        Gate("<", 0.001),
        "Breaks of the chain of ids per step from one message to the next.",
        applies=Applies.WITH_IDS,
    ),
    "inferred_gap_ratio": _gap_report(
        Gate("<", 0.001), "Signs of a loss per message: silences, crossed spells, disagreements."
    ),
    "origin_coverage": _gap_report(Gate(">", 0.99, Severity.WARN), "Share of the span without long pauses."),
    "origin_valid": _gap_report(
        Gate(">", 0.999), "Share of messages whose origin time is there and does not go back."
    ),
    "latency_p50": _gap_report(Gate("<=", 50.0, Severity.WARN), "Median latency, ms."),
    **{f"latency_{name}": _gap_report() for name in LATENCY_QUANTILES if name != "p50"},
    **dict.fromkeys(("neg_frac", "skew_ms", "drift_ppm"), _gap_report()),
    # Distributions of the book's states.
    **{
        f"ks_{state}": MetricDeclaration(
            Gate("<=", 0.02), f"Distance of {words} from the references'.", placebos=WITHOUT_BEST
        )
        for state, words in STATES.items()
    },
    **{
        f"{distance}_{state}": MetricDeclaration(placebos=WITHOUT_BEST)
        for distance, state in product(("tv", "w1"), STATES)
    },
    # How errors grow with the age of the last snapshot that shaped the book.
    **dict.fromkeys(("drift_exact_first", "drift_exact_last", "drift_slope"), MetricDeclaration()),
    # Rows of the book, and the snapshots that it was made from.
    "crossed_tw": _book(Gate("<", 1e-4), "Share of time with the best bid above the best ask."),
    **dict.fromkeys(("locked_tw", "flagged_share"), _book()),
    "resyncs": MetricDeclaration(_NONE, "Repairs that a snapshot forced.", references=(USED_SNAPSHOTS,)),
    "unseen_references": MetricDeclaration(
        _NONE, "References that name a message the deltas do not hold.", references=(DELTAS,)
    ),
    "out_of_order_rows": _book(_NONE, "Book rows with a sequence number below an earlier one."),
    **dict.fromkeys(("mistimed_rows", "replay_hash"), _book()),
    # Whether the references show anything.
    "placebo_fails": MetricDeclaration(
        Gate("==", 1),
        "Whether spoiled references (of another time, without a best level) fail every gate.",
        references=(PLACEBOS,),
    ),
    "bad_references": _best(),
    # What is known of every market, measured on this book: reported to be looked at.
    **{f"{distance}_inter_arrival": _book() for distance in ("ks", "tv", "w1")},
    "kurtosis": _book(),
    **{f"vol_clustering_{lag}": _book() for lag in LAGS_S},
    "hill_tail": MetricDeclaration(references=(TRADES,)),
    # Best prices and trades, matched by time.
    "bbo_exact_time": _by_time(
        _RIGHT, "Share of book rows whose best prices are those of the last ticker by the exchange's clock."
    ),
    **{
        f"bbo_rms_time_{side}": _by_time(
            Gate("<=", 2.0),
            f"Root mean square error of the best {side} by the exchange's clock, in ticks.",
        )
        for side in SIDES
    },
    "trade_in_range": _by_time(
        _ALIKE,
        "Share of trades at a price between the best bid and the best ask of their time.",
        references=(TICKERS, TRADES),
        gated_against=(TICKERS,),
    ),
    **{f"bbo_exact_{match}": _by_time() for match in ("time_size", "arrival", "arrival_size")},
    **{f"{name}_{side}": _by_time() for name in ("bbo_rms_arrival", "sampling_rms_tw") for side in SIDES},
}
"""All metrics by name, in the order of the documentation."""

CHECKS: dict[str, str] = {
    name: declared.shows
    for name, declared in DECLARATIONS.items()
    if declared.gate is not None and declared.applies is Applies.ALWAYS
}
"""Gates that are in force on every day, with what each shows: the checks in Dagster."""


def declaration_of(name: str) -> MetricDeclaration:
    """Return the declaration of a metric; levels beyond the declared ones are declared as the first one.

    Raises:
        KeyError: No metric of this name is declared.
    """
    return DECLARATIONS[name] if name in DECLARATIONS else DECLARATIONS[re.sub(r"_\d+$", "_1", name)]


def gate_of(name: str, reference: str, alignment: str, value: float | None) -> Gate | None:
    """Return the gate that a figure has to meet; reference, alignment and value are as in `Metric`.

    Raises:
        KeyError: No metric of this name is declared.
        ValueError: The metric is not declared to be measured against this reference.
    """
    declared = declaration_of(name)
    if reference not in declared.references:
        raise ValueError(f"{name} is declared against {declared.references}, not {reference}")
    gate = declared.gate
    if gate is None or (declared.gated_against and reference not in declared.gated_against):
        return None
    if declared.applies is Applies.WITH_IDS and value is None:
        return None
    if declared.applies is Applies.BY_CLOCK and alignment != TRANSACTION_TIME:
        # `none`: no ticker carries a time of the exchange's. E is the time at which a change was sent, not made.
        return None if alignment == "none" else replace(gate, severity=Severity.WARN)
    return gate
