"""Jobs and the daily schedule: what they select, and which partitions a tick of the schedule requests."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.defs.jobs import FIDELITY_JOB, MATERIALIZE_JOB


def test_jobs_select_their_assets(definitions: dg.Definitions) -> None:
    """One job makes every asset, the other the fidelity report alone; both run in one process."""
    selected = {
        name: {
            key.to_user_string()
            for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        }
        for name in (MATERIALIZE_JOB, FIDELITY_JOB)
    }
    assert selected == {
        MATERIALIZE_JOB: {asset.name for asset in ASSETS},
        FIDELITY_JOB: {"fidelity_report"},
    }


# Dagster's own schedule builder calls what Dagster has deprecated, and sets tags that break its own rule.
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Function `JobDefinition.run_request_for_partition`:DeprecationWarning")
def test_one_run_per_symbol_for_the_day_before(definitions: dg.Definitions) -> None:
    """At six UTC each symbol's last finished day is requested once, by a key that keeps it from running twice."""
    schedule = definitions.resolve_schedule_def("daily_partitions")
    assert schedule.job_name == MATERIALIZE_JOB
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2024, 8, 10, 6, tzinfo=UTC),
            repository_def=definitions.get_repository_def(),
        )
        tick = schedule.evaluate_tick(context)
    assert tick.run_requests is not None
    assert [request.partition_key for request in tick.run_requests] == [
        "2024-08-09|BINANCE:BTC-USDT",
        "2024-08-09|BINANCE_FUTURES:BTC-USDT-PERP",
    ]
    assert [request.run_key for request in tick.run_requests] == [
        request.partition_key for request in tick.run_requests
    ]
    assert tick.run_requests[0].tags["dagster/partition/symbol"] == "BINANCE:BTC-USDT"


def test_nothing_before_the_first_day_is_over(definitions: dg.Definitions) -> None:
    """As long as no day has ended there is nothing to run, and that is no error."""
    schedule = definitions.resolve_schedule_def("daily_partitions")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2024, 8, 8, 6, tzinfo=UTC),
            repository_def=definitions.get_repository_def(),
        )
        tick = schedule.evaluate_tick(context)
    assert not tick.run_requests
    assert tick.skip_message
