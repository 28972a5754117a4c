"""The fidelity sensor, evaluated: every book gets its report, whatever comes between two ticks."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.storage.dagster_run import DagsterRun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_book_platform.defs import sensors
from order_book_platform.defs.sensors import Cursor, NewBook, evaluate

BTC = "2024-08-08|BINANCE:BTC-USDT"
PERP = "2024-08-08|BINANCE_FUTURES:BTC-USDT-PERP"
NEXT = "2024-08-09|BINANCE:BTC-USDT"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def start_run(instance: dg.DagsterInstance) -> str:
    """A run that is going."""
    run = instance.add_run(DagsterRun(job_name="materialize_partition", status=dg.DagsterRunStatus.STARTED))
    return run.run_id


def end_run(instance: dg.DagsterInstance, run_id: str, *, failed: bool = False) -> None:
    """Let a run end."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    if failed:
        instance.report_run_failed(run)
    else:
        kind = dg.DagsterEventType.PIPELINE_SUCCESS
        instance.report_dagster_event(DagsterEvent(kind.value, job_name=run.job_name), run_id=run_id)


def materialize(
    instance: dg.DagsterInstance, asset: str, partition: str, content: str, run_id: str | None = None
) -> int:
    """Record a materialization; `content` stands for the books' fingerprint. Returns its storage id."""
    metadata: dict[str, dg.MetadataValue] = {"fingerprint": dg.MetadataValue.text(content)}
    if asset == "fidelity_report":
        metadata = {"inputs": dg.MetadataValue.json({"reconstructed_books": content})}
    event = dg.AssetMaterialization(asset, partition=partition, metadata=metadata)
    if run_id is None:
        instance.report_runless_asset_event(event)
    else:
        data = StepMaterializationData(event)
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        instance.report_dagster_event(
            DagsterEvent(kind.value, job_name="materialize_partition", event_specific_data=data),
            run_id=run_id,
        )
    records = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset))
    return instance.fetch_materializations(records, limit=1).records[0].storage_id


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[str | None], str | None]:
    """Evaluate once; returns the run keys and the next cursor."""
    result = evaluate(instance, Cursor.parse(cursor))
    for request in result.run_requests or []:
        assert request.run_key == f"{request.partition_key}@{str(request.run_key).rsplit('@', 1)[1]}"
    return [request.run_key for request in result.run_requests or []], result.cursor


def test_every_book_between_two_ticks_is_seen(instance: dg.DagsterInstance) -> None:
    """Several partitions that arrive between two ticks get one request each, in the order they came."""
    ids = [materialize(instance, "reconstructed_books", partition, "a") for partition in (BTC, PERP, NEXT)]
    keys, cursor = tick(instance, None)
    assert keys == [f"{partition}@{number}" for partition, number in zip((BTC, PERP, NEXT), ids, strict=True)]
    assert tick(instance, cursor)[0] == []
    number = materialize(instance, "reconstructed_books", PERP, "b")
    assert tick(instance, cursor)[0] == [f"{PERP}@{number}"]


def test_same_partition_twice_is_one_request(instance: dg.DagsterInstance) -> None:
    """Only the latest books of a partition matter."""
    materialize(instance, "reconstructed_books", BTC, "a")
    number = materialize(instance, "reconstructed_books", BTC, "b")
    assert tick(instance, None)[0] == [f"{BTC}@{number}"]


def test_repeated_tick_repeats_its_run_keys(instance: dg.DagsterInstance) -> None:
    """A tick that is evaluated again from the same cursor asks for the same runs, which Dagster then launches once."""
    materialize(instance, "reconstructed_books", BTC, "a")
    assert tick(instance, None) == tick(instance, None)


