"""Metrics that need no reference's values: of the book itself, and of what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metric_declarations import BOOK, DELTAS, USED_SNAPSHOTS
from order_book_platform.fidelity.metrics.book_summary import BookSummary
from order_book_platform.fidelity.metrics.comparison_counts import share
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.held_out import ReferenceCounts


def book_metrics(summary: BookSummary, uses: Sequence[str], references: int, unseen: int) -> list[Metric]:
    """Return crossed and locked time, flagged rows, repairs, lost messages and order.

    Args:
        summary: Summary of the book's rows.
        uses: What each used snapshot was used for.
        references: Number of snapshots from the seed on, held out or used.
        unseen: Number of these whose sequence number is not a message of `raw_deltas`.
    """
    return [
        _timed("crossed_tw", summary.crossed_ns, summary, "above"),
        _timed("locked_tw", summary.locked_ns, summary, "equal to"),
        Metric.of(
            "flagged_share",
            share(summary.flagged, summary.rows),
            summary.rows,
            f"{summary.flagged:,} of {summary.rows:,} book rows are flagged GAP or HINDSIGHT.",
            reference=BOOK,
        ),
        Metric.of(
            "mistimed_rows",
            float(summary.mistimed),
            summary.rows,
            f"{summary.mistimed:,} of {summary.rows:,} book rows have no origin time, or one more than a day from the "
            "partition's day; by time they stand where the row before them does.",
            reference=BOOK,
        ),
        _counted(
            "resyncs",
            uses.count("repaired"),
            len(uses),
            USED_SNAPSHOTS,
            "used snapshots found the book wrong",
        ),
        _counted(
            "unseen_references",
            unseen,
            references,
            DELTAS,
            "snapshots from the seed on follow a message that raw_deltas lacks",
        ),
        _counted(
            "out_of_order_rows",
            summary.out_of_order,
            summary.rows,
            BOOK,
            "book rows go back behind an earlier sequence number",
        ),
    ]


def _counted(name: str, count: int, n: int, reference: str, counted: str) -> Metric:
    """Return a metric that is a count; not measured where there is nothing to count in."""
    return Metric.of(
        name, float(count) if n else None, n, f"{count:,} of {n:,} {counted}.", reference=reference
    )


def _timed(name: str, held_ns: int, summary: BookSummary, relation: str) -> Metric:
    return Metric.of(
        name,
        share(held_ns, summary.span_ns),
        summary.seeded_rows,
        f"The best bid was {relation} the best ask for {held_ns / NS_PER_SECOND:,.3f} s "
        f"of {summary.span_ns / NS_PER_SECOND:,.3f} s.",
        alignment="time_weighted",
        reference=BOOK,
    )


def replay_hash(metadata: Mapping[str, Any], rows: int) -> Metric:
    """Return the hash of the book's rows as a metric; `obp verify` shows that every replay gives the same.

    Args:
        metadata: Metadata of `reconstructed_books`.
        rows: Number of rows of the book.
    """
    found = str(metadata.get("replay_hash") or "")
    note = f"SHA-256 of the rows: {found}" if found else "The book carries none."
    return Metric.of("replay_hash", None, rows if found else 0, note, reference=BOOK)


def bad_references(references: Mapping[str, ReferenceCounts]) -> list[Metric]:
    """Return the number of references of each dataset that were left out because they are unfit in themselves."""
    return [
        Metric.of(
            "bad_references",
            float(counts.bad),
            counts.rows,
            f"{counts.bad:,} of {counts.rows:,} rows of {dataset} are unfit in themselves and were left out.",
            reference=dataset,
        )
        for dataset, counts in references.items()
    ]
