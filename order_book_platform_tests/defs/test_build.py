"""A snapshot of the definitions: what changes here changes what users see, and backfills."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from order_book_platform import defs
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.defs import FIDELITY_JOB, MATERIALIZE_JOB, Platform, build_definitions
from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.fidelity import CHECKS as FIDELITY_CHECKS
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.version import code_version

DEPENDENCIES = {
    "lake/book_delta_v2": [],
    "lake/book": [],
    "lake/trades": [],
    "raw_deltas": ["lake/book", "lake/book_delta_v2", "lake/trades"],
    "sequence_gap_report": ["raw_deltas"],
    "data_assessment": ["raw_deltas", "sequence_gap_report"],
    "reconstructed_books": ["data_assessment", "raw_deltas", "sequence_gap_report"],
    "fidelity_report": ["raw_deltas", "reconstructed_books", "sequence_gap_report"],
    "rl_features": ["raw_deltas", "reconstructed_books"],
}

CHECKS = {
    "sequence_gap_report": ["gap_ratio"],
    "data_assessment": [
        "book_crossed",
        "day_coverage",
        "decimals",
        "deltas",
        "duplicates",
        "gap_ratio",
        "impossible",
        "increments",
        "latency_negative",
        "latency_p50_ms",
        "memory",
        "messages",
        "off_grid",
        "origin_coverage",
        "origin_valid",
        "proven_losses",
        "seed",
        "snapshots_sound",
        "tick_changes",
        "unsorted",
    ],
    "fidelity_report": [
        "bbo_exact_seq",
        "bbo_known_share",
        "bbo_rms_seq_ask",
        "bbo_rms_seq_bid",
        "crossed_tw",
        "depth_corr_pearson",
        "depth_corr_pearson_detrended",
        "depth_corr_spearman",
        "depth_corr_spearman_detrended",
        "depth_l1",
        "inferred_gap_ratio",
        "ks_log_q_ask",
        "ks_log_q_bid",
        "ks_qi_1",
        "ks_qi_5",
        "ks_spread",
        "latency_p50",
        "origin_coverage",
        "origin_valid",
        "out_of_order_rows",
        "placebo_fails",
        "resyncs",
        "topk_exact",
        "topk_exact_all",
        "topk_ghost",
        "topk_known_share",
        "topk_missing",
        "unseen_references",
    ],
    "rl_features": ["feature_rows", "ofi_share", "qi_share", "time_regressions", "valid_share"],
}


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> dg.AssetGraph:
    """Every asset with its edges."""
    return definitions.resolve_asset_graph()


def test_keys_and_dependencies(graph: dg.AssetGraph) -> None:
    """Lineage starts at the source files; each asset depends on what its component reads."""
    found = {
        node.key.to_user_string(): sorted(parent.to_user_string() for parent in node.parent_keys)
        for node in graph.asset_nodes
    }
    assert found == DEPENDENCIES


def test_source_files_are_external(graph: dg.AssetGraph) -> None:
    """The lake's tables cannot be materialized here; the six assets can."""
    assert sorted(key.to_user_string() for key in graph.external_asset_keys) == [
        "lake/book",
        "lake/book_delta_v2",
        "lake/trades",
    ]
    assert {key.to_user_string() for key in graph.executable_asset_keys} == {
        declared.name for declared in ASSETS
    }


def test_partitions(graph: dg.AssetGraph) -> None:
    """All assets share (day, symbol): UTC days from first_day to the last finished one, times the listed symbols."""
    (partitions,) = {node.partitions_def for node in graph.asset_nodes}
    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    keys = partitions.get_partition_keys(current_time=datetime(2024, 8, 10, 0, 0, 1, tzinfo=UTC))
    assert keys == [
        "2024-08-08|BINANCE:BTC-USDT",
        "2024-08-08|BINANCE_FUTURES:BTC-USDT-PERP",
        "2024-08-09|BINANCE:BTC-USDT",
        "2024-08-09|BINANCE_FUTURES:BTC-USDT-PERP",
    ]


