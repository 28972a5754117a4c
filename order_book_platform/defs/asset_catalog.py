"""The six assets in the order of the data: which component makes each, from what, and how the UI describes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.assess.rules import RULES
from order_book_platform.datasets.scan import in_drawn_pips
from order_book_platform.defs.metadata import stream_metadata
from order_book_platform.fidelity import CHECKS as FIDELITY_CHECKS
from order_book_platform.fidelity import FidelityReporter, draw_pictures
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.plots.depth_chart import depth_chart
from order_book_platform.plots.gap_chart import gap_chart
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.rl.features.feature_builder import gate_descriptions
from order_book_platform.settings import Settings
from order_book_platform.sources import DayIngest
from order_book_platform.storage import DataStore, Manifest


class Result(Protocol):
    """The result of a component's run."""

    @property
    def manifest(self) -> Manifest:
        """Manifest of the published partition."""

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Figures of the run against their bars."""


class Component(Protocol):
    """A part of the platform that makes one dataset and knows nothing of Dagster."""

    def run(self, key: PartitionKey, progress: Progress = silent) -> Result:
        """Make and publish one partition."""


@dataclass(frozen=True)
class AssetDeclaration:
    """One asset: its component, inputs, checks and texts.

    Attributes:
        component: Called with data store and settings; gives the component that does the work.
        kinds: Icons that the UI shows, at most three.
        deps: Names of the assets it reads; `lake/…` for tables of the lake.
        gates: Name of each of its checks to the check's description.
        blocking: Gates without which everything made from this asset would be wrong: it is not made.
        highlights: Keys of the manifest's metadata that get a line of their own in the UI.
        siblings: Datasets that are published with it and are no assets of their own.
        pictures: Called with data store and partition; gives drawings to show, title to SVG.
        run_metadata: Called with the component's result; gives facts about the run that the partition does not hold.
    """

    name: str
    component: Callable[[DataStore, Settings], Component]
    description: str
    kinds: frozenset[str]
    deps: Sequence[str]
    gates: Mapping[str, str] = field(default_factory=dict)
    blocking: frozenset[str] = frozenset()
    highlights: Sequence[str] = ()
    siblings: Sequence[str] = ()
    pictures: Callable[[DataStore, PartitionKey], Mapping[str, str]] = lambda store, key: {}
    run_metadata: Callable[[Any], Mapping[str, dg.MetadataValue]] = lambda result: {}


def book_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, str]:
    """Draw depth over time with the best bid and ask, and where rows are doubtful; title to SVG."""
    fixed_point = store.manifest("reconstructed_books", key).fixed_point
    chart = depth_chart(*in_drawn_pips(store.frame("reconstructed_books", key), fixed_point))
    return {"Depth over time": chart.standalone()}


def gap_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, str]:
    """Draw the gaps over the time that the deltas span; title to SVG."""
    first_ns, last_ns = store.rows("raw_deltas", key).value_range("origin_time") or (0, 0)
    chart = gap_chart(store.frame("sequence_gap_report", key).collect(), first_ns, last_ns)
    return {"Gaps over time": chart.standalone()}


ASSETS = (
    AssetDeclaration(
        name="raw_deltas",
        component=DayIngest,
        description=(
            "Holds the level changes of one symbol and day in replay order, with prices and sizes as exact int64 pips "
            "(`price · 10^price_decimals`) and an audit of the source files. "
            "Its siblings `snapshots` and `trades` are published with it; a day that the lake has no files of is taken "
            "from a live capture, with exact ids and `tickers`."
        ),
        kinds=frozenset({"parquet", "python"}),
        deps=("lake/book_delta_v2", "lake/book", "lake/trades"),
        siblings=("snapshots", "trades", "tickers"),
    ),
    AssetDeclaration(
        name="sequence_gap_report",
        component=GapReporter,
        description=(
            "Lists every gap of the day with its kind (`exact`: proven by ids, `inferred`: concluded from silence, "
            "crossing or disagreement with a snapshot), its class, and what the reconstruction does about it."
        ),
        kinds=frozenset({"parquet", "json", "numba"}),
        deps=("raw_deltas",),
        gates={"gap_ratio": "Gaps per message; they are exact where the source keeps ids, else inferred."},
        pictures=gap_pictures,
    ),
    AssetDeclaration(
        name="data_assessment",
        component=DataAssessor,
        description=(
            "Answers whether a faithful book can be made from these data, and how. The report has availability, "
            "coverage, gaps, precision, estimated memory and run time, the recommended strategy, and go or no-go with "
            "every rule that decided it."
        ),
        kinds=frozenset({"json", "markdown"}),
        deps=("raw_deltas", "sequence_gap_report"),
        gates={name: f"{meaning[0].upper()}{meaning[1:]}." for name, (_, meaning) in RULES.items()},
        # The other rules say how much a book is worth; from no message, or a single one, none can be made.
        blocking=frozenset({"deltas", "messages"}),
        highlights=("verdict",),
    ),
    AssetDeclaration(
        name="reconstructed_books",
        component=Reconstructor,
        description=(
            "Holds the visible book, 20 levels a side, after each message that changed it. Flags say what to know "
            "before trusting a row, `known_*_levels` how many of its levels are known. `replay_hash` in the details "
            "is equal for every way of replaying the same deltas."
        ),
        kinds=frozenset({"parquet", "numba"}),
        deps=("raw_deltas", "sequence_gap_report", "data_assessment"),
        highlights=("replay_hash",),
        run_metadata=stream_metadata,
        pictures=book_pictures,
    ),
    AssetDeclaration(
        name="fidelity_report",
        component=FidelityReporter,
        description=(
            "Shows how exact the books are, measured against snapshots that were not used to make them, with placebos "
            "(the same reference 1 s and 10 s later) that have to fail. The folder holds report.html with all plots."
        ),
        kinds=frozenset({"parquet", "json", "html"}),
        deps=("reconstructed_books", "raw_deltas", "sequence_gap_report"),
        gates=FIDELITY_CHECKS,
        highlights=("verdict",),
        pictures=draw_pictures,
    ),
    AssetDeclaration(
        name="rl_features",
        component=FeatureBuilder,
        description=(
            "Holds features on a fixed clock, made from past events only: spread, imbalance, order flow, returns and "
            "volatility, with a validity flag on every row."
        ),
        kinds=frozenset({"parquet", "numba"}),
        deps=("reconstructed_books", "raw_deltas"),
        gates=gate_descriptions(),
    ),
)
