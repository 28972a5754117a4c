"""A partition being built: its files, its manifest, and what a parser of manifests refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.storage.partition_writer import FinishedFile, Manifest, PartitionWriter, file_sha256
from order_book_platform.version import code_version

KEY = PartitionKey.parse("TEST:ABC-USD", "2024-08-08")
SCHEMA = pa.schema([("value", pa.int64())])


@pytest.fixture
def writer(tmp_path: Path) -> PartitionWriter:
    """A writer into an empty folder."""
    return PartitionWriter(tmp_path, "reconstructed_books", KEY)


def write(writer: PartitionWriter, name: str, rows: int) -> None:
    """Begin a file with so many rows."""
    writer.parquet(name, SCHEMA).write(pa.table([range(rows)], schema=SCHEMA))


def test_the_manifest_describes_every_file(writer: PartitionWriter) -> None:
    """Rows, bytes and hashes of finished, open and text files; the one on the disk is the one returned."""
    write(writer, "books-0.parquet", 3)
    writer.finish("books-0.parquet")
    write(writer, "books-1.parquet", 4)
    writer.text("note.md", "é")
    writer.json("report.json", {"b": 1, "a": [2]})
    writer.inputs["raw_deltas"] = "ab"
    manifest = writer.seal()
    assert Manifest.from_bytes((writer.folder / "manifest.json").read_bytes()) == manifest
    assert manifest.rows == {"books-0.parquet": 3, "books-1.parquet": 4}
    assert manifest.main_rows == 7
    assert (manifest.symbol, manifest.day, manifest.inputs) == (
        KEY.instrument.key,
        "2024-08-08",
        {"raw_deltas": "ab"},
    )
    assert (manifest.schema_version, manifest.code_version) == (1, code_version("reconstruct"))
    assert set(manifest.files) == {path.name for path in writer.folder.iterdir()} - {"manifest.json"}
    for name, described in manifest.files.items():
        path = writer.folder / name
        assert described == {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def test_footers_say_what_the_file_is(writer: PartitionWriter) -> None:
    """Each Parquet file can be told apart without its manifest; of the metadata it has the fixed point only."""
    writer.metadata.update(price_decimals=2, counts={"rows": 1})
    write(writer, "books-0.parquet", 1)
    writer.finish("books-0.parquet")
    footer = json.loads(pq.read_metadata(writer.folder / "books-0.parquet").metadata[b"order_book_platform"])
    assert footer == {
        "dataset": "reconstructed_books",
        "schema_version": 1,
        "code_version": code_version("reconstruct"),
        "symbol": "TEST:ABC-USD",
        "day": "2024-08-08",
        "price_decimals": 2,
    }


def test_json_is_canonical(writer: PartitionWriter) -> None:
    """Sorted keys, as they are; NaN is refused, since it is not JSON."""
    writer.json("a.json", {"b": "é", "a": 1})
    assert (writer.folder / "a.json").read_text(encoding="utf-8") == '{\n "a": 1,\n "b": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.json("b.json", {"a": float("nan")})


def test_adopted_files_are_in_the_manifest(writer: PartitionWriter) -> None:
    """A file of an earlier writer counts with what is known of it."""
    (writer.folder / "books-0.parquet").write_bytes(b"12345")
    writer.adopt(FinishedFile("books-0.parquet", 9, 5, "ab"))
    manifest = writer.seal()
    assert manifest.files["books-0.parquet"] == {"bytes": 5, "sha256": "ab"}
    assert manifest.rows == {"books-0.parquet": 9}


def test_what_is_forgotten_is_not_in_the_manifest(writer: PartitionWriter) -> None:
    """An attempt that stalled leaves neither open nor finished files behind."""
    write(writer, "books-0.parquet", 1)
    writer.finish("books-0.parquet")
    (writer.folder / "books-0.parquet").unlink()
    writer.forget()
    assert writer.seal().files == {}


def test_an_abandoned_writer_holds_no_file_open(writer: PartitionWriter) -> None:
    """Its sinks are closed, and closing them again does nothing."""
    write(writer, "books-0.parquet", 1)
    writer.abandon()
    writer.abandon()
    assert (writer.folder / "books-0.parquet").is_file()


MANIFEST = Manifest(
    dataset="raw_deltas",
    schema_version=1,
    code_version="0.1.0",
    symbol="BINANCE:币安-USDT",
    day="2024-08-08",
    inputs={"book_delta_v2/1.parquet": "ab"},
    rows={"deltas.parquet": 7},
    files={"deltas.parquet": {"bytes": 70, "sha256": "cd"}},
    metadata={**FixedPoint(2, 5, 1, 10).to_metadata(), "note": "é"},
)


def test_bytes_read_back() -> None:
    """The same manifest, and the same bytes again."""
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert Manifest.from_bytes(MANIFEST.to_bytes()).to_bytes() == MANIFEST.to_bytes()


def test_bytes_do_not_depend_on_the_order_of_keys() -> None:
    """Counts filled in another order are the same partition."""
    reordered = dataclasses.replace(MANIFEST, metadata=dict(reversed(MANIFEST.metadata.items())))
    assert reordered.fingerprint == MANIFEST.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "BINANCE:ETH-USDT"},
        {"inputs": {"book_delta_v2/1.parquet": "ac"}},
        {"rows": {"deltas.parquet": 8}},
        {"files": {"deltas.parquet": {"bytes": 70, "sha256": "ce"}}},
        {"metadata": {"price_decimals": 3}},
    ],
)
def test_the_fingerprint_covers_it(change: dict[str, Any]) -> None:
    """Whatever changes in a partition changes what the next one says it was made from."""
    assert dataclasses.replace(MANIFEST, **change).fingerprint != MANIFEST.fingerprint


def test_fixed_point() -> None:
    """Decimals, tick and lot come from the metadata."""
    assert MANIFEST.fixed_point == FixedPoint(2, 5, 1, 10)


def damaged(**changes: Any) -> bytes:
    """The manifest with keys replaced, or removed where the value is ..."""
    content = json.loads(MANIFEST.to_bytes()) | changes
    return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        b"[]",
        b"null",
        b"{}",
        MANIFEST.to_bytes()[:-20],
        damaged(rows=...),
        damaged(extra=1),
        damaged(files=None),
        damaged(inputs=[]),
        damaged(schema_version="1"),
        damaged(day=20240808),
    ],
)
def test_damage_is_refused(content: bytes) -> None:
    """Truncated, of other kinds, incomplete or of another format: never half understood."""
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_bytes(content)
