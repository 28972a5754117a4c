"""Metrics that need no reference's values: of the book itself, and of what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metrics.metric import GATES, Metric
from order_book_platform.fidelity.metrics.tallies import BookFacts, share
from order_book_platform.fidelity.references.held_out import ReferenceCounts


def book_metrics(facts: BookFacts, uses: Sequence[str], references: int, unseen: int) -> list[Metric]:
    """Crossed and locked time, flagged rows, repairs, lost messages, order.

    Args:
        facts: of the book's rows.
        uses: what each used snapshot was used for.
        references: snapshots from the seed on, held out or used.
        unseen: those of them whose sequence number is not a message of raw_deltas.
    """
    repaired = uses.count("repaired")
    return [
        _timed("crossed_tw", facts.crossed_ns, facts, "above"),
        _timed("locked_tw", facts.locked_ns, facts, "equal to"),
        Metric(
            "flagged_share",
            share(facts.flagged, facts.rows),
            facts.rows,
            reference="book",
            note=f"{facts.flagged:,} of {facts.rows:,} book rows are flagged GAP or HINDSIGHT.",
        ),
        Metric(
            "mistimed_rows",
            float(facts.mistimed),
            facts.rows,
            reference="book",
            note=f"{facts.mistimed:,} of {facts.rows:,} book rows have no origin time, or one more than a day from the "
            "partition's day; by time they stand where the row before them does.",
        ),
        _counted("resyncs", repaired, len(uses), "used_snapshots", "used snapshots found the book wrong"),
        _counted(
            "unseen_references",
            unseen,
            references,
            "raw_deltas",
            "snapshots from the seed on follow a message that raw_deltas lacks",
        ),
        _counted(
            "out_of_order_rows",
            facts.out_of_order,
            facts.rows,
            "book",
            "book rows go back behind an earlier sequence number",
        ),
    ]


def _timed(name: str, held_ns: int, facts: BookFacts, relation: str) -> Metric:
    return Metric(
        name,
        share(held_ns, facts.span_ns),
        facts.seeded_rows,
        GATES.get(name),
        alignment="time_weighted",
        reference="book",
        note=f"The best bid was {relation} the best ask for {held_ns / NS_PER_SECOND:,.3f} s "
        f"of {facts.span_ns / NS_PER_SECOND:,.3f} s.",
    )


def _counted(name: str, count: int, n: int, reference: str, what: str) -> Metric:
    value = float(count) if n else None
    return Metric(name, value, n, GATES[name], reference=reference, note=f"{count:,} of {n:,} {what}.")


def bad_references(references: Mapping[str, ReferenceCounts]) -> list[Metric]:
    """How many references of each dataset were left out because they are unfit in themselves."""
    return [
        Metric(
            "bad_references",
            float(counts.bad),
            counts.rows,
            reference=dataset,
            note=f"{counts.bad:,} of {counts.rows:,} rows of {dataset} are unfit in themselves and were left out.",
        )
        for dataset, counts in references.items()
    ]
