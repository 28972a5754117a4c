"""The assets, run in process on a small simulated day: metadata, checks, failures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, partitions_of, to_dagster
from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.defs.assets import (
    GROUP,
    TABLES,
    check_result,
    check_specs,
    failures_named,
    lake_specs,
)
from order_book_platform.errors import SourceMissingError
from order_book_platform.model import Gate, GateResult, Severity
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.simulate import MarketSimulator
from order_book_platform.simulate.market_profile import profile
from order_book_platform.storage import DataStore
from order_book_platform_tests.defs.conftest import KEY, SETTINGS, Run

LARGEST_PICTURE = 120_000


@pytest.mark.parametrize("name", [declared.name for declared in ASSETS])
def test_metadata_says_what_was_published(run: Run, name: str) -> None:
    """Path, fingerprint, rows and spans are those of the published partition."""
    store: DataStore = run.platform.store
    manifest = store.manifest(name, KEY)
    metadata = run.metadata(name)
    assert metadata["path"].value == str(store.folder(name, KEY))
    assert metadata["fingerprint"].value == manifest.fingerprint
    assert metadata["inputs"].value == manifest.inputs
    if DATASETS[name].table_file.endswith(".parquet"):
        assert metadata["dagster/row_count"].value == manifest.main_rows
        assert metadata["dagster/partition_row_count"].value == manifest.main_rows


def test_spans_are_those_of_the_rows(run: Run) -> None:
    """Times in the metadata are the first and the last of the file, in UTC."""
    times = run.platform.store.frame("raw_deltas", KEY).select("received_time").collect()["received_time"]
    span = run.metadata("raw_deltas")["received_time span"].value
    assert span.startswith("2024-08-08T00:0")
    first, last = span.split(" → ")
    assert (first, last) == (_iso(times.min()), _iso(times.max()))


def _iso(ns: Any) -> str:
    from order_book_platform.clock import iso_from_ns

    return iso_from_ns(ns)


def test_every_column_is_explained(run: Run) -> None:
    """The column table of each asset has dtype, nullability and a sentence for every column."""
    for declared in ASSETS:
        if not DATASETS[declared.name].table_file.endswith(".parquet"):
            continue
        schema = run.metadata(declared.name)["dagster/column_schema"].value
        file = run.platform.store.rows(declared.name, KEY).schema
        assert [column.name for column in schema.columns] == file.names
        for column in schema.columns:
            assert column.description, f"{declared.name}.{column.name}"
            assert column.type == str(file.field(column.name).type)
            assert column.constraints.nullable == file.field(column.name).nullable


@pytest.mark.parametrize(
    ("asset", "titles"),
    [
        ("sequence_gap_report", ["Gaps over time"]),
        ("reconstructed_books", ["Depth over time"]),
        (
            "fidelity_report",
            ["Error over time", "Levels over time", "Levels: match and correlation", "Distributions"],
        ),
    ],
)
def test_pictures_are_small_drawings(run: Run, asset: str, titles: list[str]) -> None:
    """Plots stand in the metadata as SVG that stands alone and that the event log can bear."""
    metadata = run.metadata(asset)
    for title in titles:
        text = str(metadata[title].value)
        start = f"![{title}](data:image/svg+xml;base64,"
        assert text.startswith(start)
        assert text.endswith(")")
        svg = base64.b64decode(text[len(start) : -1], validate=True)
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert len(svg) < LARGEST_PICTURE


def test_siblings_and_highlights(run: Run) -> None:
    """Snapshots and trades show with raw_deltas; verdict and replay hash have lines of their own."""
    store = run.platform.store
    deltas = run.metadata("raw_deltas")
    for name in ("snapshots", "trades"):
        assert deltas[f"{name} rows"].value == store.manifest(name, KEY).main_rows
    books = store.manifest("reconstructed_books", KEY)
    assert run.metadata("reconstructed_books")["replay hash"].value == books.metadata["replay_hash"]
    assert run.metadata("data_assessment")["verdict"].value == "go"
    assert str(run.metadata("data_assessment")["report"].value).startswith(
        "# BINANCE:BTC-USDT 2024-08-08: go"
    )
    report = run.metadata("fidelity_report")
    assert str(report["report page"].value).endswith("report.html")
    page = Path(unquote(urlsplit(str(report["report link"].value)).path)).read_text()
    gates = store.report("fidelity_report", KEY)["gates"]
    failed = [gate["name"] for gate in gates if not gate["passed"] and gate["severity"] == "error"]
    assert str(report["verdict"].value).startswith(
        f"not faithful: {', '.join(failed)}" if failed else "faithful"
    )
    assert ("Not faithful" in page) == bool(failed)


def test_checks_are_recorded_for_the_partition(run: Run) -> None:
    """Every declared check has one result with figure, bar and count, kept under this partition."""
    evaluations = run.result.get_asset_check_evaluations()
    found = {(each.asset_key.to_user_string(), each.check_name): each for each in evaluations}
    assert set(found) == {(declared.name, gate) for declared in ASSETS for gate in declared.gates}
    report = run.platform.store.report("fidelity_report", KEY)
    for gate in report["gates"]:
        check = found["fidelity_report", gate["name"]]
        assert check.partition == to_dagster(KEY)
        assert check.passed == gate["passed"]
        assert check.severity.value.lower() == gate["severity"]
        assert check.metadata["bar"].value == gate["gate"]
        assert check.metadata["n"].value == gate["n"]
        if gate["value"] is not None:
            assert check.metadata["value"].value == gate["value"]


def test_gates_stand_in_a_table(run: Run) -> None:
    """The gates show at a glance, failed ones in bold."""
    metadata = run.metadata("rl_features")
    rows = str(metadata["gates"].value).splitlines()
    assert rows[2].startswith("| feature_rows | ")
    assert metadata["gates failed"].value == sum("**" in row for row in rows)


def test_data_versions_follow_the_content(run: Run) -> None:
    """Dagster's data version is the partition's fingerprint: equal data do not make downstream assets stale."""
    (event,) = run.result.asset_materializations_for_node("raw_deltas")
    assert event.tags is not None
    fingerprint = run.platform.store.manifest("raw_deltas", KEY).fingerprint
    assert event.tags["dagster/data_version"] == fingerprint


def test_progress_is_logged(run: Run) -> None:
    """The run's log has lines of progress from the components."""
    lines = [
        record.event_log_entry.user_message
        for record in run.instance.get_records_for_run(run.result.run_id).records
        if record.event_log_entry.dagster_event is None
    ]
    assert any(line.startswith("deltas: ") for line in lines)


