"""Metrics that need no reference's values: of the book's own rows, of what it was made from, and of its gap report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.reconstructed_books.reader import BookHeads
from order_book_platform.fidelity.metric_declarations import (
    BOOK,
    DELTAS,
    GAPS,
    LATENCY_QUANTILES,
    USED_SNAPSHOTS,
)
from order_book_platform.fidelity.metrics.comparison_counts import share
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.kernels.fidelity import book_statistics
from order_book_platform.model.arrays import MISSING_PIPS

_ALL_TIMES = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
_STATE = (
    *("rows", "seeded", "first_seed", "first_time_ns", "last_time_ns", "flagged", "out_of_order"),
    *("seeded_rows", "crossed_ns", "locked_ns", "span_ns", "encoded_lowest", "encoded_highest", "mistimed"),
)
"""Names of the first places of the state of `kernels.fidelity.book_statistics`, in order."""


@dataclass(frozen=True, slots=True)
class BookSummary:
    """Summary of the rows of a book, without any reference; all but times, seed and prices are numbers of rows.

    Attributes:
        first_seed: Sequence number of the first row with flag SEEDED; None where the book was never seeded.
        first_time_ns: Origin time of the first row that has one, ns, and latest one of any row; 0 without such rows.
        flagged: Rows with GAP or HINDSIGHT.
        out_of_order: Rows whose sequence number is below an earlier one.
        seeded_rows: Rows from the first seeded one on; crossed and locked time, and the span, count from it too.
        encoded_lowest: Lowest best bid of the seeded rows, and their highest best ask; `MISSING_PIPS` without any.
        mistimed: Rows whose origin time is not plausible.
    """

    rows: int = 0
    first_seed: int | None = None
    first_time_ns: int = 0
    last_time_ns: int = 0
    flagged: int = 0
    out_of_order: int = 0
    seeded_rows: int = 0
    crossed_ns: int = 0
    locked_ns: int = 0
    span_ns: int = 0
    encoded_lowest: int = MISSING_PIPS
    encoded_highest: int = MISSING_PIPS
    mistimed: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """First and latest origin time, ns."""
        return self.first_time_ns, self.last_time_ns


class BookSummarizer:
    """Builds a `BookSummary` from the rows of a book in passing.

    A row weighs the time until the next one; a time below an earlier one counts as that one, and the last row weighs
    nothing. Rows before the first seeded one are not judged.

    Args:
        plausible_ns: First and last plausible time, ns. A row of another time is counted, and is weighed as if it had
            the time of the row before: 0 says that the exchange gave none.
    """

    def __init__(self, plausible_ns: tuple[int, int] = _ALL_TIMES) -> None:
        self._plausible_ns = plausible_ns
        self._state = np.zeros(book_statistics.STATE_SIZE, dtype=np.int64)

    def add(self, rows: BookHeads) -> None:
        """Take in the next rows of the book."""
        columns = rows.sequence_number, rows.time_ns, rows.flags, rows.best_prices
        book_statistics.add_book_rows(*columns, *self._plausible_ns, self._state)

    @property
    def summary(self) -> BookSummary:
        """Summary of the rows so far."""
        values = dict(zip(_STATE, self._state.tolist(), strict=False))
        if not values["rows"]:
            return BookSummary()
        first_seed = values.pop("first_seed")
        return BookSummary(first_seed=first_seed if values.pop("seeded") else None, **values)


def book_metrics(summary: BookSummary, uses: Sequence[str], references: int, unseen: int) -> list[Metric]:
    """Return crossed and locked time, flagged rows, repairs, lost messages and order.

    `uses` tells what each used snapshot was used for. `references` is the number of snapshots from the seed on, and
    `unseen` that of those whose sequence number is not a message of `raw_deltas`.
    """
    rows, span_ns = summary.rows, summary.span_ns
    timed = [
        Metric.of(
            name,
            share(held_ns, span_ns),
            summary.seeded_rows,
            f"The best bid was {relation} the best ask for {held_ns / NS_PER_SECOND:,.3f} s "
            f"of {span_ns / NS_PER_SECOND:,.3f} s.",
            alignment="time_weighted",
            reference=BOOK,
        )
        for name, held_ns, relation in (
            ("crossed_tw", summary.crossed_ns, "above"),
            ("locked_tw", summary.locked_ns, "equal to"),
        )
    ]
    flagged, mistimed = summary.flagged, summary.mistimed
    beyond = (
        "book rows have no origin time, or one more than a day from the partition's day; by time they stand where the "
        "row before them does"
    )
    doubtful, wrong = "book rows are flagged GAP or HINDSIGHT", "used snapshots found the book wrong"
    lost = "snapshots from the seed on follow a message that raw_deltas lacks"
    back = "book rows go back behind an earlier sequence number"
    return [
        *timed,
        _counted("flagged_share", flagged, rows, BOOK, doubtful, share(flagged, rows)),
        _counted("mistimed_rows", mistimed, rows, BOOK, beyond, float(mistimed)),
        _counted("resyncs", uses.count("repaired"), len(uses), USED_SNAPSHOTS, wrong),
        _counted("unseen_references", unseen, references, DELTAS, lost),
        _counted("out_of_order_rows", summary.out_of_order, rows, BOOK, back),
    ]


def _counted(
    name: str, count: int, n: int, reference: str, counted: str, value: float | None = None
) -> Metric:
    """Return a metric of a count, or of a value made of it; not measured where there is nothing to count in."""
    if value is None and n:
        value = float(count)
    return Metric.of(name, value, n, f"{count:,} of {n:,} {counted}.", reference=reference)


def replay_hash(metadata: Mapping[str, Any], rows: int) -> Metric:
    """Return the hash of the book's rows as a metric; `obp verify` shows that every replay gives the same."""
    found = str(metadata.get("replay_hash") or "")
    note = f"SHA-256 of the rows: {found}" if found else "The book carries none."
    return Metric.of("replay_hash", None, rows if found else 0, note, reference=BOOK)


