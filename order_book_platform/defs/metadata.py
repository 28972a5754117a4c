"""What a materialization says of itself in the UI: rows, spans, hashes, columns, gates, pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import dagster as dg
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.defs.columns import column_description
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.plots import data_uri
from order_book_platform.reconstruct import Reconstruction
from order_book_platform.storage import DataStore, Manifest, ParquetRows

TIME_COLUMNS = ("origin_time", "received_time", "time")


def partition_metadata(
    store: DataStore, key: PartitionKey, manifest: Manifest
) -> dict[str, dg.MetadataValue]:
    """Metadata every dataset has: where it is, how much it is, what it spans, what it was made from."""
    folder = store.folder(manifest.dataset, key)
    metadata: dict[str, dg.MetadataValue] = {"path": dg.MetadataValue.path(str(folder))}
    if "report.html" in manifest.files:
        page = store.path(manifest.dataset, key, "report.html")
        metadata["report page"] = dg.MetadataValue.path(str(page))
        metadata["report link"] = dg.MetadataValue.url(page.absolute().as_uri())
    if "report.md" in manifest.files:
        metadata["report"] = dg.MetadataValue.md((folder / "report.md").read_text(encoding="utf-8"))
    if manifest.main_rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(manifest.main_rows)
        metadata["dagster/partition_row_count"] = dg.MetadataValue.int(manifest.main_rows)
        metadata |= table_metadata(store.rows(manifest.dataset, key))
    return metadata | {
        "size": dg.MetadataValue.text(
            _megabytes(sum(int(file["bytes"]) for file in manifest.files.values()))
        ),
        "files": dg.MetadataValue.md(_files_table(manifest)),
        "fingerprint": dg.MetadataValue.text(manifest.fingerprint),
        "inputs": dg.MetadataValue.json(manifest.inputs),
        "details": dg.MetadataValue.json(manifest.metadata),
    }


def highlights_metadata(manifest: Manifest, names: Sequence[str]) -> dict[str, dg.MetadataValue]:
    """Chosen entries of the manifest's metadata, one line each."""
    return {name.replace("_", " "): dg.MetadataValue.text(str(manifest.metadata[name])) for name in names}


def stream_metadata(result: Reconstruction) -> dict[str, dg.MetadataValue]:
    """How a reconstruction went: what it resumed from, and what each stage did and waited for."""
    rows = [
        "| stage | rows | MB | busy s | waited for input s | waited for room s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for stage in result.metrics.stages:
        times = (stage.busy_ns, stage.blocked_up_ns, stage.blocked_down_ns)
        seconds = " | ".join(f"{ns / NS_PER_SECOND:.1f}" for ns in times)
        rows.append(f"| {stage.stage} | {stage.rows:,} | {stage.bytes / 1e6:,.1f} | {seconds} |")
    return {
        "stages": dg.MetadataValue.md("\n".join(rows)),
        "run": dg.MetadataValue.json(
            {**asdict(result.run), "pressure transitions": dict(result.metrics.transitions)}
        ),
    }


def siblings_metadata(
    store: DataStore, key: PartitionKey, datasets: Sequence[str]
) -> dict[str, dg.MetadataValue]:
    """Where the datasets are that are published together with an asset, and how many rows they have."""
    metadata: dict[str, dg.MetadataValue] = {}
    for dataset in datasets:
        manifest = store.manifest(dataset, key)
        metadata[f"{dataset} path"] = dg.MetadataValue.path(str(store.folder(dataset, key)))
        metadata[f"{dataset} rows"] = dg.MetadataValue.int(manifest.main_rows or 0)
        metadata[f"{dataset} fingerprint"] = dg.MetadataValue.text(manifest.fingerprint)
    return metadata


def table_metadata(table: ParquetRows) -> dict[str, dg.MetadataValue]:
    """Column schema and time spans of a table, from its files' footers alone."""
    metadata: dict[str, dg.MetadataValue] = {}
    for name in TIME_COLUMNS:
        span = table.span(name)
        if span is not None:
            metadata[f"{name} span"] = dg.MetadataValue.text(" → ".join(iso_from_ns(ns) for ns in span))
    return metadata | {"dagster/column_schema": dg.MetadataValue.table_schema(column_schema(table.schema))}


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """Dagster's table schema of an arrow schema, with what each column means."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                type=str(field.type),
                description=column_description(field.name),
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def gates_metadata(gates: Sequence[GateResult]) -> dict[str, dg.MetadataValue]:
    """The gates as one table; nothing where there are none."""
    if not gates:
        return {}
    lines = ["| gate | value | bar | n | result |", "|---|---:|---|---:|---|"]
    lines += [
        f"| {gate.name} | {'-' if gate.value is None else f'{gate.value:.6g}'} | {gate.gate} | {gate.n:,} | "
        f"{'pass' if gate.passed else '**' + str(gate.severity) + '**'} |"
        for gate in gates
    ]
    failed = sum(not gate.passed for gate in gates)
    return {
        "gates": dg.MetadataValue.md("\n".join(lines)),
        "gates failed": dg.MetadataValue.int(failed),
    }


def picture(svg: str, title: str) -> dg.MetadataValue:
    """A drawing shown inside the page; it is stored in the event log, so it has to be small."""
    return dg.MetadataValue.md(f"![{title}]({data_uri(svg.encode(), 'svg+xml')})")


def pictures_metadata(pictures: Mapping[str, str]) -> dict[str, dg.MetadataValue]:
    """Title to picture."""
    return {title: picture(svg, title) for title, svg in pictures.items()}


def _files_table(manifest: Manifest) -> str:
    lines = ["| file | rows | size | sha256 |", "|---|---:|---:|---|"]
    lines += [
        f"| {name} | {_count(manifest.rows.get(name))} | {_megabytes(int(file['bytes']))} "
        f"| `{file['sha256'][:16]}…` |"
        for name, file in sorted(manifest.files.items())
    ]
    return "\n".join(lines)


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.3f} MB"