def test_users_errors_become_failures_without_retries() -> None:
    """What a user can put right is a failure with its parts as metadata; a bug stays what it is."""
    with pytest.raises(dg.Failure) as caught, failures_named():
        raise SourceMissingError(expected="files", found="none", where="lake", remedy="Download them.")
    assert caught.value.allow_retries is False
    assert caught.value.description == "lake: expected files, found none. Download them."
    assert {name: value.value for name, value in caught.value.metadata.items()} == {
        "where": "lake",
        "expected": "files",
        "found": "none",
        "remedy": "Download them.",
    }
    with pytest.raises(ZeroDivisionError), failures_named():
        raise ZeroDivisionError


def test_missing_source_fails_the_run_and_skips_the_rest(platform: Platform) -> None:
    """Without files the first asset fails with the component's words, and nothing after it runs."""
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(platform).resolve_job_def(MATERIALIZE_JOB)
        result = job.execute_in_process(
            instance=instance, partition_key=to_dagster(KEY), raise_on_error=False
        )
    assert not result.success
    failure = result.failure_data_for_node("raw_deltas")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "Set lake_root" in failure.user_failure_data.metadata["remedy"].value
    assert not result.get_asset_materialization_events()


def test_no_book_is_made_of_a_single_message(tmp_path: Path) -> None:
    """Nearly everything is gone from the files: the assessment says so, its check is red, and nothing follows."""
    (tmp_path / "platform.toml").write_text(SETTINGS)
    MarketSimulator(profile("btc-spot"), seed=1).write(tmp_path / "lake", KEY, 200)
    for file in (tmp_path / "lake" / "book_delta_v2").rglob("*.parquet"):
        deltas = pq.read_table(file, partitioning=None)
        first = deltas.column("sequence_number")[0]
        pq.write_table(deltas.filter(pc.equal(deltas.column("sequence_number"), first)), file)
    platform = Platform.from_file(tmp_path / "platform.toml")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(platform).resolve_job_def(MATERIALIZE_JOB)
        result = job.execute_in_process(
            instance=instance, partition_key=to_dagster(KEY), raise_on_error=False
        )
        failed = {
            each.check_name
            for each in result.get_asset_check_evaluations()
            if not each.passed and each.blocking
        }
    assert not result.success
    assert failed == {"messages"}
    assert platform.store.report("data_assessment", KEY)["verdict"] == "no-go"
    assert not platform.store.exists("reconstructed_books", KEY)


