"""The components one after another, as the assets run them, without Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from order_book_platform.assess import DataAssessor, GapReporter, PublishedReport
from order_book_platform.fidelity import FidelityReport, FidelityReporter
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.reconstruct import Reconstruction, Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.rl.features.feature_builder import FeatureResult
from order_book_platform.settings import Settings, load_settings
from order_book_platform.sources import IngestResult, LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform_tests.lake import write_settings


@dataclass(frozen=True)
class Chain:
    """A store and settings to run components with."""

    store: DataStore
    settings: Settings

    @classmethod
    def over(cls, folder: Path, lake_root: Path, keys: Sequence[PartitionKey], **sections: object) -> Chain:
        """A chain that reads `lake_root` and publishes below `folder`."""
        settings = load_settings(write_settings(folder, lake_root=str(lake_root), keys=keys, **sections))
        return cls(DataStore(settings.data_root), settings)

    def books(
        self, key: PartitionKey
    ) -> tuple[IngestResult, PublishedReport, PublishedReport, Reconstruction]:
        """Everything up to `reconstructed_books`."""
        return (
            LakeIngest(self.store, self.settings).run(key),
            GapReporter(self.store, self.settings).run(key),
            DataAssessor(self.store, self.settings).run(key),
            Reconstructor(self.store, self.settings).run(key),
        )

    def all(self, key: PartitionKey) -> tuple[PublishedReport, FidelityReport, FeatureResult]:
        """All six assets; the results of those that judge or end the chain."""
        _, gaps, _, _ = self.books(key)
        return (
            gaps,
            FidelityReporter(self.store, self.settings).run(key),
            FeatureBuilder(self.store, self.settings).run(key),
        )


def failed(gates: Sequence[GateResult]) -> set[str]:
    """Names of the gates that do not hold."""
    return {gate.name for gate in gates if not gate.passed}