def test_more_than_one_tick_can_take(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit per tick delays requests and loses none."""
    monkeypatch.setattr(sensors, "EVENTS_PER_TICK", 2)
    partitions = [f"2024-08-{day:02d}|BINANCE:BTC-USDT" for day in range(8, 13)]
    for partition in partitions:
        materialize(instance, "reconstructed_books", partition, "a")
    cursor: str | None = None
    found: list[str | None] = []
    for _ in range(3):
        keys, cursor = tick(instance, cursor)
        found += keys
    assert [str(key).split("@")[0] for key in found] == partitions


def test_run_that_reports_itself_is_left_alone(instance: dg.DagsterInstance) -> None:
    """While the run that made the books goes on, and after it has written their report, nothing is requested."""
    run_id = start_run(instance)
    materialize(instance, "reconstructed_books", BTC, "a", run_id)
    keys, cursor = tick(instance, None)
    assert keys == []
    materialize(instance, "fidelity_report", BTC, "a", run_id)
    end_run(instance, run_id)
    keys, cursor = tick(instance, cursor)
    assert keys == []
    assert Cursor.parse(cursor).waiting == ()


def test_run_that_dies_before_its_report_is_made_up_for(instance: dg.DagsterInstance) -> None:
    """Books whose run failed before the report get one, also if nothing else has happened since."""
    run_id = start_run(instance)
    number = materialize(instance, "reconstructed_books", BTC, "a", run_id)
    keys, cursor = tick(instance, None)
    assert keys == []
    end_run(instance, run_id, failed=True)
    keys, cursor = tick(instance, cursor)
    assert keys == [f"{BTC}@{number}"]
    assert tick(instance, cursor)[0] == []


def test_waiting_books_hold_nothing_else_up(instance: dg.DagsterInstance) -> None:
    """A run that never ends keeps its own partition waiting and no other."""
    run_id = start_run(instance)
    materialize(instance, "reconstructed_books", BTC, "a", run_id)
    number = materialize(instance, "reconstructed_books", PERP, "a")
    keys, cursor = tick(instance, None)
    assert keys == [f"{PERP}@{number}"]
    assert [each.partition for each in Cursor.parse(cursor).waiting] == [BTC]


def test_report_of_older_books_does_not_count(instance: dg.DagsterInstance) -> None:
    """A report that was written after the books, but made from the ones before, is not theirs."""
    number = materialize(instance, "reconstructed_books", BTC, "new")
    materialize(instance, "fidelity_report", BTC, "old")
    assert tick(instance, None)[0] == [f"{BTC}@{number}"]


def test_report_before_the_books_does_not_count(instance: dg.DagsterInstance) -> None:
    """Books that are made again are reported again."""
    materialize(instance, "fidelity_report", BTC, "a")
    number = materialize(instance, "reconstructed_books", BTC, "a")
    assert tick(instance, None)[0] == [f"{BTC}@{number}"]


def test_books_without_fingerprint(instance: dg.DagsterInstance) -> None:
    """Events that others report, without our metadata, are taken at their word."""
    instance.report_runless_asset_event(dg.AssetMaterialization("reconstructed_books", partition=BTC))
    keys, _ = tick(instance, None)
    assert len(keys) == 1
    instance.report_runless_asset_event(dg.AssetMaterialization("fidelity_report", partition=BTC))
    assert tick(instance, None)[0] == []


def test_events_of_no_partition_are_passed_over(instance: dg.DagsterInstance) -> None:
    """An unpartitioned event moves the cursor and asks for nothing."""
    instance.report_runless_asset_event(dg.AssetMaterialization("reconstructed_books"))
    keys, cursor = tick(instance, None)
    assert keys == []
    assert Cursor.parse(cursor).after is not None


def test_cursor_survives_its_text() -> None:
    """What is stored between ticks is read back as it was."""
    cursor = Cursor(7, (NewBook(BTC, 5, "run", "abc"),))
    assert Cursor.parse(str(cursor)) == cursor
    assert Cursor.parse(None) == Cursor.parse("") == Cursor()


# Dagster's own tags for two dimensions, `dagster/partition/day`, break its own rule for tags of run requests.
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")
def test_through_the_definition(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """The sensor itself reads and writes the cursor and its requests resolve to runs of the fidelity job."""
    sensor = definitions.resolve_sensor_def("fidelity_of_new_books")
    materialize(instance, "reconstructed_books", BTC, "a")
    with dg.build_sensor_context(instance=instance, definitions=definitions) as context:
        data = sensor.evaluate_tick(context)
    assert data.run_requests is not None
    (request,) = data.run_requests
    assert request.tags["dagster/partition"] == BTC
    with dg.build_sensor_context(instance=instance, definitions=definitions, cursor=data.cursor) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    assert data.skip_message == "0 new books; 0 whose run has not ended yet."


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["books", "report", "end", "fail", "tick"]), st.sampled_from([BTC, PERP, NEXT])
    ),
    max_size=25,
)


@given(ACTIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_book_is_lost_and_none_asked_for_twice(actions: list[tuple[str, str]]) -> None:
    """In any order of events, at the end each partition's latest books were requested once or have their report."""
    with dg.DagsterInstance.ephemeral() as instance:
        running: dict[str, str] = {}
        latest: dict[str, tuple[int, str]] = {}
        reported: dict[str, str] = {}
        asked: list[str | None] = []
        cursor: str | None = None
        for step, (action, partition) in enumerate([*actions, ("tick", BTC)]):
            if action == "books":
                if partition in running:
                    end_run(instance, running.pop(partition))
                running[partition] = start_run(instance)
                content = f"content {step}"
                number = materialize(instance, "reconstructed_books", partition, content, running[partition])
                latest[partition] = (number, content)
            elif action == "report" and partition in running:
                materialize(instance, "fidelity_report", partition, latest[partition][1], running[partition])
                reported[partition] = latest[partition][1]
            elif action in ("end", "fail") and partition in running:
                end_run(instance, running.pop(partition), failed=action == "fail")
            elif action == "tick":
                keys, cursor = tick(instance, cursor)
                asked += keys
        for run_id in running.values():
            end_run(instance, run_id)
        asked += tick(instance, cursor)[0]
        assert len(asked) == len(set(asked))
        for partition, (number, content) in latest.items():
            assert (f"{partition}@{number}" in asked) != (reported.get(partition) == content)
