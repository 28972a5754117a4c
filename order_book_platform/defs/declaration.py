"""The six stages: which component makes which asset from which, and how it is described."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest


class Result(Protocol):
    """What a component's run gives back."""

    @property
    def manifest(self) -> Manifest:
        """Of the published partition."""

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Figures against their bars."""


class Component(Protocol):
    """A stage's logic; it publishes its partition and knows nothing of Dagster."""

    def run(self, key: PartitionKey, progress: Progress = silent) -> Result:
        """Make and publish one partition."""


RunMetadata = Callable[[Any], Mapping[str, dg.MetadataValue]]


def no_run_metadata(result: object) -> Mapping[str, dg.MetadataValue]:
    """For components of which there is nothing to say but what they published."""
    return {}


Pictures = Callable[[DataStore, PartitionKey], Mapping[str, str]]


def no_pictures(store: DataStore, key: PartitionKey) -> Mapping[str, str]:
    """For assets that are best read as tables."""
    return {}


@dataclass(frozen=True)
class AssetDeclaration:
    """One asset.

    Attributes:
        name: of the dataset and the asset.
        component: makes the component that does the work.
        description: Markdown, for the UI.
        kinds: icons, at most three.
        deps: names of the assets it reads; `lake/…` for source tables.
        gates: its checks: name to description.
        blocking: those of them without which whatever is made from this asset would be wrong: it is not made.
        highlights: keys of the manifest's metadata that deserve a line of their own.
        siblings: datasets that are published with it and are no assets of their own.
        pictures: drawings worth showing with a materialization, title to SVG.
        run_metadata: what the component's result says of the run, and the partition does not.
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
    pictures: Pictures = no_pictures
    run_metadata: RunMetadata = no_run_metadata