PARTITIONS = dg.StaticPartitionsDefinition(["one", "two"])


def test_each_gate_is_a_partitioned_check() -> None:
    """Name, description, partitions and whether it blocks are those that were declared, without a warning."""
    gates = {"rows": "Number of rows.", "share": "Share of rows."}
    specs = check_specs("books", gates, PARTITIONS, frozenset({"rows"}))
    assert [(spec.name, spec.description, spec.blocking) for spec in specs] == [
        ("rows", "Number of rows.", True),
        ("share", "Share of rows.", False),
    ]
    assert {spec.asset_key for spec in specs} == {dg.AssetKey("books")}
    assert {spec.partitions_def for spec in specs} == {PARTITIONS}


@pytest.mark.parametrize(
    ("severity", "shown"),
    [(Severity.ERROR, dg.AssetCheckSeverity.ERROR), (Severity.WARN, dg.AssetCheckSeverity.WARN)],
)
def test_an_outcome_is_shown_as_it_is(severity: Severity, shown: dg.AssetCheckSeverity) -> None:
    """Figure, bar, count, severity and note of a gate reach the check."""
    gate = GateResult.of("share", 0.5, Gate(">=", 0.9, severity), n=10, note="Share of rows.")
    result = check_result(gate)
    assert (result.check_name, result.passed, result.severity) == ("share", False, shown)
    assert result.description == "Share of rows."
    assert {name: value.value for name, value in result.metadata.items()} == {
        "bar": ">= 0.9",
        "n": 10,
        "value": 0.5,
    }


def test_a_figure_that_could_not_be_measured_is_left_out() -> None:
    """A missing figure is not shown as 0, and an empty note not as an empty line."""
    result = check_result(GateResult.of("share", None, Gate(">=", 0.9), n=0))
    assert not result.passed
    assert result.description is None
    assert set(result.metadata) == {"bar", "n"}


def test_each_table_is_an_external_asset(platform: Platform) -> None:
    """Key, group, partitions and the pattern of the files follow from table and settings."""
    partitions = partitions_of(platform.settings)
    specs = lake_specs(platform.settings, partitions)
    assert [spec.key.to_user_string() for spec in specs] == [f"lake/{table}" for table in TABLES]
    for table, spec in zip(TABLES, specs, strict=True):
        assert spec.group_name == GROUP
        assert spec.partitions_def == partitions
        assert spec.description == f"The table `{table}` of Crypto Lake. {TABLES[table]}"
        files = str(spec.metadata["files"].value)
        assert files.startswith(str(platform.settings.lake_root / table))
        assert files.endswith("*.parquet")
