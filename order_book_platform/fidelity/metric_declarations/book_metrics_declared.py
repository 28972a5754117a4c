"""Metrics of the book itself, of the data it was made from, and of the market that it shows."""

from __future__ import annotations

from functools import partial

from order_book_platform.fidelity.metric_declarations.metric_declaration import (
    BOOK,
    DELTAS,
    GAPS,
    GOLDEN,
    PLACEBOS,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    USED_SNAPSHOTS,
    Applies,
    MetricDeclaration,
)
from order_book_platform.model import Gate, Severity

LAGS_S = tuple(range(1, 11))
"""Distances of squared returns whose correlation is reported, s."""
LATENCY_QUANTILES = ("p1", "p50", "p95", "p99")

_LATENCY, _GAPS_CHART = "Latency and clocks", "Gaps"
_gap_report = partial(
    MetricDeclaration,
    references=(GAPS,),
    without_oracle="the gap report's own tests hold it against simulated faults",
)

GAP_REPORT = (
    _gap_report(
        name="seq_gap_ratio",
        unit="gaps per step",
        formula="of `sequence_gap_report`: breaks of the chain of ids per step; null without ids",
        n="steps",
        description="Breaks of the chain of ids per step from one message to the next.",
        blind_to="losses before the feed numbered its messages",
        gate=Gate("<", 0.001),
        applies=Applies.WITH_IDS,
        chart=_GAPS_CHART,
    ),
    _gap_report(
        name="inferred_gap_ratio",
        unit="gaps per message",
        formula="of the same: signs of a loss per message",
        n="messages",
        description="Signs of a loss per message: silences, crossed spells, disagreements.",
        blind_to="a loss that leaves no trace in times, prices or snapshots",
        gate=Gate("<", 0.001),
        chart=_GAPS_CHART,
    ),
    _gap_report(
        name="origin_coverage",
        unit="share",
        formula="share of the span without long pauses",
        n="messages",
        description="Share of the span without long pauses.",
        blind_to="whether the market itself paused",
        gate=Gate(">", 0.99, Severity.WARN),
        chart=_GAPS_CHART,
    ),
    _gap_report(
        name="origin_valid",
        unit="share",
        formula="share of messages whose origin time is there and does not go back",
        n="messages",
        description="Share of messages whose origin time is there and does not go back.",
        blind_to="an error that all times share",
        gate=Gate(">", 0.999),
        chart=_LATENCY,
    ),
    _gap_report(
        name="latency_p50",
        unit="ms",
        formula="median of arrival − E",
        n="messages",
        description="Median latency, ms.",
        blind_to="how much of it is the recorder's clock",
        gate=Gate("<=", 50.0, Severity.WARN),
        chart=_LATENCY,
    ),
    _gap_report(
        name="latency_{}",
        unit="ms",
        formula="its other quantiles; the vendor's p95 is 149 ms on a good day, so the median is gated",
        n="messages",
        description="Quantile {} of latency, ms.",
        blind_to="how much of it is the recorder's clock",
        chart=_LATENCY,
        variants={name: name for name in LATENCY_QUANTILES if name != "p50"},
    ),
    _gap_report(
        name="neg_frac",
        unit="share",
        formula="share of messages that arrived before their origin time",
        n="messages",
        description="Share of messages that arrived before they were sent.",
        blind_to="a clock that is ahead by less than the way takes",
        chart=_LATENCY,
    ),
    _gap_report(
        name="skew_ms",
        unit="ms",
        formula="offset of the recorder's clock, from the fastest messages",
        n="messages",
        description="How far the recorder's clock is from the exchange's, at least.",
        blind_to="the time that the fastest message took",
        chart=_LATENCY,
    ),
    _gap_report(
        name="drift_ppm",
        unit="parts per million",
        formula="slope of the recorder's clock, from the fastest messages",
        n="points of the envelope",
        description="How fast the recorder's clock runs away from the exchange's.",
        blind_to="a route that becomes slower during the day",
        chart=_LATENCY,
    ),
)
"""Figures of `sequence_gap_report`."""

