"""How an asset is declared: which component makes it, from which assets, and how the UI describes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
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
        name: Name of the dataset and of the asset.
        component: Called with data store and settings; gives the component that does the work.
        description: Markdown for the UI.
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
