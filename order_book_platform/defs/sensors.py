"""A sensor that requests a fidelity report for every reconstructed book that was made without one.

It reads materializations of `reconstructed_books` in ascending order from a cursor, so that several that
arrive between two ticks are all seen (an `@asset_sensor` sees only the latest). Books whose run is still
going are kept in the cursor until it ends, since that run may write the report itself; then a report is
requested unless one was made from exactly these books. A second materialization of a partition replaces
the first: there is one request per partition and tick, and `run_key` keeps a repeated evaluation from
launching it twice.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # the type of `define_asset_job`, which Dagster does not export
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

BOOKS = dg.AssetKey("reconstructed_books")
REPORT = dg.AssetKey("fidelity_report")
EVENTS_PER_TICK = 200


@dataclass(frozen=True)
class NewBook:
    """One materialization of `reconstructed_books` that may need a report.

    The number of the event in Dagster's storage ascends in time. Run and fingerprint are empty where not known.
    """

    partition: str
    storage_id: int
    run_id: str
    fingerprint: str


@dataclass(frozen=True)
class Cursor:
    """How far the sensor has read, kept by Dagster between ticks as text, and books whose run had not ended then."""

    after: int | None = None
    waiting: tuple[NewBook, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read the text that `str` of a cursor gives; no text is the cursor before the first event."""
        if not text:
            return cls()
        content = json.loads(text)
        return cls(content["after"], tuple(NewBook(**each) for each in content["waiting"]))

    def __str__(self) -> str:
        return json.dumps({"after": self.after, "waiting": [asdict(each) for each in self.waiting]})


def fidelity_sensor(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Declare the sensor; it is on by default, since it does nothing for runs that write their own reports."""

    @dg.sensor(
        name="fidelity_of_new_books",
        job=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs fidelity_report for every reconstructed_books partition that was made without one.",
    )
    def fidelity_of_new_books(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return evaluate(context.instance, Cursor.parse(context.cursor))

    return fidelity_of_new_books


def evaluate(instance: dg.DagsterInstance, cursor: Cursor) -> dg.SensorResult:
    """Evaluate a tick, given the cursor of the one before: request the reports that are needed, and set the cursor."""
    events = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=BOOKS, after_storage_id=cursor.after),
        limit=EVENTS_PER_TICK,
        ascending=True,
    ).records
    latest = {each.partition: each for each in (*cursor.waiting, *_new_books(events))}
    waiting = tuple(each for each in latest.values() if _is_running(instance, each.run_id))
    ended = [each for each in latest.values() if each not in waiting]
    requests = [
        dg.RunRequest(run_key=f"{each.partition}@{each.storage_id}", partition_key=each.partition)
        for each in ended
        if not _has_report(instance, each)
    ]
    after = max([event.storage_id for event in events], default=cursor.after)
    idle = f"{len(events)} new books; {len(waiting)} whose run has not ended yet."
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else idle,
        cursor=str(Cursor(after, waiting)),
    )


def _new_books(events: Iterable[dg.EventLogRecord]) -> Iterable[NewBook]:
    for event in events:
        if event.partition_key is not None and event.asset_materialization is not None:
            value = event.asset_materialization.metadata.get("fingerprint")
            fingerprint = "" if value is None else str(value.value)
            yield NewBook(event.partition_key, event.storage_id, event.event_log_entry.run_id, fingerprint)


def _is_running(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id) if run_id else None
    return run is not None and not run.is_finished


def _has_report(instance: dg.DagsterInstance, book: NewBook) -> bool:
    """Say whether the latest report was made after these books and from them."""
    reports = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=REPORT, asset_partitions=[book.partition], after_storage_id=book.storage_id
        ),
        limit=1,
    ).records
    if not reports or reports[0].asset_materialization is None:
        return False
    inputs = reports[0].asset_materialization.metadata.get("inputs")
    made_from = inputs.value if isinstance(inputs, dg.JsonMetadataValue) else None
    if not book.fingerprint or not isinstance(made_from, dict):
        return True
    return bool(made_from.get(BOOKS.to_user_string()) == book.fingerprint)
