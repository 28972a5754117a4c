"""The form in which a metric is declared: figure, unit, gate, references, placebo, slow definition and chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from order_book_platform.model import Gate, Severity

SNAPSHOTS, TICKERS, TRADES, GOLDEN = "snapshots", "tickers", "trades", "golden"
"""References whose rows are compared with rows of the book."""
BOOK, USED_SNAPSHOTS, DELTAS, GAPS, PLACEBOS = (
    "book",
    "used_snapshots",
    "raw_deltas",
    "sequence_gap_report",
    "placebo",
)
"""Everything else that a metric is measured on."""
NAMED_REFERENCES = (TICKERS, GOLDEN)
"""References whose gates carry their name, such as `bbo_exact_seq_tickers`."""
SIDES = ("bid", "ask")
TRANSACTION_TIME = "transaction_time"


class Applies(StrEnum):
    """When a gate is in force."""

    ALWAYS = "always"
    """On every day: the gate is a check in Dagster, and a day without the figure fails it."""
    WITH_IDS = "where the source keeps ids"
    """Where the figure could be measured at all: most sources keep no ids that prove a loss."""
    BY_CLOCK = "where there are tickers with a time of the exchange's"
    """Only warns where the alignment is not `transaction_time` (docs/adr/0016)."""


@dataclass(frozen=True, slots=True)
class Placebo:
    """A reference that was spoiled on purpose, and has to fail the gate that the true reference passes.

    Attributes:
        kind: Short name for documents.
        columns: Endings of the `placebo_…` columns of metrics.parquet that hold the figure; empty without a placebo.
        reason: Why this placebo has to fail, or why there is none.
    """

    kind: str
    columns: tuple[str, ...]
    reason: str


LATER = Placebo(
    "later",
    ("1s", "10s"),
    "the reference as it was 1 s and 10 s later: prices, sizes or levels have moved by then",
)
WITHOUT_BEST = Placebo(
    "without best",
    ("no_bid", "no_ask"),
    "the reference without its best bid, and without its best ask: a distribution is the same a second later",
)
NO_PLACEBO = Placebo("none", (), "no value of a reference plays a part")
CLAIMS_ONLY = Placebo("none", (), "what the book claims to know is counted, whatever the reference holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDeclaration:
    """Everything that is said once of a metric, or of a family of metrics that differ by side, state, level or lag.

    Attributes:
        name: Name of the metric; `{}` stands for the part in which the metrics of a family differ.
        unit: Unit of the value.
        formula: How the value is worked out, in one line.
        n: What the number of observations counts.
        description: What the metric shows; the text of the check in Dagster. `{}` is replaced as in `name`.
        blind_to: What it cannot show.
        references: What it is measured against.
        placebo: The spoiled reference that has to fail the gate.
        gate: The bar that the value has to meet; None where it is only reported.
        applies: When the gate is in force.
        gated_against: References against which the gate is in force; by default all of them.
        oracle: Function of `fidelity.self_test.oracle` that works the value out from the definition; None without one.
        without_oracle: Why there is none.
        chart: Title of the figure of the report that shows it; None without one.
        variants: Part of the name to words of the description, for a family; empty for a single metric.
    """

    name: str
    unit: str
    formula: str
    n: str
    description: str
    blind_to: str
    references: tuple[str, ...]
    placebo: Placebo = NO_PLACEBO
    gate: Gate | None = None
    applies: Applies = Applies.ALWAYS
    gated_against: tuple[str, ...] = ()
    oracle: str | None = None
    without_oracle: str = "the figure is only reported"
    chart: str | None = None
    variants: Mapping[str, str] = field(default_factory=dict)

    @property
    def descriptions(self) -> dict[str, str]:
        """Name of each metric of the family to what it shows."""
        if not self.variants:
            return {self.name: self.description}
        return {
            self.name.format(part): self.description.format(words) for part, words in self.variants.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics of the family, in order."""
        return tuple(self.descriptions)

    def gate_for(self, reference: str, alignment: str, value: float | None) -> Gate | None:
        """Return the gate that a figure has to meet.

        Args:
            reference: What it was measured against.
            alignment: How book and reference were matched, as in `Metric`.
            value: The figure; None where it could not be measured.

        Raises:
            ValueError: The metric is not declared to be measured against this reference.
        """
        if reference not in self.references:
            raise ValueError(f"{self.name} is declared against {self.references}, not {reference}")
        gate = self.gate
        if gate is None or (self.gated_against and reference not in self.gated_against):
            return None
        if self.applies is Applies.WITH_IDS and value is None:
            return None
        if self.applies is Applies.BY_CLOCK and alignment != TRANSACTION_TIME:
            # `none`: no ticker carries a time of the exchange's. E is the time at which a change was sent, not made.
            return None if alignment == "none" else replace(gate, severity=Severity.WARN)
        return gate
