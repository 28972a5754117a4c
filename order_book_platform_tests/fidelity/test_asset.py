"""The report as an asset: a partition with tickers has gates that are no declared checks."""

from __future__ import annotations

import dagster as dg

from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, to_dagster
from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import KEY, exact_tickers, make_settings, publish
from order_book_platform_tests.oracle import OracleReplay

(FIDELITY_REPORT,) = (each for each in ASSETS if each.name == "fidelity_report")


def test_gates_of_tickers_stand_in_the_metadata(store: DataStore, replayed: OracleReplay) -> None:
    """Materializing succeeds, records exactly the declared checks and lists the gates of tickers in the table."""
    publish(store, "tickers", {"tickers.parquet": exact_tickers(replayed)})
    platform = Platform(store.root.parent / "platform.toml", make_settings(store.root.parent))
    asset = dg.AssetKey(FIDELITY_REPORT.name)
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(platform).resolve_job_def(MATERIALIZE_JOB)
        result = job.execute_in_process(
            instance=instance, partition_key=to_dagster(KEY), asset_selection=[asset]
        )
        checks = {each.check_name: each.severity.value for each in result.get_asset_check_evaluations()}
        (event,) = result.asset_materializations_for_node(FIDELITY_REPORT.name)
    assert result.success
    assert set(checks) == set(FIDELITY_REPORT.gates)
    assert {name for name, severity in checks.items() if severity == "WARN"} == {
        "bbo_known_share",
        "latency_p50",
        "origin_coverage",
        "topk_exact_all",
    }
    table = str(event.metadata["gates"].value)
    for name in ("bbo_exact_seq", "bbo_rms_seq_bid", "bbo_rms_seq_ask", "bbo_known_share"):
        assert f"| {name}_tickers |" in table
