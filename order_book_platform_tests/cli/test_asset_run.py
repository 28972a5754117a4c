"""Running assets in this process: the run that is recorded, the selection, and errors without Dagster's wrapping."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from order_book_platform.cli.asset_run import TAGS, RunOutcome, run_assets
from order_book_platform.cli.display.run_display import AssetOutcome
from order_book_platform.cli.group import Invocation
from order_book_platform.cli.instance import dagster_instance
from order_book_platform.errors import PartitionMissingError, SettingsError, SourceMissingError
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record beside the settings, not in the caller's instance."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def run(platform: Platform, key: PartitionKey, *assets: str) -> RunOutcome:
    """Run assets of a partition."""
    invocation = Invocation(platform.config)
    return run_assets(invocation, invocation.settings(), key, assets)


def test_a_run_is_recorded_with_its_outcomes(
    materialized: tuple[Platform, Any], key: PartitionKey, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only the wanted assets are made; the instance knows the run and who started it."""
    platform, _ = materialized
    outcome = run(platform, key, "rl_features", "sequence_gap_report")
    assert outcome.key == key
    assert {asset.manifest.dataset for asset in outcome.assets} == {"sequence_gap_report", "rl_features"}
    assert outcome.passed
    assert {name for name, _ in outcome.gates} == {"sequence_gap_report", "rl_features"}
    with dagster_instance(platform.config) as instance:
        recorded = instance.get_run_by_id(outcome.run_id)
    assert recorded is not None
    assert recorded.status is dg.DagsterRunStatus.SUCCESS
    assert recorded.tags.items() >= TAGS.items()
    assert "rl_features" in capfd.readouterr().err


def test_what_the_user_can_put_right_is_raised_as_it_is(empty: Platform) -> None:
    """Unknown assets, unfinished days, missing files and missing inputs are the platform's own errors."""
    key = PartitionKey.parse(SYMBOL, DAY)
    with pytest.raises(SettingsError, match="--select: expected names among raw_deltas"):
        run(empty, key, "books")
    with pytest.raises(SettingsError, match="--day: expected a UTC day that has ended"):
        run(empty, PartitionKey.parse(SYMBOL, "2999-01-01"))
    with pytest.raises(SourceMissingError):
        run(empty, key)
    with pytest.raises(PartitionMissingError):
        run(empty, key, "rl_features")


def test_only_gates_of_severity_error_fail_a_run(
    materialized: tuple[Platform, Any], key: PartitionKey
) -> None:
    """A warning is shown, and the run has passed all the same."""
    platform, _ = materialized
    manifest = DataStore(platform.store).manifest("rl_features", key)
    for severity, passed in ((Severity.ERROR, False), (Severity.WARN, True)):
        gate = GateResult.of("share", 0.1, Gate(">=", 0.9, severity), n=1)
        outcome = RunOutcome(key, "run", [AssetOutcome(manifest, (gate,), 1.0)])
        assert outcome.passed is passed
        assert outcome.gates == [("rl_features", gate)]
