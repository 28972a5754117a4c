"""Definitions of two symbols: without data, and a run of all assets on a small simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, to_dagster
from order_book_platform.model import PartitionKey
from order_book_platform.simulate import MarketSimulator
from order_book_platform.simulate.market_profile import profile

KEY = PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-08")

SETTINGS = """
lake_root = "lake"
data_root = "store"
first_day = "2024-08-08"

[[instruments]]
symbol = "BINANCE:BTC-USDT"

[[instruments]]
symbol = "BINANCE_FUTURES:BTC-USDT-PERP"
"""


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The resource over an empty store."""
    file: Path = tmp_path_factory.mktemp("defs") / "platform.toml"
    file.write_text(SETTINGS)
    return Platform.from_file(file)


@pytest.fixture(scope="session")
def definitions(platform: Platform) -> dg.Definitions:
    """All definitions."""
    return build_definitions(platform)


@dataclass(frozen=True)
class Run:
    """A run of all assets.

    Attributes:
        platform: the resource it used.
        instance: where it was recorded.
        result: of the job.
    """

    platform: Platform
    instance: dg.DagsterInstance
    result: dg.ExecuteInProcessResult

    def metadata(self, asset: str) -> dict[str, dg.MetadataValue]:
        """Of the asset's materialization."""
        (event,) = self.result.asset_materializations_for_node(asset)
        return dict(event.metadata)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All six assets of a simulated partition."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "platform.toml").write_text(SETTINGS)
    MarketSimulator(profile("btc-spot"), seed=1).write(folder / "lake", KEY, 1_200)
    platform = Platform.from_file(folder / "platform.toml")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(platform).resolve_job_def(MATERIALIZE_JOB)
        yield Run(
            platform, instance, job.execute_in_process(instance=instance, partition_key=to_dagster(KEY))
        )