BOOK_ROWS = (
    MetricDeclaration(
        name="crossed_tw",
        unit="share of time",
        formula="share of time, from the seed on, with best bid above best ask; a row weighs the time until the next",
        n="rows from the seed on",
        description="Share of time with the best bid above the best ask.",
        blind_to="prices that are wrong and not crossed",
        references=(BOOK,),
        gate=Gate("<", 1e-4),
        oracle="book_figures",
    ),
    MetricDeclaration(
        name="locked_tw",
        unit="share of time",
        formula="the same, best bid equal to best ask",
        n="rows from the seed on",
        description="Share of time with the best bid equal to the best ask.",
        blind_to="whether the market itself was locked",
        references=(BOOK,),
    ),
    MetricDeclaration(
        name="flagged_share",
        unit="share",
        formula="share of rows with `GAP` or `HINDSIGHT`",
        n="rows",
        description="Share of rows that the book itself doubts.",
        blind_to="rows that are wrong and not flagged",
        references=(BOOK,),
        chart="The book",
    ),
    MetricDeclaration(
        name="resyncs",
        unit="snapshots",
        formula="used snapshots that repaired the book",
        n="used snapshots",
        description="Repairs that a snapshot forced.",
        blind_to="errors between two snapshots that the deltas themselves put right",
        references=(USED_SNAPSHOTS,),
        gate=Gate("==", 0),
        oracle="book_figures",
    ),
    MetricDeclaration(
        name="unseen_references",
        unit="snapshots",
        formula="snapshots from the seed on whose sequence number is not a message of `raw_deltas`",
        n="snapshots from the seed on",
        description="References that name a message the deltas do not hold.",
        blind_to="lost messages that no snapshot stands on",
        references=(DELTAS,),
        gate=Gate("==", 0),
        oracle="book_figures",
    ),
    MetricDeclaration(
        name="out_of_order_rows",
        unit="rows",
        formula="book rows with a sequence number below an earlier one",
        n="rows",
        description="Book rows with a sequence number below an earlier one.",
        blind_to="rows in order that show another message's levels",
        references=(BOOK,),
        gate=Gate("==", 0),
        oracle="book_figures",
    ),
    MetricDeclaration(
        name="mistimed_rows",
        unit="rows",
        formula="book rows whose origin time is missing or more than a day from the partition's day",
        n="rows",
        description="Book rows whose origin time cannot be.",
        blind_to="times that are wrong within the day",
        references=(BOOK,),
    ),
    MetricDeclaration(
        name="replay_hash",
        unit="none",
        formula="null; the note has the hash, which `obp verify` replays and compares",
        n="rows",
        description="The hash of the rows, as a row of the table.",
        blind_to="whether the book is right: it says that it is the same",
        references=(BOOK,),
    ),
)
"""Rows of the book, and the snapshots that it was made from."""

REFERENCES = (
    MetricDeclaration(
        name="placebo_fails",
        unit="share",
        formula="share of the gated, measured metrics with placebos of which at least one was measured, and all of "
        "those measured fail; a placebo that could not be measured does not count, and a metric without any that could "
        "is one that does not fail",
        n="such metrics",
        description="Whether spoiled references (of another time, without a best level) fail every gate.",
        blind_to="errors smaller than those of a placebo",
        references=(PLACEBOS,),
        gate=Gate("==", 1),
        without_oracle="it is counted from the rows of metrics.parquet",
    ),
    MetricDeclaration(
        name="bad_references",
        unit="rows",
        formula="references left out as unfit, per dataset",
        n="all references",
        description="References that are unfit in themselves.",
        blind_to="references that are wrong and look sound",
        references=(SNAPSHOTS, TICKERS, GOLDEN),
    ),
)
"""Whether the references show anything."""

MARKET = (
    MetricDeclaration(
        name="{}_inter_arrival",
        unit="share; w1 in ms",
        formula="distances of the distribution of intervals between book rows by `received_time` from that by "
        "`origin_time`, in whole ms, each interval counted once",
        n="intervals",
        description="Distance {} of the intervals by the recorder's clock from those by the exchange's.",
        blind_to="a lost message, which lengthens both intervals alike: it tells of the line, where bursts show",
        references=(BOOK,),
        variants={"ks": "ks", "tv": "tv", "w1": "w1"},
    ),
    MetricDeclaration(
        name="kurtosis",
        unit="none",
        formula="fourth central moment over the squared second of 1 s log returns of the mid price, the last one of "
        "each second; 3 for a normal law",
        n="returns",
        description="How fat the tails of returns are.",
        blind_to="whether the market or the book makes them fat",
        references=(BOOK,),
    ),
    MetricDeclaration(
        name="vol_clustering_{}",
        unit="correlation",
        formula="autocorrelation of squared 1 s returns, k s apart",
        n="pairs of seconds",
        description="Correlation of squared returns that are {} s apart.",
        blind_to="whether the market or the book makes volatility cluster",
        references=(BOOK,),
        variants={str(lag): str(lag) for lag in LAGS_S},
    ),
    MetricDeclaration(
        name="hill_tail",
        unit="none",
        formula="Hill's index of the largest 1 % of trade sizes, where `trades` exist and these are at least 10",
        n="trades in the tail",
        description="How fat the tail of trade sizes is.",
        blind_to="trades that are lacking at random",
        references=(TRADES,),
    ),
)
"""What is known of every market, measured on this book: reported to be looked at."""
