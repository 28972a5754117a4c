"""The metadata that a materialization shows in the UI: rows, time spans, hashes, columns, gates, pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import dagster as dg
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.datasets.column_descriptions import column_description
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.plots import data_uri
from order_book_platform.reconstruct import Reconstruction
from order_book_platform.storage import DataStore, Manifest, ParquetRows

TIME_COLUMNS = ("origin_time", "received_time", "time")
"""Columns whose first and last value are shown, where a table has them."""

Metadata = dict[str, dg.MetadataValue]


def partition_metadata(store: DataStore, key: PartitionKey, manifest: Manifest) -> Metadata:
    """Describe a published partition: where it is, how large it is, what it spans and was made from."""
    folder = store.folder(manifest.dataset, key)
    metadata: Metadata = {"path": dg.MetadataValue.path(str(folder))}
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
    size_bytes = sum(int(file["bytes"]) for file in manifest.files.values())
    return metadata | {
        "size": dg.MetadataValue.text(_megabytes(size_bytes)),
        "files": _files_table(manifest),
        "fingerprint": dg.MetadataValue.text(manifest.fingerprint),
        "inputs": dg.MetadataValue.json(manifest.inputs),
        "details": dg.MetadataValue.json(manifest.metadata),
    }


def highlights_metadata(manifest: Manifest, names: Sequence[str]) -> Metadata:
    """Show chosen entries of the manifest's metadata, each on a line of its own."""
    return {name.replace("_", " "): dg.MetadataValue.text(str(manifest.metadata[name])) for name in names}


def stream_metadata(result: Reconstruction) -> Metadata:
    """Describe how a reconstruction went: what it resumed from, and what each stage did and waited for."""
    stages = []
    for stage in result.metrics.stages:
        times_ns = stage.busy_ns, stage.blocked_up_ns, stage.blocked_down_ns
        times = (f"{ns / NS_PER_SECOND:.1f}" for ns in times_ns)
        stages.append((stage.stage, f"{stage.rows:,}", f"{stage.bytes / 1e6:,.1f}", *times))
    heads = ("stage", "rows", "MB", "busy s", "waited for input s", "waited for room s")
    run = {**asdict(result.run), "pressure transitions": dict(result.metrics.transitions)}
    return {"stages": _markdown_table(heads, "-rrrrr", stages), "run": dg.MetadataValue.json(run)}


def siblings_metadata(store: DataStore, key: PartitionKey, datasets: Sequence[str]) -> Metadata:
    """Describe datasets that are published together with an asset, where they are: path, rows and fingerprint."""
    metadata: Metadata = {}
    for dataset in (each for each in datasets if store.exists(each, key)):
        manifest = store.manifest(dataset, key)
        metadata[f"{dataset} path"] = dg.MetadataValue.path(str(store.folder(dataset, key)))
        metadata[f"{dataset} rows"] = dg.MetadataValue.int(manifest.main_rows or 0)
        metadata[f"{dataset} fingerprint"] = dg.MetadataValue.text(manifest.fingerprint)
    return metadata


def table_metadata(table: ParquetRows) -> Metadata:
    """Describe a table from the footers of its files alone: column schema and time spans."""
    spans = {f"{name} span": table.value_range(name) for name in TIME_COLUMNS}
    texts = {name: " → ".join(map(iso_from_ns, span)) for name, span in spans.items() if span is not None}
    schema = dg.MetadataValue.table_schema(column_schema(table.schema))
    return {name: dg.MetadataValue.text(text) for name, text in texts.items()} | {
        "dagster/column_schema": schema
    }


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """Translate an Arrow schema into Dagster's, with the description of each column."""
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


def gates_metadata(gates: Sequence[GateResult]) -> Metadata:
    """Show the gates as one table, failed ones in bold; empty where there are no gates."""
    if not gates:
        return {}
    rows = []
    for gate in gates:
        value = "-" if gate.value is None else f"{gate.value:.6g}"
        outcome = "pass" if gate.passed else f"**{gate.severity}**"
        rows.append((gate.name, value, gate.gate, f"{gate.n:,}", outcome))
    return {
        "gates": _markdown_table(("gate", "value", "bar", "n", "result"), "-r-r-", rows),
        "gates failed": dg.MetadataValue.int(sum(not gate.passed for gate in gates)),
    }


def pictures_metadata(pictures: Mapping[str, str]) -> Metadata:
    """Show drawings (title to SVG) inside the page; they are kept in the event log, so they have to be small."""
    return {
        title: dg.MetadataValue.md(f"![{title}]({data_uri(svg.encode(), 'svg+xml')})")
        for title, svg in pictures.items()
    }


def _files_table(manifest: Manifest) -> dg.MetadataValue:
    """Return every file of a partition with its rows, size and hash."""
    rows = []
    for name, file in sorted(manifest.files.items()):
        count = f"{manifest.rows[name]:,}" if name in manifest.rows else ""
        rows.append((name, count, _megabytes(int(file["bytes"])), f"`{file['sha256'][:16]}…`"))
    return _markdown_table(("file", "rows", "size", "sha256"), "-rr-", rows)


def _markdown_table(
    heads: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]
) -> dg.MarkdownMetadataValue:
    """Format a table in Markdown; `alignment` has one letter a column: `r` for right, `-` for left."""
    dashes = ("---:" if letter == "r" else "---" for letter in alignment)
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(dashes) + "|"]
    return dg.MetadataValue.md("\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]))


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.3f} MB"