def test_checks(graph: dg.AssetGraph) -> None:
    """One check per gate, recorded per partition, described; in the way of other assets only without any message."""
    found: dict[str, list[str]] = {}
    for key in sorted(graph.asset_check_keys):
        found.setdefault(key.asset_key.to_user_string(), []).append(key.name)
        check = graph.get_check_spec(key)
        assert check.partitions_def == graph.get(key.asset_key).partitions_def
        assert check.description
        assert not check.description.startswith("See "), key
        assert not check.description.startswith("See ")
        assert check.blocking == (key.name in ("deltas", "messages"))
    assert found == CHECKS


def test_gates_are_the_components() -> None:
    """What the components call their gates is what the catalogue declares."""
    declared = {asset.name: set(asset.gates) for asset in ASSETS}
    assert declared["sequence_gap_report"] == set(GapReporter.GATES)
    assert declared["data_assessment"] == set(DataAssessor.GATES)
    assert declared["fidelity_report"] == set(FIDELITY_CHECKS)


def test_every_asset_is_described(graph: dg.AssetGraph) -> None:
    """Description, group, kinds, owner and code version are there for people to read."""
    for node in graph.asset_nodes:
        assert node.description
        assert node.group_name == "order_books"
        assert node.kinds
        if node.is_materializable:
            assert node.owners == ["team:market-data"]
            assert node.code_version == code_version(DATASETS[node.key.to_user_string()].component)
            assert node.tags["component"] == node.key.to_user_string()


def test_jobs_schedules_sensors(definitions: dg.Definitions) -> None:
    """Two jobs in process, the schedule off and both sensors on until somebody says otherwise."""
    repository = definitions.get_repository_def()
    jobs = {job.name: job for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert set(jobs) == {MATERIALIZE_JOB, FIDELITY_JOB}
    assert {job.executor_def.name for job in jobs.values()} == {"in_process"}
    assert [str(key) for key in jobs[FIDELITY_JOB].asset_layer.executable_asset_keys] == [
        "AssetKey(['fidelity_report'])"
    ]
    schedule = definitions.resolve_schedule_def("daily_partitions")
    assert schedule.cron_schedule == "0 6 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    sensors = {sensor.name: sensor for sensor in definitions.get_repository_def().sensor_defs}
    assert {name: sensor.job_name for name, sensor in sensors.items()} == {
        "fidelity_of_new_books": FIDELITY_JOB,
        "captured_days": MATERIALIZE_JOB,
    }
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}


def test_definitions_load_without_warnings(platform: Platform) -> None:
    """Everything resolves; warnings are errors in these tests."""
    definitions = build_definitions(platform)
    dg.Definitions.validate_loadable(definitions)
    loaded = {key.path[-1] for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert loaded >= {dataset.asset for dataset in DATASETS.values()}


def test_books_that_continue_the_day_before_depend_on_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If configured, books depend on the same symbol's books of the day before, so that backfills go day by day."""
    monkeypatch.setenv("OBP_RECONSTRUCT__CONTINUE_PREVIOUS_DAY", "true")
    graph = build_definitions(Platform.from_file(platform.settings_file)).resolve_asset_graph()
    books = graph.get(dg.AssetKey("reconstructed_books"))
    assert books.key in books.parent_keys
    assert books.partitions_def is not None

    def before(day: str) -> list[str]:
        subset = books.partitions_def.subset_with_partition_keys([f"{day}|BINANCE:BTC-USDT"])
        mapped = books.partition_mappings[books.key].get_upstream_mapped_partitions_result_for_partitions(
            subset, books.partitions_def, books.partitions_def
        )
        assert mapped.required_but_nonexistent_subset.is_empty
        return list(mapped.partitions_subset.get_partition_keys())

    assert before("2024-08-09") == ["2024-08-08|BINANCE:BTC-USDT"]
    assert before("2024-08-08") == []


def test_a_process_ends_at_once() -> None:
    """At its exit Python finds nothing to collect, whichever way in imported the definitions."""
    code = (
        "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects()) < gc.get_freeze_count())); "
        "import order_book_platform.defs"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_annotations_are_not_postponed() -> None:
    """Dagster reads the annotation of an asset's `context`, which has to be a class and not its name."""
    for path in Path(defs.__file__).parent.glob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(encoding="utf-8"), path.name


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