def gap_metrics(report: Mapping[str, Any]) -> list[Metric]:
    """Return lost messages, coverage and order of times, latency and clocks from report.json of the gap report.

    A figure that it lacks, or that is null, was not measured.
    """
    messages, clocks = int(report.get("messages") or 0), report.get("clocks") or {}
    latency, steps, by_ids = clocks.get("latency_ms") or {}, max(messages - 1, 0), report.get("seq_gap_ratio")
    breaks = (
        "The source keeps no ids that prove a loss."
        if by_ids is None
        else "Breaks of the chain of ids per step from one message to the next."
    )
    signs = (
        "Silences, crossed spells, and snapshots that contradict the book or name a message that never came, per "
        "message."
    )
    figures = (
        ("seq_gap_ratio", by_ids, steps, breaks),
        ("inferred_gap_ratio", report.get("inferred_gap_ratio"), messages, signs),
        (
            *("origin_coverage", clocks.get("origin_coverage"), messages),
            "Share of the day's span without the parts of pauses that are longer than the threshold.",
        ),
        (
            *("origin_valid", clocks.get("origin_valid"), messages),
            "Share of messages with an origin time that is there and not below the one before.",
        ),
        *(
            (f"latency_{at}", latency.get(at), messages, f"Arrival after origin time, {at} of messages, ms.")
            for at in LATENCY_QUANTILES
        ),
        (
            *("neg_frac", clocks.get("latency_negative"), messages),
            "Share of messages that arrived before they were sent.",
        ),
        (
            *("skew_ms", clocks.get("skew_ms"), messages),
            "How far the recorder's clock is from the exchange's, at least, ms; of the fastest messages.",
        ),
        (
            *("drift_ppm", clocks.get("drift_ppm"), len(clocks.get("envelope") or []) or 1),
            "Slope of the fastest messages' latency over the day, parts per million.",
        ),
    )
    return [
        Metric.of(name, value, 0 if value is None else n, note, reference=GAPS)
        for name, value, n, note in figures
    ]
