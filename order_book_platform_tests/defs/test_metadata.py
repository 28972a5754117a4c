"""Metadata of materializations, made from a small published partition and from results by hand."""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.defs.metadata import (
    column_schema,
    gates_metadata,
    highlights_metadata,
    partition_metadata,
    pictures_metadata,
    siblings_metadata,
)
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity
from order_book_platform.storage import DataStore, Manifest

KEY = PartitionKey.parse("BINANCE:BTC-USDT", date(2024, 8, 8).isoformat())
DAY_NS = 1_723_075_200_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """A store with two trades and a report in Markdown and HTML."""
    store = DataStore(tmp_path)
    with store.write("trades", KEY) as writer:
        rows = {
            "origin_time": [DAY_NS, DAY_NS + 1],
            "received_time": [DAY_NS + 5, DAY_NS + 6],
            "trade_id": [1, 2],
            "is_buy": [True, False],
            "price_pips": [100, 101],
            "size_pips": [7, 8],
        }
        writer.metadata["verdict_of_day"] = "go"
        writer.inputs["book"] = "0" * 64
        writer.parquet("trades.parquet", TRADES_SCHEMA).write(pa.table(rows, schema=TRADES_SCHEMA))
        writer.text("report.md", "# a report")
        writer.text("report.html", "<p>a report</p>")
    return store


@pytest.fixture
def manifest(store: DataStore) -> Manifest:
    """Its manifest."""
    return store.manifest("trades", KEY)


def plain(metadata: dict[str, dg.MetadataValue]) -> dict[str, object]:
    """Values without Dagster's wrapping."""
    return {name: value.value for name, value in metadata.items()}


def test_a_partition_says_where_it_is_and_what_it_holds(store: DataStore, manifest: Manifest) -> None:
    """Path, rows, spans, size, files, fingerprint, inputs and report are those of the published partition."""
    found = plain(partition_metadata(store, KEY, manifest))
    folder = store.folder("trades", KEY)
    assert found["path"] == str(folder)
    assert found["dagster/row_count"] == found["dagster/partition_row_count"] == 2
    assert found["origin_time span"] == "2024-08-08T00:00:00.000000000Z → 2024-08-08T00:00:00.000000001Z"
    assert "time span" not in found
    assert found["fingerprint"] == manifest.fingerprint
    assert found["inputs"] == {"book": "0" * 64}
    assert found["report"] == "# a report"
    assert found["report page"] == str(store.path("trades", KEY, "report.html"))
    assert str(found["report link"]).startswith("file:///")
    size = sum(int(file["bytes"]) for file in manifest.files.values())
    assert found["size"] == f"{size / 1e6:,.3f} MB"


def test_files_stand_in_a_table(store: DataStore, manifest: Manifest) -> None:
    """Each file has a row with its row count, if it is a table, its size and the start of its hash."""
    lines = str(partition_metadata(store, KEY, manifest)["files"].value).splitlines()
    assert lines[:2] == ["| file | rows | size | sha256 |", "|---|---:|---:|---|"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| report.html",
        "| report.md",
        "| trades.parquet",
    ]
    assert lines[2].split(" | ")[1] == ""
    assert lines[4].split(" | ")[1] == "2"
    assert lines[4].endswith(f"| `{manifest.files['trades.parquet']['sha256'][:16]}…` |")


def test_highlights_are_lines_of_their_own(manifest: Manifest) -> None:
    """Underscores of a key become spaces; a key that the manifest lacks is an error."""
    assert plain(highlights_metadata(manifest, ("verdict_of_day",))) == {"verdict of day": "go"}
    with pytest.raises(KeyError):
        highlights_metadata(manifest, ("none",))


def test_siblings(store: DataStore, manifest: Manifest) -> None:
    """Path, rows and fingerprint of a dataset that is published with an asset."""
    assert plain(siblings_metadata(store, KEY, ("trades",))) == {
        "trades path": str(store.folder("trades", KEY)),
        "trades rows": 2,
        "trades fingerprint": manifest.fingerprint,
    }


def test_columns_have_type_nullability_and_description() -> None:
    """The column table is that of the Arrow schema."""
    columns = {column.name: column for column in column_schema(RAW_DELTAS_SCHEMA).columns}
    assert list(columns) == RAW_DELTAS_SCHEMA.names
    assert columns["first_update_id"].constraints.nullable
    assert not columns["price_pips"].constraints.nullable
    assert columns["price_pips"].type == "int64"
    assert columns["price_pips"].description == "Price · 10^price_decimals."


def test_gates_stand_in_a_table() -> None:
    """Failed gates show their severity in bold, and what could not be measured is a dash."""
    gates = (
        GateResult.of("rows", 3, Gate(">=", 1), n=3),
        GateResult.of("share", None, Gate(">=", 0.9, Severity.WARN), n=1_000),
    )
    found = plain(gates_metadata(gates))
    assert str(found["gates"]).splitlines() == [
        "| gate | value | bar | n | result |",
        "|---|---:|---|---:|---|",
        "| rows | 3 | >= 1 | 3 | pass |",
        "| share | - | >= 0.9 | 1,000 | **warn** |",
    ]
    assert found["gates failed"] == 1
    assert gates_metadata(()) == {}


def test_pictures_stand_inside_the_page() -> None:
    """A drawing is an image in Markdown that holds the SVG itself."""
    ((title, text),) = plain(pictures_metadata({"Gaps": "<svg/>"})).items()
    assert title == "Gaps"
    assert text == f"![Gaps](data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()})"
