"""Files, footers and manifest of a partition agree with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.storage.manifest import Manifest, file_sha256
from order_book_platform.storage.partition_writer import FinishedFile, PartitionWriter
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
